# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a sequence may be, by version of vLLM, and what would stretch it."""

from __future__ import annotations

import pytest
from capacity_cases import MODELS, OLD_YARN, QWEN, ROPE, SMALL, YARN, medium

from ansible_collections.myia.vllm.plugins.module_utils.capacity import length, model_config


@pytest.mark.parametrize(
    ("config", "version", "tokens"),
    [
        pytest.param({"max_position_embeddings": 32768}, (0, 11, 0), 32768, id="plain"),
        pytest.param({"max_position_embeddings": 8192, "seq_length": 4096}, (0, 11, 0), 4096, id="smallest"),
        pytest.param({"max_position_embeddings": 32768, "rope_scaling": ROPE}, (0, 11, 0), 131072, id="yarn-0.11"),
        pytest.param({"max_position_embeddings": 32768, "rope_scaling": ROPE}, (0, 29, 0), 131072, id="yarn-0.29"),
        pytest.param({"max_position_embeddings": 32768, "rope_parameters": ROPE}, (0, 30, 0), 32768, id="yarn-0.30"),
        pytest.param({"max_position_embeddings": 131072, "rope_parameters": ROPE}, (0, 32, 0), 131072, id="both-0.32"),
        pytest.param({"max_position_embeddings": 131072, "rope_scaling": ROPE}, (0, 11, 0), 131072, id="both-0.11"),
        pytest.param({"max_position_embeddings": 32768, "rope_parameters": ROPE}, (0, 11, 2), 32768, id="ignored-0.11"),
        pytest.param({"max_position_embeddings": 32768, "rope_parameters": ROPE}, (0, 12, 0), 131072, id="read-0.12"),
        pytest.param(
            {"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            (0, 11, 0),
            131072,
            id="llama3-is-scaled",
        ),
        pytest.param(
            {"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}},
            (0, 32, 0),
            8192,
            id="linear",
        ),
        pytest.param({}, (0, 32, 0), None, id="no-limit"),
    ],
)
def test_derived_length(config, version, tokens) -> None:
    """The longest sequence, by version."""
    assert length.derived_length(model_config.shape({**SMALL, **config}), version)["tokens"] == tokens


def test_overrides() -> None:
    """--hf-overrides reach the length, also of a model with a nested configuration."""
    overrides = {"max_position_embeddings": 131072, "rope_parameters": ROPE}
    for config in (QWEN, {"text_config": QWEN, "vision_config": {"hidden_size": 1280}}):
        size = model_config.shape(config, overrides)
        assert length.derived_length(size, (0, 32, 0))["tokens"] == 131072
    assert model_config.shape({"text_config": QWEN}, {"text_config": {"num_hidden_layers": 32}})["layers"] == 32


@pytest.mark.parametrize(
    ("version", "overrides", "within"),
    [
        pytest.param("0.11.0", None, False, id="none-0.11"),
        pytest.param("0.32.0", None, False, id="none-0.32"),
        pytest.param("0.11.0", OLD_YARN, True, id="both-0.11"),
        pytest.param("0.32.0", YARN, True, id="both-0.32"),
        pytest.param("0.11.0", {"rope_scaling": ROPE}, True, id="yarn-alone-0.11"),
        pytest.param("0.29.0", {"rope_parameters": ROPE}, True, id="yarn-alone-0.29"),
        pytest.param("0.30.0", {"rope_parameters": ROPE}, False, id="yarn-alone-0.30"),
    ],
)
def test_length(version, overrides, within) -> None:
    """A length beyond the model's configuration needs YaRN, and what is advised is enough."""
    verdict = medium(vllm_version=version, hf_overrides=overrides)["length"]
    assert verdict["within"] is within
    assert verdict["ignored"] is False
    if not within:
        assert verdict["yarn_factor"] == 4.0
        advised = medium(vllm_version=version, hf_overrides=verdict["hf_overrides"])["length"]
        assert (advised["within"], advised["yarn_factor"], advised["ignored"]) == (True, 4.0, False)


def test_length_in_name_only() -> None:
    """vLLM 0.11 takes the length of rope_parameters' neighbour, and does not scale: that is said."""
    verdict = medium(vllm_version="0.11.2", hf_overrides=YARN)["length"]
    assert (verdict["within"], verdict["ignored"], verdict["yarn_factor"]) == (True, True, None)
    assert "reads rope_parameters from 0.12 on only" in verdict["text"]


@pytest.mark.parametrize(
    "model", [pytest.param("facebook/opt-125m", id="learned"), pytest.param("llama3", id="llama3-scaling")]
)
def test_length_that_cannot_grow(model) -> None:
    """A model whose positions YaRN cannot scale is advised to be shorter, nothing else."""
    scaled = {**QWEN, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    verdict = medium(model_config=MODELS.get(model, scaled), tensor_parallel_size=1, hf_overrides=None)["length"]
    assert (verdict["within"], verdict["hf_overrides"]) == (False, {})
    assert "cannot be stretched" in verdict["text"]


def test_odd_length() -> None:
    """The factor is the next half that reaches the length."""
    verdict = medium(max_model_len=70000, hf_overrides=None)["length"]
    assert verdict["yarn_factor"] == 2.5
    assert verdict["hf_overrides"]["max_position_embeddings"] == 81920


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="unset"),
        pytest.param("", None, id="empty"),
        pytest.param(4096, 4096, id="number"),
        pytest.param("4096", 4096, id="text"),
        pytest.param("32k", 32000, id="thousands"),
        pytest.param("25.6k", 25600, id="fraction"),
        pytest.param("32K", 32768, id="of-1024"),
        pytest.param("auto", length.AUTO, id="auto"),
        pytest.param("AUTO", length.AUTO, id="auto-in-capitals"),
        pytest.param(-1, length.AUTO, id="minus-one"),
        pytest.param("-1", length.AUTO, id="minus-one-as-text"),
    ],
)
def test_asked_length(value, expected) -> None:
    """A length is read as vLLM reads it."""
    assert length.asked_length(value) == expected


@pytest.mark.parametrize("value", [0, -2, "x", "1.5K", "k", True])
def test_no_length(value) -> None:
    """What is none says what was found and what it may be."""
    with pytest.raises(ValueError, match=r"max_model_len is .*; it must be 1 token or more, .* auto or -1"):
        length.asked_length(value)


ROBERTA = {**SMALL, "model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(ROBERTA, 512, id="xlm-roberta"),
        pytest.param({**ROBERTA, "model_type": "roberta"}, 512, id="roberta"),
        pytest.param({**ROBERTA, "pad_token_id": 0}, 513, id="another-padding"),
        pytest.param({**ROBERTA, "max_position_embeddings": 8194}, 8192, id="long"),
        pytest.param({**ROBERTA, "model_type": "bert", "max_position_embeddings": 512}, 512, id="bert"),
        pytest.param({**ROBERTA, "model_type": "opt", "max_position_embeddings": 2048}, 2048, id="opt-adds-its-own"),
    ],
)
def test_positions_behind_padding(config, expected) -> None:
    """The first positions of RoBERTa's table are never used: 514 of them are 512 tokens."""
    assert length.length_verdict(config, None, "0.32.0")["derived_tokens"] == expected


def test_longer_than_the_positions() -> None:
    """514 tokens are refused with what would happen; there is nothing to stretch."""
    found = length.length_verdict(ROBERTA, 514, "0.32.0")
    assert found["within"] is False
    assert "512" in found["text"]
    assert "the first longer text breaks it" in found["text"]
    assert found["hf_overrides"] == {}
