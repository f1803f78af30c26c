# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations of models, and plans of the medium service, that tests of the capacity plan share."""

from __future__ import annotations

import json
import pathlib

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate

DATA = pathlib.Path(__file__).resolve().parent.parent / "unit" / "data"
MODELS = json.loads((DATA / "model_configs.json").read_text(encoding="utf-8"))
QWEN = json.loads((DATA / "qwen2.5-32b-instruct-awq" / "config.json").read_text(encoding="utf-8"))
#: The least that a configuration needs.
SMALL = {"num_hidden_layers": 8, "hidden_size": 1024, "num_attention_heads": 8}
#: Of the published config.json of Nemotron 3 Nano, Whisper large-v3 and DeepSeek V4 Flash, what decides memory.
NEMOTRON = {
    "model_type": "nemotron_h",
    "architectures": ["NemotronHForCausalLM"],
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
    "num_hidden_layers": 52,
    "hidden_size": 2688,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "vocab_size": 131072,
    "n_routed_experts": 128,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1856,
    "moe_shared_expert_intermediate_size": 3712,
    "n_shared_experts": 1,
    "mlp_hidden_act": "relu2",
    "intermediate_size": 1856,
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "n_groups": 8,
    "conv_kernel": 4,
    "tie_word_embeddings": False,
}
WHISPER = {
    "model_type": "whisper",
    "architectures": ["WhisperForConditionalGeneration"],
    "d_model": 1280,
    "num_hidden_layers": 32,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "vocab_size": 51866,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "is_encoder_decoder": True,
}
DEEPSEEK_V4 = {
    "model_type": "deepseek_v4",
    "architectures": ["DeepseekV4ForCausalLM"],
    "num_hidden_layers": 43,
    "hidden_size": 4096,
    "num_attention_heads": 64,
    "num_key_value_heads": 1,
    "head_dim": 512,
    "q_lora_rank": 1024,
    "o_lora_rank": 1024,
    "o_groups": 8,
    "qk_rope_head_dim": 64,
    "index_head_dim": 128,
    "sliding_window": 128,
    "n_routed_experts": 256,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 2048,
    "n_shared_experts": 1,
    "vocab_size": 129280,
    "compress_ratios": [0, 0, *[4, 128] * 20, 4],
    "expert_dtype": "fp4",
    "quantization_config": {"quant_method": "fp8"},
    "num_nextn_predict_layers": 1,
    "max_position_embeddings": 1048576,
}
GIB = 1024**3
ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
#: What goes beyond the model's length on vLLM 0.11, and on 0.12 and later.
OLD_YARN = {"max_position_embeddings": 131072, "rope_scaling": ROPE}
YARN = {"max_position_embeddings": 131072, "rope_parameters": ROPE}


def medium(**changes) -> dict:
    """The plan of the medium service on two RTX 4090, with changes."""
    arguments = {
        "model_config": QWEN,
        "gpu_memory_mib": [24564, 24564],
        "num_gpus": 2,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.9,
        "max_model_len": 131072,
        "kv_cache_dtype": "fp8",
        "vllm_version": "0.11.0",
        "hf_overrides": OLD_YARN,
    }
    return estimate.plan(**{**arguments, **changes})
