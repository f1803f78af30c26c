# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes read out of config.json, a family at a time. Numbers of parameters are those the models' cards name."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config

DATA = pathlib.Path(__file__).resolve().parents[3] / "data"
MODELS = json.loads((DATA / "model_configs.json").read_text(encoding="utf-8"))
QWEN = json.loads((DATA / "qwen2.5-32b-instruct-awq" / "config.json").read_text(encoding="utf-8"))
#: The least that a configuration needs.
SMALL = {"num_hidden_layers": 8, "hidden_size": 1024, "num_attention_heads": 8}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            "meta-llama/Llama-3.1-8B-Instruct",
            {"kinds": {"full": 32}, "kv_heads": 8, "head_dim": 128, "tied": False, "mla_dim": 0},
            id="dense-derived-head-dim",
        ),
        pytest.param("Qwen/Qwen3-0.6B", {"kv_heads": 8, "head_dim": 128, "tied": True}, id="explicit-head-dim-tied"),
        pytest.param(
            "Qwen/Qwen3-30B-A3B",
            {"experts": 128, "experts_per_token": 8, "moe_intermediate": 768, "moe_layers": 48},
            id="moe",
        ),
        pytest.param(
            "deepseek-ai/DeepSeek-R1",
            {"mla_dim": 576, "indexer_bytes": 0, "moe_layers": 58, "shared_intermediate": 2048},
            id="latent-attention",
        ),
        pytest.param("GLM-5.2-W4A16", {"mla_dim": 576, "indexer_bytes": 132}, id="sparse-indexer"),
        pytest.param(
            "google/gemma-3-27b-it",
            {"kinds": {"sliding": 52, "full": 10}, "window": 1024, "multimodal": True},
            id="five-sliding-one-full",
        ),
        pytest.param(
            "unstated; dims match Gemma-2-9B (42 x 8 x 256)",
            {"kinds": {"sliding": 21, "full": 21}, "window": 4096, "multimodal": False},
            id="alternating",
        ),
        pytest.param("openai/gpt-oss-20b", {"kinds": {"sliding": 12, "full": 12}, "window": 128}, id="listed-layers"),
        pytest.param("Qwen/Qwen3.6-27B-FP8", {"kinds": {"linear": 48, "full": 16}}, id="linear-attention"),
        pytest.param(
            "intfloat/e5-mistral-7b-instruct",
            {"kinds": {"sliding": 32}, "pooling": True},
            id="all-sliding-pooling",
        ),
        pytest.param("Qwen/Qwen2.5-7B-Instruct", {"kinds": {"full": 28}}, id="window-named-but-off"),
        pytest.param("facebook/opt-125m", {"gated": False}, id="two-matrices"),
    ],
)
def test_families(model, expected) -> None:
    """Every family's layers, heads and experts."""
    size = model_config.shape(MODELS[model])
    assert {key: size[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({"text_config": SMALL}, {"layers": 8, "hidden": 1024}, id="text-config"),
        pytest.param({"thinker_config": {"text_config": SMALL}}, {"layers": 8, "multimodal": True}, id="nested-twice"),
        pytest.param(
            {"n_layer": 12, "n_embd": 768, "n_head": 12},
            {"layers": 12, "hidden": 768, "kv_heads": 12, "head_dim": 64, "intermediate": 3072},
            id="gpt2-names",
        ),
        pytest.param({**SMALL, "multi_query": True}, {"kv_heads": 1}, id="multi-query"),
        pytest.param(
            {**SMALL, "full_attention_interval": 4}, {"kinds": {"linear": 6, "full": 2}}, id="full-attention-interval"
        ),
        pytest.param(
            {**SMALL, "hybrid_override_pattern": "M-M*M-M-"},
            {"kinds": {"linear": 4, "none": 3, "full": 1}},
            id="letters",
        ),
        pytest.param(
            {**SMALL, "attn_layer_period": 8, "attn_layer_offset": 4}, {"kinds": {"linear": 7, "full": 1}}, id="jamba"
        ),
        pytest.param(
            {**SMALL, "model_type": "llama4_text", "attention_chunk_size": 8192},
            {"kinds": {"chunked": 6, "full": 2}, "window": 8192},
            id="chunked",
        ),
        pytest.param(
            {**SMALL, "model_type": "mistral", "sliding_window": 4096}, {"kinds": {"sliding": 8}}, id="mistral-v0.1"
        ),
        pytest.param(
            {**SMALL, "layer_types": ["sliding_attention"] * 4 + ["full_attention"] * 4, "num_kv_shared_layers": 3},
            {"kinds": {"sliding": 4, "full": 1, "none": 3}},
            id="shared-kv",
        ),
        pytest.param(
            {**SMALL, "text_config": {**SMALL, "tie_word_embeddings": True}, "tie_word_embeddings": False},
            {"tied": False},
            id="outer-tie-wins",
        ),
        pytest.param({**SMALL, "_name_or_path": "Qwen/Qwen3-Embedding-8B"}, {"pooling": True}, id="embedding-by-name"),
    ],
)
def test_spellings(config, expected) -> None:
    """Other names and places of the same sizes."""
    size = model_config.shape(config)
    assert {key: size[key] for key in expected} == expected


def test_incomplete() -> None:
    """What is missing is named, and what was found."""
    with pytest.raises(model_config.ShapeError, match=r"no num_hidden_layers, num_attention_heads \(found hidden_size"):
        model_config.shape({"hidden_size": 1024})


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        pytest.param("meta-llama/Llama-3.1-8B-Instruct", 8.03, id="llama-8b"),
        pytest.param("Qwen/Qwen2.5-72B-Instruct", 72.7, id="qwen-72b"),
        pytest.param("Qwen/Qwen3-0.6B", 0.596, id="tied"),
        pytest.param("Qwen/Qwen3-30B-A3B", 30.5, id="moe"),
        pytest.param("Qwen/Qwen3-235B-A22B-FP8", 235, id="large-moe"),
        pytest.param("deepseek-ai/DeepSeek-R1", 671, id="latent-attention"),
        pytest.param("openai/gpt-oss-120b", 116.8, id="gpt-oss"),
    ],
)
def test_parameters(model, billions) -> None:
    """Within two percent of the number that the model's card names."""
    count = sum(model_config.parameters(model_config.shape(MODELS[model])).values())
    assert count / 1e9 == pytest.approx(billions, rel=0.02)


@pytest.mark.parametrize(
    ("quant", "asked", "bits"),
    [
        pytest.param({}, None, 16, id="none"),
        pytest.param({"quant_method": "awq", "bits": 4, "group_size": 128}, None, 4.15625, id="awq"),
        pytest.param({"quant_method": "gptq", "bits": 8, "group_size": -1}, None, 8, id="gptq-no-groups"),
        pytest.param({"quant_method": "fp8"}, None, 8, id="fp8"),
        pytest.param({}, "fp8", 8, id="fp8-while-loading"),
        pytest.param({"quant_method": "mxfp4"}, None, 4.25, id="mxfp4"),
        pytest.param({"quant_method": "modelopt", "quant_algo": "NVFP4"}, None, 4.5, id="nvfp4"),
        pytest.param({"quant_method": "bitsandbytes", "load_in_4bit": True}, None, 4.5, id="bitsandbytes"),
        pytest.param({"quant_method": "bitsandbytes", "load_in_8bit": True}, None, 8, id="bitsandbytes-8"),
        pytest.param(
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 32}}},
            },
            None,
            4.5,
            id="compressed-tensors",
        ),
    ],
)
def test_bits(quant, asked, bits) -> None:
    """Bits of a weight with its share of the scales."""
    assert model_config.bits_per_weight({"quantization_config": quant}, asked)[0] == bits


def test_seed_weights() -> None:
    """Qwen2.5-32B-Instruct-AWQ: the files on the hub have 19.33 GB."""
    assert model_config.estimated_weights_bytes(model_config.shape(QWEN)) / 1e9 == pytest.approx(19.33, rel=0.005)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("config", "version", "tokens"),
    [
        pytest.param({"max_position_embeddings": 32768}, (0, 11, 0), 32768, id="plain"),
        pytest.param({"max_position_embeddings": 8192, "seq_length": 4096}, (0, 11, 0), 4096, id="smallest"),
        pytest.param({"max_position_embeddings": 32768, "rope_scaling": YARN}, (0, 11, 0), 131072, id="yarn-0.11"),
        pytest.param({"max_position_embeddings": 32768, "rope_scaling": YARN}, (0, 29, 0), 131072, id="yarn-0.29"),
        pytest.param({"max_position_embeddings": 32768, "rope_parameters": YARN}, (0, 30, 0), 32768, id="yarn-0.30"),
        pytest.param({"max_position_embeddings": 131072, "rope_parameters": YARN}, (0, 32, 0), 131072, id="both-0.32"),
        pytest.param({"max_position_embeddings": 131072, "rope_scaling": YARN}, (0, 11, 0), 131072, id="both-0.11"),
        pytest.param({"max_position_embeddings": 32768, "rope_parameters": YARN}, (0, 11, 2), 32768, id="ignored-0.11"),
        pytest.param({"max_position_embeddings": 32768, "rope_parameters": YARN}, (0, 12, 0), 131072, id="read-0.12"),
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
    assert model_config.derived_length(model_config.shape({**SMALL, **config}), version)["tokens"] == tokens


def test_overrides() -> None:
    """--hf-overrides reach the length, also of a model with a nested configuration."""
    overrides = {"max_position_embeddings": 131072, "rope_parameters": YARN}
    for config in (QWEN, {"text_config": QWEN, "vision_config": {"hidden_size": 1280}}):
        size = model_config.shape(config, overrides)
        assert model_config.derived_length(size, (0, 32, 0))["tokens"] == 131072
    assert model_config.shape({"text_config": QWEN}, {"text_config": {"num_hidden_layers": 32}})["layers"] == 32


@pytest.mark.parametrize(
    ("config", "tp", "expected"),
    [
        # 10240 channels x 3 steps x 2 bytes, and 48 heads x 128 x 128 numbers of 4 bytes
        pytest.param(MODELS["Qwen/Qwen3.6-27B-FP8"], 1, 10240 * 3 * 2 + 48 * 128 * 128 * 4, id="gated-delta-net"),
        pytest.param(MODELS["Qwen/Qwen3.6-27B-FP8"], 2, (10240 * 3 * 2 + 48 * 128 * 128 * 4) // 2, id="split"),
        pytest.param(
            {
                **SMALL,
                "mamba_num_heads": 16,
                "mamba_head_dim": 64,
                "ssm_state_size": 128,
                "n_groups": 8,
                "conv_kernel": 4,
            },
            1,
            (1024 + 2 * 8 * 128) * 3 * 2 + 1024 * 128 * 4,
            id="mamba2",
        ),
    ],
)
def test_linear_state(config, tp, expected) -> None:
    """Bytes of a recurrent layer's state."""
    assert model_config.linear_state_bytes(model_config.shape(config), tp) == expected


def test_checkpoint_kv() -> None:
    """A checkpoint's own wish for an fp8 KV cache is seen."""
    assert model_config.checkpoint_kv_is_fp8(model_config.shape(MODELS["Qwen/Qwen3.6-27B-FP8"])["config"])
    assert not model_config.checkpoint_kv_is_fp8(QWEN)
