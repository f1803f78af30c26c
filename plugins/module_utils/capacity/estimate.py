# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan GPU memory: does a model fit with a configuration of vLLM, and how many tokens does its KV cache hold?

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.

vLLM takes ``total memory x gpu_memory_utilization`` a GPU, subtracts weights, the peak of a profiling run and what is
used outside of PyTorch, and gives the rest to the KV cache (``v1/worker/gpu_worker.py``). Weights and the layout of
the cache can be worked out exactly; the rest cannot without a start, so its terms and the result are ranges.

What goes one way, from `plan` down: settings, memory of a GPU, each way in which vLLM may start, both ends over all of
them, verdict, lines that explain it. Suggestions are made of the finished plan, by planning anew with each change.
"""

from __future__ import annotations

import math

from ansible_collections.myia.vllm.plugins.module_utils.capacity import (
    explanation,
    kv_cache,
    length,
    speculation,
    suggestions,
    unknown,
    vllm_rules,
    weights,
)
from ansible_collections.myia.vllm.plugins.module_utils.capacity import outside as outside_pytorch
from ansible_collections.myia.vllm.plugins.module_utils.capacity import overhead as vllm_overhead
from ansible_collections.myia.vllm.plugins.module_utils.capacity.model_config import shape
from ansible_collections.myia.vllm.plugins.module_utils.common import versions

#: Said where the KV cache is too small in every way that a plan counts on.
_ONLY_BY_CHOICE = (
    "It can only start with what the plan does not count on: enable-chunked-prefill in vllm_extra_options. Set that, "
    "or follow a suggestion."
)
#: Tokens below which a length that vLLM chooses is worth a warning: a bound of ours, shorter than a service wants.
_SHORT_TOKENS = 2048


def plan(
    *,
    model_config: dict,
    gpu_memory_mib: int | list,
    weights_bytes: int | None = None,
    weights_source: str = "",
    num_gpus: int | None = None,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
    gpu_memory_utilization: float | None = None,
    max_model_len: int | str | None = None,
    kv_cache_dtype: str = "auto",
    dtype: str = "auto",
    quantization: str | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    cudagraph_capture_sizes: list | None = None,
    enforce_eager: bool = False,
    vllm_version: str | None = None,
    gpu_name: str = "",
    gpu_memory_free_mib: int | list | None = None,
    hf_overrides: dict | None = None,
    runner: str = "",
    environment: dict | None = None,
    speculative_config: dict | None = None,
    draft_config: dict | None = None,
    limit_mm_per_prompt: dict | None = None,
    suggest: bool = True,
) -> dict:
    """Return whether a configuration fits, with the arithmetic and what would help.

    Args:
        model_config: content of the model's ``config.json``.
        gpu_memory_mib: memory of a GPU in MiB as ``nvidia-smi`` reports it; of a list the smallest decides.
        weights_bytes: bytes of all weights as they lie on the GPUs; None: worked out from the architecture.
        weights_source: where the bytes come from: V(given), V(index), V(files) or V(hub).
        num_gpus: GPUs that the service may use.
        tensor_parallel_size: GPUs that share a layer.
        pipeline_parallel_size: groups of GPUs that share the layers.
        gpu_memory_utilization: share of a GPU's memory; None: vLLM's default.
        max_model_len: longest sequence in tokens; None: what the model's configuration allows; auto or -1: the longest
            that fits, as vLLM chooses it since 0.14.
        kv_cache_dtype: of ``--kv-cache-dtype``.
        dtype: of ``--dtype``.
        quantization: of ``--quantization``.
        max_num_seqs: of ``--max-num-seqs``; None: vLLM's default.
        max_num_batched_tokens: of ``--max-num-batched-tokens``; None: vLLM's default.
        cudagraph_capture_sizes: of ``--cudagraph-capture-sizes``; None or empty: vLLM's own.
        enforce_eager: whether no CUDA graphs are captured.
        vllm_version: version of vLLM; None or unknown: the range spans what the versions since 0.6 do.
        gpu_name: name of the card, for defaults that depend on it.
        gpu_memory_free_mib: memory that nobody uses now; None: all of it.
        hf_overrides: of ``--hf-overrides``.
        runner: generate or pooling, as vLLM will run the model; "" to tell by its configuration and name.
        environment: variables of vLLM's container; None: not known.
        speculative_config: of ``--speculative-config``.
        draft_config: content of the draft model's ``config.json``, where it has one of its own.
        limit_mm_per_prompt: of ``--limit-mm-per-prompt``; 0 for every modality takes nothing for the encoder.
        suggest: whether to look for suggestions.

    Returns:
        See the module ``capacity_info``, which documents every key.

    Raises:
        ShapeError: ``model_config`` does not describe a language model.
        ValueError: a size is not positive.
    """
    max_model_len = length.asked_length(max_model_len)
    asked = {name: value for name, value in locals().items() if name != "suggest"}
    for name in ("tensor_parallel_size", "pipeline_parallel_size"):
        asked[name] = 1 if asked[name] is None else asked[name]
    result = _without_suggestions(asked)
    result["suggestions"] = suggestions.helpful(_without_suggestions, asked, result) if suggest else []
    return result


def _without_suggestions(asked: dict) -> dict:
    """Return a plan but for its suggestions; ``asked`` are the arguments of `plan`."""
    for name in ("tensor_parallel_size", "pipeline_parallel_size"):
        if asked[name] < 1:
            raise ValueError("%s is %s; it must be 1 or more." % (name, asked[name]))
    version = versions.release(asked["vllm_version"])
    size = shape(asked["model_config"], asked["hf_overrides"], asked["runner"])
    allowed = length.derived_length(size, version)
    draft = speculation.added(asked["speculative_config"], size, asked, asked["draft_config"])
    settings = _settings(asked, size, allowed, version, draft)
    memory = _memory(asked, size, settings, draft)
    widths = kv_cache.number_bytes(size, asked["kv_cache_dtype"], asked["dtype"], asked["quantization"], version)
    rules = vllm_rules.rules(version, asked["environment"])
    ways = [_way(size, rule, settings, memory, widths) for rule in rules]
    ends = _ends(ways)
    chosen = None
    if settings["auto"]:
        chosen = _fitted(ends, settings["length"])
        settings = {**settings, "length": max(1, chosen["low"] or chosen["high"])}
        ways = [_way(size, rule, settings, memory, widths) for rule in rules]
        ends = _ends(ways)
    problems, warnings = _blockers(size, asked, settings, memory, ways)
    if chosen:
        fits, problems, warnings = _auto_verdict(chosen, allowed, ends, problems, warnings)
    else:
        fits, problems, warnings = _verdict(settings, ends, ways[-1], problems, warnings)
    said = asked["max_model_len"] is not None and not settings["auto"]
    result = {
        "fits": fits,
        **_figures(settings, memory, ends, ways[-1]),
        "length": length.verdict(allowed, settings["length"], not said),
        "auto_max_model_len": chosen,
        "problems": problems,
        "warnings": warnings,
        "unknown": unknown.causes(size, asked, settings, rules, draft, any(way["overhead"]["cold"] for way in ways)),
    }
    result["explanation"] = explanation.lines(result, size, settings, memory, ways[-1]["overhead"]["terms"])
    return result


def _settings(asked: dict, size: dict, allowed: dict, version: tuple | None, draft: dict) -> dict:
    """Return what the other steps need of ``asked``, with vLLM's defaults; ``length`` is in tokens.

    Args:
        asked: arguments of `plan`.
        size: of ``model_config.shape``.
        allowed: of ``length.derived_length``.
        version: vLLM's version; None where it is not known.
        draft: of ``speculation.added``.
    """
    auto = asked["max_model_len"] == length.AUTO
    limits = asked["limit_mm_per_prompt"] or {}
    free = asked["gpu_memory_free_mib"]
    others = None if free is None else _smallest(asked["gpu_memory_mib"]) - _smallest(free)
    return {
        "tp": asked["tensor_parallel_size"],
        "pp": asked["pipeline_parallel_size"],
        "stage_layers": math.ceil(size["layers"] / asked["pipeline_parallel_size"]),
        "utilization": asked["gpu_memory_utilization"] or vllm_rules.default_utilization(version),
        "auto": auto,
        "length": (None if auto else asked["max_model_len"]) or allowed["tokens"] or length.UNSAID_TOKENS,
        "seqs": asked["max_num_seqs"],
        "tokens": asked["max_num_batched_tokens"],
        "capture_sizes": asked["cudagraph_capture_sizes"] or [],
        "eager": bool(asked["enforce_eager"]),
        "gpu_name": asked["gpu_name"] or "",
        "version": version,
        "environment": asked["environment"],
        "quantized": bool(asked["quantization"] or size["config"].get("quantization_config")),
        "no_media": bool(limits) and not any(_number_of(limit) for limit in limits.values()),
        "others_gib": None if others is None else max(0, others) / 1024,
        "draft_method": draft["method"],
        "draft_tokens": draft["tokens"],
        "draft_layers": draft["layers"][1],
        "fewest_draft_layers": draft["layers"][0],
    }


def _number_of(limit) -> int:
    """Return how many items of a modality a prompt may have: a number, or a dictionary with its ``count``."""
    found = limit.get("count", 1) if isinstance(limit, dict) else limit
    return int(found) if str(found).isdigit() else 1


def _fitted(ends: dict, longest: int) -> dict:
    """Return the length that vLLM chooses by itself, at least and at most; 0 where not even one token fits."""
    return {end: min(longest, ends[end]["longest"]) for end in ("low", "high")}


def _memory(asked: dict, size: dict, settings: dict, draft: dict) -> dict:
    """Return the memory of one GPU in GiB.

    Returns:
        ``card_gib`` as ``nvidia-smi`` reports it; as (low, expected, high) ``total_gib`` that CUDA offers of it,
        ``budget_gib`` that vLLM takes and ``weights_gib`` of the fullest GPU; ``weights_source``.
    """
    card_gib = _smallest(asked["gpu_memory_mib"]) / 1024
    if card_gib <= 0:
        raise ValueError("gpu_memory_mib is %s; it must be the MiB that nvidia-smi reports." % asked["gpu_memory_mib"])
    total = offered_gib(card_gib)
    weights_gib, source = weights.weights_gib(size, asked, settings)
    weights_gib = tuple(own + beside for own, beside in zip(weights_gib, draft["weights_gib"]))
    return {
        "card_gib": card_gib,
        "total_gib": total,
        "budget_gib": tuple(settings["utilization"] * value for value in total),
        "weights_gib": weights_gib,
        "weights_source": source,
    }


def _way(size: dict, rules: dict, settings: dict, memory: dict, widths: tuple) -> dict:
    """Return what one way to start leaves for the KV cache, and what that holds.

    Args:
        size: of ``model_config.shape``.
        rules: one entry of ``vllm_rules.rules``.
        settings: of `_settings`.
        memory: of `_memory`.
        widths: the most and the fewest bytes of a number of the cache.

    Returns:
        ``overhead``; ``low``, ``expected``, ``high`` and ``best`` (with what the operator may have chosen and a plan
        does not know), each as of ``kv_cache.held`` with its ``room_gib``.
    """
    over = vllm_overhead.overhead(size, rules, settings, memory["card_gib"])
    lean = vllm_overhead.overhead(size, {**rules, **vllm_rules.LEAN}, settings, memory["card_gib"])
    budget, weights_gib = memory["budget_gib"], memory["weights_gib"]
    most_gib = budget[2] - weights_gib[0]
    ends = {
        "expected": (budget[1] - weights_gib[1] - over["gib"][1], widths[1], kv_cache.FEW_INDEXED),
        "low": (budget[0] - weights_gib[2] - over["gib"][2], widths[0], kv_cache.ALL_INDEXED),
        "high": (most_gib - over["gib"][0], widths[1], kv_cache.FEW_INDEXED),
        "best": (most_gib - lean["gib"][0], widths[1], kv_cache.FEW_INDEXED),
    }
    way = {"overhead": over}
    share = kv_cache.indexed_share(size)
    for end, (room_gib, width, indexed) in ends.items():
        indexed = indexed if share is None or size["compress_ratios"] else share
        batch = {"room_gib": room_gib, "number_bytes": width, "indexed": indexed, "tokens": over["tokens"]}
        draft = settings["draft_layers" if end in ("low", "expected") else "fewest_draft_layers"]
        way[end] = {**kv_cache.held(size, rules, {**settings, "draft_layers": draft}, batch), "room_gib": room_gib}
    return way


def _ends(ways: list[dict]) -> dict:
    """Return the worst and the best of all ways to start: ``low``, ``high``, ``overhead_gib``, ``best_tokens``."""
    return {
        "low": {key: min(way["low"][key] for way in ways) for key in ways[0]["low"]},
        "high": {key: max(way["high"][key] for way in ways) for key in ways[0]["high"]},
        "overhead_gib": (
            min(way["overhead"]["gib"][0] for way in ways),
            max(way["overhead"]["gib"][2] for way in ways),
        ),
        "best_tokens": max(way["best"]["longest"] for way in ways),
    }


def _verdict(
    settings: dict, ends: dict, newest: dict, problems: list[str], warnings: list[str]
) -> tuple[str, list[str], list[str]]:
    """Return yes, no or uncertain, with all problems and warnings."""
    wanted = settings["length"]
    # what could start with a sampler or prompts cut as the operator may have chosen is not refused
    if problems or ends["best_tokens"] < wanted:
        return "no", problems or [_too_small(ends, wanted, newest["low"]["needed_gib"])], warnings
    if ends["high"]["longest"] < wanted:
        warnings = [*warnings, _ONLY_BY_CHOICE]
    return "uncertain" if warnings or ends["low"]["longest"] < wanted else "yes", [], warnings


def _auto_verdict(
    chosen: dict, allowed: dict, ends: dict, problems: list[str], warnings: list[str]
) -> tuple[str, list[str], list[str]]:
    """Return the verdict where vLLM chooses the length, with all problems and warnings."""
    if problems or chosen["high"] < 1:
        room = ends["high"]["room_gib"]
        text = "not even one token fits (%.2f GiB are left at most): vLLM cannot choose a length." % room
        return "no", problems or [text], warnings
    wanted = min(_SHORT_TOKENS, allowed["tokens"] or _SHORT_TOKENS)
    if chosen["low"] < wanted:
        text = "vLLM may choose a length of %d tokens only." % chosen["low"]
        if not chosen["low"]:
            text = "not even one token may fit, and then vLLM chooses no length but stops."
        return "uncertain", [], [*warnings, text]
    return "uncertain" if warnings else "yes", [], warnings


def _too_small(ends: dict, wanted: int, needed_gib: float) -> str:
    low_gib, high_gib = ends["low"]["room_gib"], ends["high"]["room_gib"]
    if high_gib <= 0:
        return "weights and overhead leave no memory for the KV cache (%.2f to %.2f GiB)." % (low_gib, high_gib)
    return "one sequence of %d tokens needs %.2f GiB of KV cache a GPU, at most %.2f GiB are there." % (
        wanted,
        needed_gib,
        high_gib,
    )


def _figures(settings: dict, memory: dict, ends: dict, newest: dict) -> dict:
    """Return the numbers of a plan; where the ways to start differ and one has to be named, of the newest."""
    low, high, overhead = ends["low"], ends["high"], newest["overhead"]
    return {
        "weights_gib_per_gpu": _round(memory["weights_gib"][1]),
        "weights_source": memory["weights_source"],
        "kv_bytes_per_token_per_gpu": newest["low"]["bytes_per_token"],
        "budget_gib_per_gpu": _range(memory["budget_gib"][0], memory["budget_gib"][2]),
        "overhead_gib_per_gpu": _range(*ends["overhead_gib"]),
        "kv_cache_gib_per_gpu": {
            **_range(low["room_gib"], high["room_gib"]),
            "expected": _round(_within(newest["expected"]["room_gib"], low["room_gib"], high["room_gib"])),
        },
        "kv_cache_needed_gib_per_gpu": _round(newest["low"]["needed_gib"]),
        "kv_tokens": {
            "low": low["tokens"],
            "high": high["tokens"],
            "expected": _within(newest["expected"]["tokens"], low["tokens"], high["tokens"]),
        },
        "concurrency": _range(low["concurrency"], high["concurrency"]),
        "max_model_len": {"low": low["longest"], "high": high["longest"]},
        "settings": {
            "gpu_memory_utilization": settings["utilization"],
            "max_model_len": settings["length"],
            "max_num_seqs": overhead["seqs"],
            "max_num_batched_tokens": overhead["tokens"],
        },
        "overhead": [
            {"name": term["name"], "low_gib": _round(term["gib"][0]), "high_gib": _round(term["gib"][2])}
            for term in overhead["terms"]
        ],
    }


def _blockers(size: dict, asked: dict, settings: dict, memory: dict, ways: list[dict]) -> tuple[list[str], list[str]]:
    """Return what makes a start impossible whatever the KV cache, and what may make it fail."""
    problems, warnings = [], []
    total, budget = memory["total_gib"], memory["budget_gib"]
    tp, pp = settings["tp"], settings["pp"]
    if asked["num_gpus"] is not None and tp * pp > asked["num_gpus"]:
        problems.append(
            "tensor parallel %d x pipeline parallel %d needs %d GPUs, the service has %d. Lower "
            "vllm_tensor_parallel_size or add GPUs to vllm_gpu_devices." % (tp, pp, tp * pp, asked["num_gpus"])
        )
    if size["heads"] % tp:
        fitting = [str(number) for number in range(1, 17) if size["heads"] % number == 0]
        problems.append(
            "%d attention heads cannot be split over %d GPUs; vLLM wants a divisor. Set vllm_tensor_parallel_size "
            "to one of %s." % (size["heads"], tp, ", ".join(fitting))
        )
    if asked["gpu_memory_free_mib"] is not None:
        free = _smallest(asked["gpu_memory_free_mib"]) / 1024
        if free < budget[0]:
            problems.append(
                "%.2f GiB are free, vLLM wants %.2f GiB (utilization %.2f) free when it starts. Stop what holds the "
                "memory, or lower vllm_gpu_memory_utilization to %.2f."
                % (free, budget[1], settings["utilization"], math.floor(100 * free / total[2]) / 100)
            )
        elif free < budget[1] + outside_pytorch.CONTEXT_GIB:
            warnings.append(
                "%.2f GiB are free, vLLM wants %.2f GiB (utilization %.2f) free beside its CUDA context (%.2f GiB on "
                "an H100). If it refuses to start, lower vllm_gpu_memory_utilization to %.2f."
                % (
                    free,
                    budget[1],
                    settings["utilization"],
                    outside_pytorch.CONTEXT_GIB,
                    math.floor(100 * max(0.0, free - outside_pytorch.CONTEXT_GIB) / total[2]) / 100,
                )
            )
    outside = (1 - settings["utilization"]) * total[1]
    beside = [way["overhead"] for way in ways if way["overhead"]["terms"][-1]["name"] != "cuda_graphs"]
    graphs, most = (max((over["graphs_gib"][i] for over in beside), default=0.0) for i in (1, 2))
    # where the context counts as a part of the budget, it is one of what others hold
    own = any(all(term["name"] != "others" for term in way["overhead"]["terms"]) for way in ways)
    context = outside_pytorch.CONTEXT_GIB if own else 0.0
    if graphs <= outside < graphs + context and not warnings:
        warnings.append(
            "The CUDA context (%.2f GiB on an H100)%s must lie beside the budget, and utilization %.3g leaves %.2f "
            "GiB: the KV cache may not fit. Lower vllm_gpu_memory_utilization to %.2f."
            % (
                context,
                " and CUDA graphs (about %.1f GiB)" % graphs if graphs else "",
                settings["utilization"],
                outside,
                math.floor(100 * (1 - (most + outside_pytorch.BESIDE_GIB) / total[1])) / 100,
            )
        )
    if graphs > outside:
        warnings.append(
            "CUDA graphs take about %.1f GiB beside the %.1f GiB that utilization %.2f leaves. Lower "
            "vllm_gpu_memory_utilization or vllm_max_num_seqs." % (graphs, outside, settings["utilization"])
        )
    return problems, warnings


def offered_gib(total_gib: float) -> tuple[float, float, float]:
    """Return low, expected and high GiB that CUDA offers of a GPU for which nvidia-smi reports ``total_gib``."""
    reserved = zip(vllm_overhead.RESERVED_GIB, vllm_overhead.RESERVED_SHARE)
    return tuple(total_gib - fixed - share * total_gib for fixed, share in reserved)[::-1]


def _smallest(memory) -> int:
    values = memory if isinstance(memory, (list, tuple)) else [memory]
    if not values:
        raise ValueError("gpu_memory_mib is an empty list; name the memory of each GPU.")
    return min(int(value) for value in values)


def _within(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def _round(value: float) -> float:
    return round(value, 4)


def _range(low: float, high: float) -> dict:
    return {"low": _round(low), "high": _round(high)}
