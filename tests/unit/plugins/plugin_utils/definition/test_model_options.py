# SPDX-License-Identifier: GPL-3.0-or-later
"""What of vLLM's options moves memory, in each way to write it."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import model_options

MTP = {"method": "mtp", "num_speculative_tokens": 2}


@pytest.mark.parametrize(
    ("options", "speculation", "limits"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"speculative-config": MTP}, MTP, {}, id="dictionary"),
        pytest.param({"speculative-config": '{"method": "mtp", "num_speculative_tokens": 2}'}, MTP, {}, id="json"),
        pytest.param(
            {"speculative-config.method": "mtp", "speculative-config.num-speculative-tokens": 2}, MTP, {}, id="dots"
        ),
        pytest.param({"spec-method": "mtp", "spec-tokens": 2}, MTP, {}, id="own-options"),
        pytest.param({"speculative-config": {**MTP, "hf_token": "PLANTED"}}, MTP, {}, id="no-other-key"),
        pytest.param({"speculative-config": "{"}, {}, {}, id="no-json"),
        pytest.param({"limit-mm-per-prompt": '{"image": 0}'}, {}, {"image": 0}, id="no-images"),
        pytest.param({"limit-mm-per-prompt.image": 2}, {}, {"image": 2}, id="two-images"),
        pytest.param({"language-model-only": True}, {}, {"image": 0}, id="text-only"),
    ],
)
def test_read_memory(options, speculation, limits) -> None:
    """Options that are dictionaries may be given as one, as JSON or behind dots."""
    found = model_options.read_memory(options)
    assert found == {"speculative_config": speculation, "limit_mm_per_prompt": limits}
