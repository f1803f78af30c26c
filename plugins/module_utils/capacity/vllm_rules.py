# SPDX-License-Identifier: GPL-3.0-or-later
"""What the versions of vLLM do differently about memory: defaults, budget, engines. Read in the wheels of each.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

#: Tokens of a block of the KV cache (vLLM's default ``block_size`` on CUDA, 0.5 to 0.32).
BLOCK_TOKENS = 16

#: First version that starts the engine V1 on its own, and the first that does so for nearly every model.
V1_SINCE = (0, 8)
V1_USUAL_SINCE = (0, 9)
#: First version that frees what left a sliding window (``grouped_layers`` in ``v1/core/kv_cache_utils.py`` of 0.9.1).
_HYBRID_SINCE = (0, 9, 1)
#: First version whose sampler does not sort (``v1/sample/ops/topk_topp_sampler.py``: not in 0.16.0, in 0.17.0).
_TRITON_SAMPLER_SINCE = (0, 17)
#: First version with 0.92 of the memory, CUDA graphs in the budget, and tokens as concurrency times length: 0.19.1 has
#: none of the three, 0.20.0 and 0.20.2 have them (the message of the graphs says 0.21).
_NEW_BUDGET_SINCE = (0, 20)
#: What an operator may have chosen by other options and the environment, which a plan does not know: a sampler that
#: does not sort (VLLM_USE_FLASHINFER_SAMPLER), prompts in chunks on the older engine (--enable-chunked-prefill).
LEAN = {"sorting_sampler": False, "whole_prompts": False}


def default_utilization(version: tuple | None) -> float:
    """Return vLLM's default of gpu_memory_utilization: 0.9, from 0.20 on 0.92 (``config/cache.py``)."""
    return 0.92 if version is not None and version >= _NEW_BUDGET_SINCE else 0.9


def default_batch(version: tuple, total_gib: float, gpu_name: str, max_model_len: int) -> tuple[int, int]:
    """Return vLLM's default max_num_seqs and max_num_batched_tokens of the API server.

    Source: ``engine/arg_utils.py`` of 0.8.5 to 0.32. From 70 GiB on, but not on an A100 (from 0.9 on), 1024 and 8192;
    from 160 GiB on (0.28) 16384 tokens; else 256 and 2048. The older engine profiled the whole length unless it
    was above 32768, where it cut prompts into 512 tokens (2048 from 0.6.4 on).

    Args:
        version: vLLM's version.
        total_gib: memory of the card in GiB.
        gpu_name: name of the card; empty: an A100 is told by the 81920 or 81251 MiB that only it reports.
        max_model_len: longest sequence in tokens.
    """
    if version < V1_SINCE:
        return 256, max(max_model_len, 2048) if max_model_len <= 32768 else v0_chunk(version)
    a100 = "a100" in gpu_name.lower() if gpu_name else round(total_gib * 1024) in (81920, 81251)
    if total_gib >= 160 and version >= (0, 28):
        return 1024, 16384
    if total_gib >= 70 and not (a100 and version >= V1_USUAL_SINCE):
        return 1024, 8192
    return 256, 2048


def v0_chunk(version: tuple) -> int:
    """Return the tokens into which the older engine cuts prompts: 512, from 0.6.4 on 2048."""
    return 2048 if version >= (0, 6, 4) else 512


def rules(version: tuple | None) -> list[dict]:
    """Return what a version of vLLM does; several where it is not known which of them a start will do."""
    if version is None:
        candidates = [(0, 6, 6), (0, 11, 0), (0, 32, 0)]
    elif V1_SINCE <= version < V1_USUAL_SINCE:
        # both engines are in 0.8, and which one runs depends on the model and the environment
        candidates = [(0, 7, 3), version]
    else:
        candidates = [version]
    return [
        {
            "version": item,
            "v0": item < V1_SINCE,
            "sorting_sampler": item < _TRITON_SAMPLER_SINCE,
            "whole_prompts": item < V1_SINCE,
            "graphs_in_budget": item >= _NEW_BUDGET_SINCE,
            "hybrid": item >= _HYBRID_SINCE,
            "capacity_by_concurrency": item >= _NEW_BUDGET_SINCE,
            # layers are padded to the larger of two groups while that wastes less than this share
            "padding": 1.0 if item < (0, 12) else 1.25 if item < (0, 19) else 1.5,
            # with prefix caching a recurrent layer keeps two states a sequence (0.27), else one
            "states": 2 if item >= (0, 27) else 1,
        }
        for item in candidates
    ]
