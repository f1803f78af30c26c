# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan GPU memory: does a model fit with a configuration of vLLM, and how many tokens does its KV cache hold?

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.

vLLM takes ``total memory x gpu_memory_utilization`` a GPU, subtracts weights, the peak of a profiling run and what is
used outside of PyTorch, and gives the rest to the KV cache (``v1/worker/gpu_worker.py``). Weights and the layout of
the cache can be worked out exactly; the rest cannot without a start, so its terms and the result are ranges.
"""

from __future__ import annotations

import math

from ansible_collections.myia.vllm.plugins.module_utils.capacity import kv_cache, vllm_rules
from ansible_collections.myia.vllm.plugins.module_utils.capacity import overhead as vllm_overhead
from ansible_collections.myia.vllm.plugins.module_utils.capacity.model_config import (
    YARN,
    derived_length,
    estimated_weights_bytes,
    shape,
    weight_width_bytes,
)
from ansible_collections.myia.vllm.plugins.module_utils.host.facts import GIB

#: How far weights that were worked out from the architecture may be off: unknown layers kept in 16 bit, padding.
ESTIMATED_WEIGHTS = (0.94, 1.0, 1.10)
#: Weights read from files: padding of the vocabulary and repacking add a little.
FILE_WEIGHTS = (1.0, 1.002, 1.008)


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
    max_model_len: int | None = None,
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
        max_model_len: longest sequence in tokens; None: what the model's configuration allows.
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
        suggest: whether to look for suggestions.

    Returns:
        See the module ``capacity_info``, which documents every key.

    Raises:
        ShapeError: ``model_config`` does not describe a language model.
        ValueError: a size is not positive.
    """
    tensor_parallel_size = 1 if tensor_parallel_size is None else tensor_parallel_size
    pipeline_parallel_size = 1 if pipeline_parallel_size is None else pipeline_parallel_size
    asked = {key: value for key, value in locals().items() if key != "suggest"}
    for name in ("tensor_parallel_size", "pipeline_parallel_size"):
        if asked[name] < 1:
            raise ValueError("%s is %s; it must be 1 or more." % (name, asked[name]))
    version = vllm_rules.parse_version(vllm_version)
    size = shape(model_config, hf_overrides)
    length = derived_length(size, version)
    total_gib = _smallest(gpu_memory_mib) / 1024
    if total_gib <= 0:
        raise ValueError("gpu_memory_mib is %s; it must be the MiB that nvidia-smi reports." % gpu_memory_mib)
    settings = {
        "tp": tensor_parallel_size,
        "pp": pipeline_parallel_size,
        "stage_layers": math.ceil(size["layers"] / pipeline_parallel_size),
        "utilization": gpu_memory_utilization or vllm_rules.default_utilization(version),
        "length": max_model_len or length["tokens"] or 2048,
        "seqs": max_num_seqs,
        "tokens": max_num_batched_tokens,
        "capture_sizes": cudagraph_capture_sizes or [],
        "eager": bool(enforce_eager),
        "gpu_name": gpu_name or "",
        "version": version,
    }
    weights, source = _weights_gib(size, weights_bytes, weights_source, quantization, dtype, settings)
    total = offered_gib(total_gib)
    budget = tuple(settings["utilization"] * value for value in total)

    branches = []
    widths = kv_cache.number_bytes(size, kv_cache_dtype, dtype, quantization, version)
    for rules in vllm_rules.rules(version):
        over = vllm_overhead.overhead(size, rules, settings, total_gib)
        lean = vllm_overhead.overhead(size, {**rules, **vllm_rules.LEAN}, settings, total_gib)
        low = (budget[0] - weights[2] - over["gib"][2], widths[0], kv_cache.ALL_INDEXED)
        high = (budget[2] - weights[0] - over["gib"][0], widths[1], kv_cache.FEW_INDEXED)
        best = (budget[2] - weights[0] - lean["gib"][0], widths[1], kv_cache.FEW_INDEXED)
        ends = []
        for room, width, indexed in (low, high, best):
            batch = {"room_gib": room, "number_bytes": width, "indexed": indexed, "tokens": over["tokens"]}
            ends.append({**kv_cache.held(size, rules, settings, batch), "room_gib": room})
        branches.append({"overhead": over, "low": ends[0], "high": ends[1], "best": ends[2]})
    main = branches[-1]
    low = {key: min(branch["low"][key] for branch in branches) for key in main["low"]}
    high = {key: max(branch["high"][key] for branch in branches) for key in main["high"]}
    overhead = (min(b["overhead"]["gib"][0] for b in branches), max(b["overhead"]["gib"][2] for b in branches))

    problems, warnings = _blockers(size, asked, settings, budget, branches, total)
    fits = "uncertain" if warnings else "yes"
    if low["longest"] < settings["length"]:
        fits = "uncertain"
    # what could start with a sampler or prompts cut as the operator may have chosen is not refused
    best = max(branch["best"]["longest"] for branch in branches)
    if problems or best < settings["length"]:
        fits = "no"
    elif high["longest"] < settings["length"]:
        warnings.append(
            "It can only start with what the plan does not count on: VLLM_USE_FLASHINFER_SAMPLER 1 in vllm_extra_env, "
            "before vLLM 0.8 enable-chunked-prefill in vllm_extra_options. Set that, or follow a suggestion."
        )
    result = {
        "fits": fits,
        "weights_gib_per_gpu": _round(weights[1]),
        "weights_source": source,
        "kv_bytes_per_token_per_gpu": main["low"]["bytes_per_token"],
        "budget_gib_per_gpu": _range(budget[0], budget[2]),
        "overhead_gib_per_gpu": _range(*overhead),
        "kv_cache_gib_per_gpu": _range(low["room_gib"], high["room_gib"]),
        "kv_cache_needed_gib_per_gpu": _round(main["low"]["needed_gib"]),
        "kv_tokens": {"low": low["tokens"], "high": high["tokens"]},
        "concurrency": _range(low["concurrency"], high["concurrency"]),
        "max_model_len": {"low": low["longest"], "high": high["longest"]},
        "length": _length_verdict(length, settings["length"], max_model_len is None),
        "settings": {
            "gpu_memory_utilization": settings["utilization"],
            "max_model_len": settings["length"],
            "max_num_seqs": main["overhead"]["seqs"],
            "max_num_batched_tokens": main["overhead"]["tokens"],
        },
        "problems": problems + ([_too_small(low, high, settings, main)] if fits == "no" and not problems else []),
        "warnings": warnings,
        "overhead": [
            {"name": term["name"], "low_gib": _round(term["gib"][0]), "high_gib": _round(term["gib"][2])}
            for term in main["overhead"]["terms"]
        ],
    }
    result["explanation"] = _explanation(result, size, settings, main, weights, total, total_gib)
    result["suggestions"] = _suggestions(asked, result, size) if suggest else []
    return result


def offered_gib(total_gib: float) -> tuple[float, float, float]:
    """Return low, expected and high GiB that CUDA offers of a GPU for which nvidia-smi reports ``total_gib``."""
    reserved = zip(vllm_overhead.RESERVED_GIB, vllm_overhead.RESERVED_SHARE)
    return tuple(total_gib - fixed - share * total_gib for fixed, share in reserved)[::-1]


def length_verdict(
    model_config: dict, max_model_len: int | None, vllm_version: str | None, hf_overrides: dict | None = None
) -> dict:
    """Return what the model's configuration says about a length, without any GPU: ``length`` of `plan`.

    Raises:
        ShapeError: ``model_config`` does not describe a language model.
    """
    size = shape(model_config, hf_overrides)
    length = derived_length(size, vllm_rules.parse_version(vllm_version))
    return _length_verdict(length, max_model_len or length["tokens"] or 2048, max_model_len is None)


def _weights_gib(size, given, given_source, quantization, dtype, settings) -> tuple[tuple, str]:
    """Return low, expected and high GiB of weights of the fullest GPU, and where they come from."""
    source = (given_source or "given") if given else "estimated"
    whole = given or estimated_weights_bytes(size, quantization, dtype)
    if source in ("index", "files", "hub"):
        whole *= _loading_factor(size, quantization, dtype)
    spread = {"given": (1.0, 1.0, 1.0), "estimated": ESTIMATED_WEIGHTS}.get(source, FILE_WEIGHTS)
    # the stage with most layers decides; embeddings and output head lie on the first and the last stage
    share = settings["stage_layers"] / size["layers"] / settings["tp"] / GIB
    return tuple(whole * share * factor for factor in spread), source


def _loading_factor(size: dict, quantization: str | None, dtype: str) -> float:
    """Return what becomes of a file's bytes on the GPU: quantized while loading, or 32 bit read as 16 bit."""
    flat = size["config"]
    if quantization and not flat.get("quantization_config"):
        plain = estimated_weights_bytes(size, None, dtype)
        return estimated_weights_bytes(size, quantization, dtype) / plain
    stored = str(flat.get("torch_dtype") or flat.get("dtype") or "").replace("torch.", "")
    if stored == "float32" and not flat.get("quantization_config"):
        return weight_width_bytes(flat, dtype) / 4
    return 1.0


def _blockers(size, asked, settings, budget, branches, total) -> tuple[list[str], list[str]]:
    """Return what makes a start impossible whatever the KV cache, and what may make it fail."""
    problems, warnings = [], []
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
        elif free < budget[1] + vllm_overhead.CONTEXT_GIB:
            warnings.append(
                "%.2f GiB are free, vLLM wants %.2f GiB (utilization %.2f) free beside its CUDA context (%.2f GiB on "
                "an H100). If it refuses to start, lower vllm_gpu_memory_utilization to %.2f."
                % (
                    free,
                    budget[1],
                    settings["utilization"],
                    vllm_overhead.CONTEXT_GIB,
                    math.floor(100 * max(0.0, free - vllm_overhead.CONTEXT_GIB) / total[2]) / 100,
                )
            )
    outside = (1 - settings["utilization"]) * total[1]
    beside = [b["overhead"] for b in branches if b["overhead"]["terms"][-1]["name"] != "cuda_graphs"]
    graphs = max((over["graphs_gib"][1] for over in beside), default=0.0)
    if graphs > outside:
        warnings.append(
            "CUDA graphs take about %.1f GiB beside the %.1f GiB that utilization %.2f leaves. Lower "
            "vllm_gpu_memory_utilization or vllm_max_num_seqs." % (graphs, outside, settings["utilization"])
        )
    return problems, warnings


def _too_small(low: dict, high: dict, settings: dict, main: dict) -> str:
    rooms = (low["room_gib"], high["room_gib"])
    if high["room_gib"] <= 0:
        return "weights and overhead leave no memory for the KV cache (%.2f to %.2f GiB)." % rooms
    return "one sequence of %d tokens needs %.2f GiB of KV cache a GPU, at most %.2f GiB are there." % (
        settings["length"],
        main["low"]["needed_gib"],
        high["room_gib"],
    )


def _length_verdict(length: dict, wanted: int, unset: bool) -> dict:
    """Return whether the model's configuration allows a length, and the overrides that would."""
    allowed, native = length["tokens"], length["native_tokens"]
    verdict = {
        "derived_tokens": allowed,
        "native_tokens": native,
        "within": unset or allowed is None or wanted <= allowed,
        "yarn_factor": None,
        "hf_overrides": {},
        "ignored": False,
        "text": "",
    }
    if verdict["within"]:
        verdict["text"] = "%d tokens are within what the model's config.json allows (%s)." % (wanted, allowed)
        if length["factor"] != 1.0 and length["rope_type"] in YARN:
            verdict["yarn_factor"] = length["factor"]
            verdict["text"] += " YaRN with factor %s is on; it is applied to short prompts too." % length["factor"]
        if length["ignored"]:
            verdict["ignored"] = True
            verdict["text"] += (
                " But vLLM reads rope_parameters from 0.12 on only: nothing is scaled, and long prompts give nonsense. "
                "Name it rope_scaling in vllm_hf_overrides, or set vllm_version to 0.12 or later."
            )
        return verdict
    verdict["text"] = (
        "%d tokens are more than the model's config.json allows (%d): vLLM refuses to start. Lower vllm_max_model_len "
        "to %d" % (wanted, allowed, allowed)
    )
    if not length["scalable"]:
        verdict["text"] += "; this model cannot be stretched by YaRN."
        return verdict
    factor = math.ceil(wanted / native * 2) / 2
    verdict["yarn_factor"] = float(factor)
    rope = {"rope_type": "yarn", "factor": float(factor), "original_max_position_embeddings": native}
    if length["rope_theta"]:
        rope["rope_theta"] = float(length["rope_theta"])
    verdict["hf_overrides"] = {"max_position_embeddings": int(native * factor), length["rope_key"]: rope}
    verdict["text"] += (
        ", or set vllm_hf_overrides to YaRN with factor %s, both %s and max_position_embeddings: vLLM before 0.30 "
        "multiplies the original length by the factor, later ones take max_position_embeddings as already scaled."
        % (factor, length["rope_key"])
    )
    return verdict


def _explanation(result, size, settings, main, weights, total, total_gib) -> list[str]:
    """Return the arithmetic in lines that an operator can follow."""
    tp, kv, tokens = settings["tp"], result["kv_cache_gib_per_gpu"], result["kv_tokens"]
    lines = [
        "GPU memory: nvidia-smi reports %d MiB = %.2f GiB, of which CUDA offers %.2f to %.2f GiB"
        % (total_gib * 1024, total_gib, total[0], total[2]),
        "Budget: %.2f x that = %.2f to %.2f GiB"
        % (settings["utilization"], result["budget_gib_per_gpu"]["low"], result["budget_gib_per_gpu"]["high"]),
        "Weights: %.2f GiB / tensor parallel %d%s = %.2f GiB a GPU (%s)"
        % (
            weights[1] * tp * size["layers"] / settings["stage_layers"],
            tp,
            " x %d of %d layers" % (settings["stage_layers"], size["layers"]) if settings["pp"] > 1 else "",
            weights[1],
            result["weights_source"],
        ),
    ]
    for term in main["overhead"]["terms"]:
        lines.append(
            "Overhead, %s: %.2f to %.2f GiB (%s)"
            % (term["name"].replace("_", " "), term["gib"][0], term["gib"][2], term["text"])
        )
    lines += [
        "KV cache: budget - weights - overhead = %.2f to %.2f GiB a GPU" % (kv["low"], kv["high"]),
        "KV cache a token and GPU: %s = %d bytes" % (_kv_formula(size, tp), main["low"]["bytes_per_token"]),
        "That holds %d to %d tokens; one sequence of %d tokens needs %.2f GiB, so %.2f to %.2f of them fit at once"
        % (
            tokens["low"],
            tokens["high"],
            settings["length"],
            result["kv_cache_needed_gib_per_gpu"],
            result["concurrency"]["low"],
            result["concurrency"]["high"],
        ),
        "Longest sequence that fits: %d to %d tokens"
        % (result["max_model_len"]["low"], result["max_model_len"]["high"]),
        "Length: %s" % result["length"]["text"],
        "Verdict: %s" % result["fits"],
    ]
    if len(vllm_rules.rules(settings["version"])) > 1:
        lines.insert(
            -4,
            "The version leaves open how vLLM starts: what follows spans every way, what stands above is the newest",
        )
    return lines


def _kv_formula(size: dict, tp: int) -> str:
    layers = ", ".join("%d %s" % (number, kind) for kind, number in size["kinds"].items())
    if size["mla_dim"]:
        return "latent attention, %d numbers in each of %d layers, on every GPU" % (size["mla_dim"], size["layers"])
    return "2 x %s layers x %d of %d heads x %d numbers" % (
        layers,
        max(1, math.ceil(size["kv_heads"] / tp)),
        size["kv_heads"],
        size["head_dim"],
    )


def _suggestions(asked: dict, result: dict, size: dict) -> list[dict]:
    """Return changes that help, those first that make the configuration fit and keep its length.

    Each is planned anew, so the effect is the difference between two plans.
    """
    if result["fits"] == "yes" and result["length"]["within"]:
        return []
    found = []
    for rank, (variable, value, changes) in enumerate(_candidates(asked, result, size)):
        after = plan(**{**asked, **changes}, suggest=False)
        tokens = sum(after["kv_tokens"].values()) // 2 - sum(result["kv_tokens"].values()) // 2
        gib = sum(after["kv_cache_gib_per_gpu"].values()) / 2 - sum(result["kv_cache_gib_per_gpu"].values()) / 2
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
            "effect_gib_per_gpu": _round(gib),
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


def _candidates(asked: dict, result: dict, size: dict) -> list[tuple[str, object, dict]]:
    """Return the changes worth trying: variable, value, arguments of `plan`."""
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


def _smallest(memory) -> int:
    values = memory if isinstance(memory, (list, tuple)) else [memory]
    if not values:
        raise ValueError("gpu_memory_mib is an empty list; name the memory of each GPU.")
    return min(int(value) for value in values)


def _round(value: float) -> float:
    return round(value, 4)


def _range(low: float, high: float) -> dict:
    return {"low": _round(low), "high": _round(high)}
