# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of weights. Numbers of parameters are those the models' cards name."""

from __future__ import annotations

import pytest
from capacity_cases import DEEPSEEK_V4, GIB, MODELS, NEMOTRON, QWEN, SMALL, WHISPER, medium

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, model_config, weights


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
    count = sum(weights.parameters(model_config.shape(MODELS[model])).values())
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
    assert weights.bits_per_weight({"quantization_config": quant}, asked)[0] == bits


def test_seed_weights() -> None:
    """Qwen2.5-32B-Instruct-AWQ: the files on the hub have 19.33 GB."""
    assert weights.estimated_weights_bytes(model_config.shape(QWEN)) / 1e9 == pytest.approx(19.33, rel=0.005)


def test_weights_on_a_stage() -> None:
    """With pipeline parallel the stage with most layers decides: 16 of 61 layers, not a quarter."""
    r1 = {"model_config": MODELS["deepseek-ai/DeepSeek-R1"], "gpu_memory_mib": 143771, "vllm_version": "0.11.0"}
    found = estimate.plan(
        **r1, weights_bytes=610 * GIB, tensor_parallel_size=8, pipeline_parallel_size=4, max_model_len=4096
    )
    assert found["weights_gib_per_gpu"] == pytest.approx(610 * 16 / 61 / 8, abs=0.001)


@pytest.mark.parametrize(
    ("config", "arguments", "factor"),
    [
        pytest.param({"torch_dtype": "bfloat16"}, {}, 1.0, id="as-stored"),
        pytest.param({"torch_dtype": "float32"}, {}, 0.5, id="float32-read-as-16-bit"),
        pytest.param({"torch_dtype": "float32"}, {"dtype": "float32"}, 1.0, id="float32-kept"),
        pytest.param({"torch_dtype": "bfloat16"}, {"quantization": "fp8"}, 0.56, id="quantized-while-loading"),
    ],
)
def test_files_on_the_gpu(config, arguments, factor) -> None:
    """Bytes of files are not always the bytes on the GPU; given ones are."""
    plain = {**MODELS["meta-llama/Llama-3.1-8B-Instruct"], **config}
    shared = {"model_config": plain, "gpu_memory_mib": 81559, "weights_bytes": 16 * GIB, "max_model_len": 4096}
    found = estimate.plan(**shared, weights_source="files", vllm_version="0.11.0", **arguments)
    assert found["weights_gib_per_gpu"] == pytest.approx(16 * factor, rel=0.02)
    assert estimate.plan(**shared, **arguments)["weights_gib_per_gpu"] == 16


def test_estimated_weights_widen() -> None:
    """Weights worked out from the architecture are a wider range than given ones."""
    given = medium(weights_bytes=int(18.0 * GIB))
    estimated = medium()
    assert (given["weights_source"], estimated["weights_source"]) == ("given", "estimated")
    width = {
        name: plan["kv_tokens"]["high"] / plan["kv_tokens"]["low"]
        for name, plan in (("given", given), ("estimated", estimated))
    }
    assert width["estimated"] > width["given"] * 1.05


LLAMA4 = {
    "model_type": "llama4",
    "text_config": {
        "model_type": "llama4_text",
        "hidden_size": 5120,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "num_local_experts": 128,
        "interleave_moe_layer_step": 2,
        "vocab_size": 202048,
        "attention_chunk_size": 8192,
    },
}
JAMBA = {
    "model_type": "jamba",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_experts": 16,
    "attn_layer_period": 8,
    "attn_layer_offset": 4,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "mamba_d_state": 16,
    "mamba_expand": 2,
    "vocab_size": 65536,
}
DBRX = {
    "model_type": "dbrx",
    "d_model": 6144,
    "n_heads": 48,
    "n_layers": 40,
    "vocab_size": 100352,
    "attn_config": {"kv_n_heads": 8},
    "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
}
LONGCAT = {
    "model_type": "longcat_flash",
    "hidden_size": 6144,
    "num_layers": 28,
    "num_attention_heads": 64,
    "ffn_hidden_size": 12288,
    "expert_ffn_hidden_size": 2048,
    "n_routed_experts": 512,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "vocab_size": 131072,
}
MAMBA2 = {
    "model_type": "mamba2",
    "hidden_size": 2560,
    "num_hidden_layers": 64,
    "state_size": 128,
    "num_heads": 80,
    "head_dim": 64,
    "n_groups": 1,
    "vocab_size": 50288,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        pytest.param(LLAMA4, 400.7, id="experts-in-every-second-layer"),
        pytest.param(JAMBA, 51.6, id="mamba-attention-and-experts"),
        pytest.param(DBRX, 132, id="sizes-in-parts"),
        pytest.param(LONGCAT, 560, id="two-of-each-beside-experts"),
        pytest.param(MAMBA2, 2.7, id="no-attention"),
        # as their model cards say
        pytest.param(NEMOTRON, 31.6, id="layers-of-one-thing-experts-without-a-gate"),
        pytest.param(WHISPER, 1.54, id="encoder-and-decoder"),
        pytest.param({**WHISPER, "decoder_layers": 4}, 0.81, id="fewer-decoder-layers"),
        pytest.param(DEEPSEEK_V4, 284, id="compressed-attention"),
    ],
)
def test_published_sizes(config, billions) -> None:
    """All parameters together are those that the model is published with."""
    assert sum(weights.parameters(model_config.shape(config)).values()) / 1e9 == pytest.approx(billions, rel=0.015)


def test_weights_in_gib() -> None:
    """Nemotron 3 Nano takes 59 GiB in 16 bit; DeepSeek V4's experts are in 4 bit, the rest in 8."""
    assert weights.estimated_weights_bytes(model_config.shape(NEMOTRON)) / GIB == pytest.approx(58.8, rel=0.01)
    assert 135 < weights.estimated_weights_bytes(model_config.shape(DEEPSEEK_V4)) / GIB < 160


@pytest.mark.parametrize(
    ("changes", "linear"),
    [
        pytest.param({"hidden_act": "relu2"}, 8 * (4 * 1024 * 1024 + 2 * 1024 * 4096), id="no-gate"),
        pytest.param({}, 8 * (4 * 1024 * 1024 + 3 * 1024 * 4096), id="gate"),
        pytest.param(
            # two inner widths in, groups of states and time steps beside, one out
            {"model_type": "mamba2", "num_heads": 32, "head_dim": 64, "state_size": 128, "n_groups": 1},
            8 * (1024 * (2 * 2048 + 2 * 128 + 32) + 2048 * 1024),
            id="mamba2",
        ),
    ],
)
def test_matrices(changes, linear) -> None:
    """Matrices of a layer: attention or a recurrence, and a feed-forward with a gate or without."""
    assert weights.parameters(model_config.shape({**SMALL, **changes}))["linear"] == linear
