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
