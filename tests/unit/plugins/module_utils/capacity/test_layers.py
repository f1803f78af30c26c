# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layers of a model attend, recur, have experts or a plain feed-forward, in the words of each family."""

from __future__ import annotations

import pytest
from capacity_cases import SMALL

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config

EXPERTS = {**SMALL, "num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 512}
SPARSE, DENSE = "sparse", "dense"


@pytest.mark.parametrize(
    ("changes", "moe", "dense"),
    [
        pytest.param({}, 8, 0, id="all"),
        pytest.param({"first_k_dense_replace": 3}, 5, 3, id="deepseek"),
        pytest.param({"num_dense_layers": 2}, 6, 2, id="lfm2-afmoe"),
        pytest.param({"moe_start_layer": 4}, 4, 4, id="moondream"),
        pytest.param({"decoder_sparse_step": 2}, 4, 4, id="qwen-step"),
        pytest.param({"mlp_only_layers": [0, 7]}, 6, 2, id="qwen-only"),
        pytest.param({"decoder_sparse_step": 2, "mlp_only_layers": [1]}, 3, 5, id="qwen-both"),
        pytest.param({"interleave_moe_layer_step": 4}, 2, 6, id="llama4-maverick"),
        pytest.param({"moe_layers": [1, 3, 5]}, 3, 5, id="listed-numbers"),
        pytest.param({"moe_layers_enum": "4,5, 6"}, 3, 5, id="step3-text"),
        pytest.param({"mlp_layer_types": [DENSE, *[SPARSE] * 7]}, 7, 1, id="glm-listed"),
        pytest.param({"moe_layer_freq": [0, 0, 1, 1, 1, 1, 1, 1]}, 6, 2, id="mimo-listed"),
        pytest.param({"moe_layer_freq": 2, "first_k_dense_replace": 1}, 3, 5, id="deepseek-frequency"),
        pytest.param({"expert_layer_period": 2, "expert_layer_offset": 1}, 4, 4, id="jamba"),
        pytest.param({"layers_num_experts": [1, 16, 1, 16, 1, 16, 1, 16]}, 4, 4, id="jamba-listed"),
        pytest.param(
            {"moe_layer_start_index": 2, "moe_layer_end_index": 6, "moe_layer_interval": 1}, 5, 3, id="ernie-range"
        ),
        pytest.param({"moe_layer_start_index": [1, 1], "moe_layer_end_index": [7, 7]}, 7, 1, id="ernie-vl"),
        pytest.param({"enable_moe_block": True}, 8, 8, id="gemma4-both"),
        pytest.param({"model_type": "longcat_flash"}, 8, 16, id="longcat-two-beside"),
        pytest.param({"hybrid_override_pattern": "MEM*E-ME"}, 3, 1, id="letters"),
        pytest.param({"layers_block_type": ["mamba", "moe", "attention", "moe"] * 2}, 4, 0, id="names-of-blocks"),
    ],
)
def test_experts(changes, moe, dense) -> None:
    """Layers with routed experts are counted as vLLM's class of the family counts them."""
    size = model_config.shape({**EXPERTS, **changes})
    assert (size["moe_layers"], size["dense_layers"]) == (moe, dense)


@pytest.mark.parametrize(
    ("changes", "attention", "recurrent", "dense"),
    [
        pytest.param({}, 8, 0, 8, id="plain"),
        pytest.param({"full_attention_interval": 4}, 2, 6, 8, id="feed-forward-in-each"),
        pytest.param({"model_type": "mamba2", "num_attention_heads": None}, 0, 8, 0, id="mamba-alone"),
        pytest.param({"hybrid_override_pattern": "MM*-MM*-"}, 2, 4, 2, id="one-thing-a-layer"),
        pytest.param(
            {
                "layer_types": ["full_attention"] * 8,
                "num_kv_shared_layers": 4,
            },
            8,
            0,
            8,
            id="shared-keys-attend-too",
        ),
        pytest.param(
            {
                "block_configs": [
                    {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 3.0}},
                    {"attention": {"no_op": True}, "ffn": {"no_op": True}},
                ]
                * 4
            },
            4,
            0,
            4,
            id="searched-blocks",
        ),
    ],
)
def test_mixers(changes, attention, recurrent, dense) -> None:
    """Layers that mix tokens, and plain feed-forwards."""
    size = model_config.shape({**SMALL, **changes})
    found = (size["attention_layers"], size["recurrent_layers"], size["dense_layers"])
    assert found == (attention, recurrent, dense)


def test_blocks_by_name() -> None:
    """A layer of experts or of a feed-forward alone keeps nothing of a text."""
    named = ["mamba", "moe", "attention", "mlp"] * 2
    assert model_config.shape({**EXPERTS, "layers_block_type": named})["kinds"] == {"linear": 2, "none": 4, "full": 2}


def test_searched_blocks() -> None:
    """Nemotron NAS: blocks without attention keep nothing, heads and widths are named block by block."""
    block = {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 3.0}}
    size = model_config.shape({**SMALL, "block_configs": [block] * 6 + [{"attention": {"no_op": True}}] * 2})
    assert size["kinds"] == {"full": 6, "none": 2}
    assert (size["kv_heads"], size["dense_intermediate"]) == (2, 2048)


@pytest.mark.parametrize(
    ("changes", "runner", "encoder"),
    [
        pytest.param({"model_type": "bert"}, "", True, id="family"),
        pytest.param({"model_type": "future", "type_vocab_size": 2}, "", True, id="segments"),
        pytest.param({"model_type": "qwen2", "is_causal": False}, "pooling", True, id="not-causal"),
        pytest.param({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "", True, id="both-ways"),
        pytest.param({"architectures": ["LlamaBidirectionalModel"]}, "", True, id="class"),
        pytest.param({"model_type": "bert", "is_decoder": True}, "", False, id="bert-that-decodes"),
        pytest.param({"model_type": "future", "type_vocab_size": 2}, "generate", False, id="generates"),
        pytest.param({"model_type": "qwen3"}, "pooling", False, id="a-decoder-that-pools"),
        pytest.param({"model_type": "gemma4", "use_bidirectional_attention": "vision"}, "", False, id="images-only"),
    ],
)
def test_encoders(changes, runner, encoder) -> None:
    """An encoder keeps nothing of a text; it is told by what it has, not by its family's name alone."""
    size = model_config.shape({**SMALL, **changes}, None, runner)
    assert (set(size["kinds"]) == {"none"}) is encoder


@pytest.mark.parametrize(
    ("runner", "name", "pooling"),
    [
        pytest.param("pooling", "org/Chat", True, id="told-so"),
        pytest.param("generate", "org/Some-Embedding-8B", False, id="told-otherwise"),
        pytest.param("", "org/Some-Embedding-8B", True, id="by-its-name"),
    ],
)
def test_runner(runner, name, pooling) -> None:
    """How vLLM runs the model counts before its name."""
    config = {**SMALL, "architectures": ["Qwen3ForCausalLM"], "_name_or_path": name}
    assert model_config.shape(config, None, runner)["pooling"] is pooling
