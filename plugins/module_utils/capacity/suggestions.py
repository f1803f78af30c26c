# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for changes of a service's variables that make its configuration fit, or help.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.myia.vllm.plugins.module_utils.capacity import kv_cache, vllm_rules
from ansible_collections.myia.vllm.plugins.module_utils.capacity.model_config import shape


def helpful(plan: Callable[[dict], dict], asked: dict, result: dict) -> list[dict]:
    """Return changes that help, those first that make the configuration fit and keep its length.

    Each is planned anew, so the effect is the difference between two plans.

    Args:
        plan: makes a plan of its arguments.
        asked: the arguments of the present plan.
        result: the present plan.
    """
    if result["fits"] == "yes" and result["length"]["within"]:
        return []
    found = []
    for rank, (variable, value, changes) in enumerate(_candidates(asked, result)):
        after = plan({**asked, **changes})
        tokens = int(_middle(after["kv_tokens"])) - int(_middle(result["kv_tokens"]))
        gib = _middle(after["kv_cache_gib_per_gpu"]) - _middle(result["kv_cache_gib_per_gpu"])
        shorter = variable == "vllm_max_model_len"
        helps = after["fits"] == "yes" if shorter else tokens > 0 or gib > 0
        if result["fits"] == "yes" or not helps:
            continue
        effect = "shorter sequences" if shorter else "%+d tokens (%+.2f GiB a GPU)" % (tokens, gib)
        needed = changes.get("num_gpus") or 0
        if needed > (asked["num_gpus"] or 0):
            effect += ", takes %d GPUs" % needed
        text = "%s: %s: %s; the KV cache holds %d to %d tokens, fits: %s" % (
            variable,
            value,
            effect,
            after["kv_tokens"]["low"],
            after["kv_tokens"]["high"],
            after["fits"],
        )
        suggestion = {
            "variable": variable,
            "value": value,
            "effect_tokens": tokens,
            "effect_gib_per_gpu": round(gib, 4),
            "fits": after["fits"],
            "text": text,
        }
        found.append((("yes", "uncertain", "no").index(after["fits"]), shorter, rank, suggestion))
    ordered = [entry[3] for entry in sorted(found, key=lambda entry: entry[:3])]
    verdict = result["length"]
    if verdict["hf_overrides"]:
        text = {"variable": "vllm_hf_overrides", "value": verdict["hf_overrides"], "text": verdict["text"]}
        ordered.append({**text, "effect_tokens": 0, "effect_gib_per_gpu": 0.0, "fits": result["fits"]})
    return ordered


def _middle(ends: dict) -> float:
    return (ends["low"] + ends["high"]) / 2


def _candidates(asked: dict, result: dict) -> list[tuple[str, object, dict]]:
    """Return the changes worth trying: variable, value, arguments of a plan."""
    size = shape(asked["model_config"], asked["hf_overrides"], asked["runner"])
    used = result["settings"]
    kv, tp, tries = str(asked["kv_cache_dtype"] or "auto"), asked["tensor_parallel_size"], []
    if kv_cache.KV_BYTES.get(kv, 1.0) >= 2.0:
        tries.append(("vllm_kv_cache_dtype", "fp8", {"kv_cache_dtype": "fp8"}))
    for more in (0.92, 0.95):
        if used["gpu_memory_utilization"] < more:
            tries.append(("vllm_gpu_memory_utilization", more, {"gpu_memory_utilization": more}))
    for fewer in (64, 16):
        if used["max_num_seqs"] > fewer:
            tries.append(("vllm_max_num_seqs", fewer, {"max_num_seqs": fewer}))
    if used["max_num_batched_tokens"] > 2048:
        tries.append(("vllm_max_num_batched_tokens", 2048, {"max_num_batched_tokens": 2048}))
    for more in range(tp + 1, 17):
        if size["heads"] % more == 0 and (size["kv_heads"] % more == 0 or more % size["kv_heads"] == 0):
            gpus = max(asked["num_gpus"] or 0, more * asked["pipeline_parallel_size"])
            tries.append(("vllm_tensor_parallel_size", more, {"tensor_parallel_size": more, "num_gpus": gpus}))
            break
    longest = result["max_model_len"]["low"]
    longest = min(longest, result["length"]["derived_tokens"] or longest, used["max_model_len"])
    longest -= longest % (1024 if longest >= 1024 else vllm_rules.BLOCK_TOKENS)
    if 0 < longest < used["max_model_len"]:
        tries.append(("vllm_max_model_len", longest, {"max_model_len": longest}))
    if not asked["enforce_eager"]:
        tries.append(("vllm_enforce_eager", True, {"enforce_eager": True}))
    return tries
