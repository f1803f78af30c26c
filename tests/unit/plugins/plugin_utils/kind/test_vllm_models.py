# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of architectures, derived from the wheels."""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.kind import vllm_models


def test_same_releases_as_the_options() -> None:
    """One tool derives both."""
    assert vllm_models.versions() == vllm_options.versions()


def test_flags() -> None:
    """What classes can, by release."""
    known = vllm_models.architectures("0.32.0")
    assert "generate" in known["Qwen3ForCausalLM"]["flags"]
    assert "pooling" in known["BertModel"]["flags"]
    assert {"transcription", "transcription_only"} <= known["WhisperForConditionalGeneration"]["flags"]
    assert known["EagleLlamaForCausalLM"]["groups"] == (vllm_models.DRAFTS,)
