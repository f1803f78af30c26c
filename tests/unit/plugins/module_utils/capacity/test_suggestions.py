# SPDX-License-Identifier: GPL-3.0-or-later
"""What is suggested, in which order, and with which effect."""

from __future__ import annotations

import pytest
from capacity_cases import medium


def test_suggestions() -> None:
    """Those that make it fit come first, each with the effect that planning with it gives."""
    found = medium(kv_cache_dtype="auto")
    assert [entry["variable"] for entry in found["suggestions"]][:1] == ["vllm_kv_cache_dtype"]
    verdicts = [entry["fits"] for entry in found["suggestions"]]
    assert verdicts == sorted(verdicts, key=("yes", "uncertain", "no").index)
    middle = (found["kv_tokens"]["low"] + found["kv_tokens"]["high"]) // 2
    after = medium(kv_cache_dtype="fp8")
    assert (
        found["suggestions"][0]["effect_tokens"]
        == (after["kv_tokens"]["low"] + after["kv_tokens"]["high"]) // 2 - middle
    )
    assert found["suggestions"][0]["fits"] == after["fits"] == "yes"
    shorter = next(entry for entry in found["suggestions"] if entry["variable"] == "vllm_max_model_len")
    assert medium(kv_cache_dtype="auto", max_model_len=shorter["value"])["fits"] == "yes"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="nothing-to-do"),
        pytest.param({"hf_overrides": None}, ["vllm_hf_overrides"], id="only-yarn"),
        pytest.param(
            {"vllm_version": "0.32.0"},
            ["vllm_max_num_seqs", "vllm_max_num_seqs", "vllm_tensor_parallel_size", "vllm_enforce_eager"],
            id="grey-zone",
        ),
    ],
)
def test_what_is_suggested(changes, expected) -> None:
    """Nothing where nothing is wrong; what makes it fit before what shortens it."""
    found = [entry["variable"] for entry in medium(**changes)["suggestions"]]
    assert found[: len(expected)] == expected
    if not expected:
        assert found == []


def test_suggestions_name_variables(options) -> None:
    """What is suggested are variables of the role."""
    for changes in (
        {"kv_cache_dtype": "auto", "hf_overrides": None},
        {"gpu_memory_mib": 81559, "max_model_len": 10**6},
    ):
        found = {entry["variable"] for entry in medium(**changes)["suggestions"]}
        assert found
        assert found <= set(options)


def test_more_gpus_are_named() -> None:
    """A suggestion that takes more GPUs than there are says so."""
    found = {entry["variable"]: entry["text"] for entry in medium(kv_cache_dtype="auto")["suggestions"]}
    assert "takes 4 GPUs" in found["vllm_tensor_parallel_size"]
