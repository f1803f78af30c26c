# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes read out of config.json, a family at a time."""

from __future__ import annotations

import pytest
from capacity_cases import MODELS, QWEN, SMALL

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, model_config


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


@pytest.mark.parametrize("value", ["x", [], [None], {"a": 1}, -1, 0, True])
@pytest.mark.parametrize(
    "key",
    [
        "kv_lora_rank",
        "num_key_value_heads",
        "head_dim",
        "block_configs",
        "compress_ratios",
        "mlp_only_layers",
        "moe_layer_freq",
        "linear_num_value_heads",
        "num_kv_shared_layers",
        "max_position_embeddings",
        "index_topk_pattern",
    ],
)
def test_values_of_another_kind(key, value) -> None:
    """What is of another kind than expected counts as not said; nothing ends in a traceback."""
    found = estimate.plan(model_config={**QWEN, "num_experts": 8, key: value}, gpu_memory_mib=81559, suggest=False)
    assert found["kv_tokens"]["low"] <= found["kv_tokens"]["expected"] <= found["kv_tokens"]["high"]


@pytest.mark.parametrize("names", [None, "Qwen2ForCausalLM", [1], {}])
def test_architectures_of_another_kind(names) -> None:
    """Names of classes are texts in a list, whatever a configuration has."""
    found = model_config.shape({**QWEN, "architectures": names})["config"]["architectures"]
    assert all(isinstance(name, str) for name in found)
