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
#: First version whose own sampler does not sort (``v1/sample/ops/topk_topp_sampler.py``: not in 0.16.0, in 0.17.0).
_TRITON_SAMPLER_SINCE = (0, 17)
#: First version that takes FlashInfer's sampler only when it is asked to (the same file and ``envs.py``): the engine V1
#: before takes it where FlashInfer is installed, from 0.22 on again. It does not sort either.
_FLASHINFER_ASKED_SINCE = (0, 12)
#: First version with 0.92 of the memory, CUDA graphs in the budget, and tokens as concurrency times length: 0.19.1 has
#: none of the three, 0.20.0 and 0.20.2 have them (the message of the graphs says 0.21).
_NEW_BUDGET_SINCE = (0, 20)
#: First version that reads VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS, which takes CUDA graphs into the budget, or out.
_GRAPHS_BY_CHOICE_SINCE = (0, 18)
#: Versions whose V2 model runner takes nothing for CUDA graphs: its ``profile_cudagraph_memory`` returns 0 in
#: ``v1/worker/gpu/model_runner.py`` of 0.22.0 to 0.28.0, and an estimate in 0.29.0. Which models it runs by default is
#: in ``config/vllm.py`` of each: first by name if dense and not quantized, then by name, from 0.25 on all dense models.
_V2_SINCE, _V2_BY_NAME_SINCE, _V2_DENSE_SINCE, _V2_HYBRID_SINCE, _V2_COUNTS_GRAPHS_SINCE = (
    (0, 22), (0, 24), (0, 25), (0, 27), (0, 29),
)  # fmt: skip
_V2_ARCHITECTURES = {
    "Qwen3ForCausalLM": ((0, 22), (0, 25)),
    "LlamaForCausalLM": ((0, 23), (0, 25)),
    "MistralForCausalLM": ((0, 23), (0, 25)),
    "DeepseekV2ForCausalLM": ((0, 24), (0, 29)),
    "Qwen2MoeForCausalLM": ((0, 24), (0, 29)),
    "GraniteMoeForCausalLM": ((0, 24), (0, 29)),
    "InklingForCausalLM": ((0, 26), (0, 29)),
    "InklingForConditionalGeneration": ((0, 26), (0, 29)),
    "LongcatFlashNgramForCausalLM": ((0, 26), (0, 29)),
    "KimiK3ForConditionalGeneration": ((0, 27), (0, 29)),
    "DeepseekV4ForCausalLM": ((0, 28), (0, 29)),
}
#: Methods of speculation that it runs in 0.22 to 0.28; with others the older runner does.
_V2_SPECULATION = ("", "mtp", "eagle", "eagle3", "dflash", "dspark")
#: First version whose budget leaves out what was on the GPU before: until then memory of other processes and the CUDA
#: context count as vLLM's own (``worker/worker.py`` before 0.6.5, vLLM pull request 10511; ``v1/worker/gpu_worker.py``
#: of 0.8.5 and 0.9.0, not of 0.9.2; a start of 0.9.1.dev287 left 7.29 GiB of others out).
_OWN_MEMORY_SINCE_V0, _OWN_MEMORY_SINCE_V1 = (0, 6, 5), (0, 9, 1)
#: Variables of the container that `samplers`, `v2_runs` and `rules` look at.
MEMORY_VARIABLES = (
    "VLLM_USE_V1",
    "VLLM_USE_V2_MODEL_RUNNER",
    "VLLM_USE_FLASHINFER_SAMPLER",
    "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS",
)
#: What an operator may have chosen by an option which a plan does not know: prompts in chunks on the older engine
#: (--enable-chunked-prefill).
LEAN = {"whole_prompts": False}


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


def samplers(version: tuple, environment: dict | None) -> tuple[str, ...]:
    """Return how the sampler may find the likeliest words while vLLM measures: sorting, lean, the likelier first.

    Args:
        version: vLLM's version.
        environment: the container's variables; None where they are not known.
    """
    if version >= _TRITON_SAMPLER_SINCE:
        return ("lean",)
    chosen = (environment or {}).get("VLLM_USE_FLASHINFER_SAMPLER")
    if chosen is not None:
        return ("sorting",) if str(chosen).strip() == "0" else ("lean",)
    asked_for_only = version < V1_SINCE or version >= _FLASHINFER_ASKED_SINCE
    if environment is not None and asked_for_only:
        return ("sorting",)
    return ("sorting", "lean")


def v2_takes_no_graphs(version: tuple) -> bool:
    """Tell whether the V2 model runner of a version takes no CUDA graphs from the budget."""
    return version < _V2_COUNTS_GRAPHS_SINCE


def v2_runs(version: tuple, size: dict, quantized: bool, method: str, environment: dict | None) -> bool:
    """Tell whether the V2 model runner runs a model.

    Args:
        version: vLLM's version.
        size: of ``model_config.shape``.
        quantized: whether the weights are.
        method: of speculation, "" for none.
        environment: the container's variables; None where they are not known.
    """
    if version < _V2_SINCE:
        return False
    chosen = (environment or {}).get("VLLM_USE_V2_MODEL_RUNNER")
    if chosen is not None:
        return str(chosen).strip().lower() in ("1", "true")
    if size["pooling"] or method not in _V2_SPECULATION:
        return False
    found = [_V2_ARCHITECTURES[name] for name in size["config"]["architectures"] if name in _V2_ARCHITECTURES]
    named = any(first <= version < end for first, end in found)
    if version < _V2_DENSE_SINCE:
        return named and (version >= _V2_BY_NAME_SINCE or not (size["experts"] or quantized))
    if size["recurrent_layers"]:
        return named and version >= _V2_HYBRID_SINCE and bool(size["attention_layers"])
    return named or not size["experts"]


def rules(version: tuple | None, environment: dict | None = None) -> list[dict]:
    """Return what a version of vLLM does; several where it is not known which of them a start will do.

    Args:
        version: vLLM's version; None where it is not known.
        environment: the container's variables; None where they are not known.
    """
    if version is None:
        candidates = [(0, 6, 3), (0, 6, 6), (0, 11, 0), (0, 26, 0), (0, 32, 0)]
    elif V1_SINCE <= version < V1_USUAL_SINCE:
        # both engines are in 0.8, and which one runs depends on the model and the environment
        engine = str((environment or {}).get("VLLM_USE_V1", "")).strip()
        candidates = {"0": [(0, 7, 3)], "1": [version]}.get(engine, [(0, 7, 3), version])
    else:
        candidates = [version]
    return [_rules_of(item, environment) for item in candidates]


def _rules_of(version: tuple, environment: dict | None) -> dict:
    graphs = version >= _NEW_BUDGET_SINCE
    chosen = (environment or {}).get("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS")
    if chosen is not None and version >= _GRAPHS_BY_CHOICE_SINCE:
        graphs = str(chosen).strip() != "0"
    return {
        "version": version,
        "v0": version < V1_SINCE,
        "samplers": samplers(version, environment),
        "whole_prompts": version < V1_SINCE,
        "graphs_in_budget": graphs,
        "hybrid": version >= _HYBRID_SINCE,
        "capacity_by_concurrency": version >= _NEW_BUDGET_SINCE,
        # layers are padded to the larger of two groups while that wastes less than this share
        "padding": 1.0 if version < (0, 12) else 1.25 if version < (0, 19) else 1.5,
        # with prefix caching a recurrent layer keeps two states a sequence (0.27), else one
        "states": 2 if version >= (0, 27) else 1,
        # what others hold, and the context, is taken from the budget
        "others_count": version < (_OWN_MEMORY_SINCE_V0 if version < V1_SINCE else _OWN_MEMORY_SINCE_V1),
    }
