# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight checks of the model: access, parallel sizes, length, capacity. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, length, model_config
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import gpu as preflight_gpu
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import kind as preflight_kind
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding

#: Options of ``vllm serve`` that move memory in ways the plan does not count: a "no" is then no proof.
_UNCOUNTED = (
    "cpu-offload-gb", "kv-cache-memory-bytes", "num-gpu-blocks-override", "kv-offloading-size", "max-cpu-loras",
    "data-parallel-size", "decode-context-parallel-size", "prefill-context-parallel-size", "hf-config-path",
    "load-format", "model-impl", "offload-backend", "kv-transfer-config",
)  # fmt: skip

#: What --max-lora-rank takes from 0.11.1 on (vllm/config/lora.py: MaxLoRARanks).
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)

#: Suggestions that a finding quotes.
_SUGGESTIONS = 3


def hub(definition: dict, host: dict, settings: dict) -> dict:
    """The host may download the model. A hub that is silent does not matter where the model is there already."""
    model = host["model"]
    error = model["error"]
    if settings["hub_skipped"]:
        return finding(
            "hub",
            model["cached"] or settings["hub_skipped"] != "HF_HUB_OFFLINE",
            "%s is set in vllm_extra_env; %s is %sin vllm_hf_cache"
            % (settings["hub_skipped"], definition["model"], "" if model["cached"] else "not "),
            "the model in the cache, since the hub is not asked",
            "Take HF_HUB_OFFLINE out for the first deployment, or copy the model into the cache.",
            severity="warning",
        )
    if not error or error["kind"] == "missing":
        return finding("hub", True, "%s may be read" % definition["model"], "a model that may be downloaded", "")
    found, _stop, fix = error["text"].partition(". ")
    silent = error["kind"] in ("unreachable", "invalid")
    harmless = silent and (model["cached"] or settings["hub_proxied"])
    if silent and model["cached"]:
        found += "; the model is in the cache, though"
    return finding(
        "hub",
        False,
        found,
        "a model that the host may download",
        fix or "Check HF_ENDPOINT and vllm_model.",
        severity="warning" if harmless else "error",
    )


def adapters(definition: dict, host: dict) -> dict | None:
    """Each LoRA adapter is there, and its rank is not above what vLLM takes: it would die late in the start."""
    if not definition["lora_adapters"]:
        return None
    wrong, unknown, ranks = [], [], []
    for adapter in definition["lora_adapters"]:
        there = host["adapters"].get(adapter["name"]) or {"rank": None, "error": None}
        rank, error = there["rank"], there["error"]
        if rank is not None:
            ranks.append(rank)
            if rank > definition["max_lora_rank"]:
                wrong.append("%s has rank %d" % (adapter["name"], rank))
        elif error and error["kind"] in ("unreachable", "invalid"):
            unknown.append("%s: %s" % (adapter["name"], error["text"].rstrip(".")))
        elif error:
            wrong.append("%s: %s" % (adapter["name"], error["text"].rstrip(".")))
        else:
            unknown.append("%s: its adapter_config.json names no rank" % adapter["name"])
    needed = next((size for size in _LORA_RANKS if size >= max(ranks, default=0)), max(ranks, default=0))
    return finding(
        "adapters",
        not wrong and not unknown,
        "; ".join([*wrong, *unknown]) or "ranks %s" % ", ".join(map(str, ranks)),
        "adapters of rank %d at most (max-lora-rank)" % definition["max_lora_rank"],
        "Set max-lora-rank in vllm_extra_options to %d, or correct the source in vllm_lora_adapters." % needed
        if wrong
        else "Nothing is refused for it: the start will tell.",
        severity="error" if wrong else "warning",
    )


def tensor_parallel(definition: dict, config: dict) -> dict | None:
    """Layers can be split over the GPUs; None for a model whose layout is not known."""
    size = _shape(config, definition)
    if size is None:
        return None
    tp, pp = definition["tensor_parallel_size"], definition["pipeline_parallel_size"]
    heads, kv_heads = size["heads"], size["heads"] if size["mla_dim"] else size["kv_heads"]
    ok = fits_heads(tp, heads, kv_heads)
    found = "tensor parallel %d for %d attention heads and %d KV heads" % (tp, heads, kv_heads)
    needed = "a divisor of the heads"
    fix = "Set vllm_tensor_parallel_size to one of %s" % ", ".join(
        str(number) for number in range(1, 17) if fits_heads(number, heads, kv_heads)
    )
    if ok and pp > size["layers"]:
        ok, found = False, "pipeline parallel %d for %d layers" % (pp, size["layers"])
        needed, fix = "at least one layer a GPU", "Lower vllm_pipeline_parallel_size"
    gpus = len(definition["gpu_devices"]) * hosts(definition)
    if replicas_here(definition):
        gpus //= replicas_here(definition)
    if definition["accelerator"] == "nvidia" and ok and tp * pp > gpus:
        ok, found, needed = False, "%d x %d workers on %d GPUs" % (tp, pp, gpus), "a GPU for each"
        fix = "Lower vllm_tensor_parallel_size"
    return finding(
        "tensor_parallel", ok, found, needed, fix + ", and vllm_gpu_devices to as many GPUs as all workers need."
    )


def hosts(definition: dict) -> int:
    """Return over how many hosts the layers of the model are split."""
    return definition["nodes"]["count"] if definition["nodes"] and not replicas_here(definition) else 1


def replicas_here(definition: dict) -> int:
    """Return how many whole replicas each of several hosts has; 0 where that is not the shape."""
    return definition["nodes"]["replicas_here"] if definition["nodes"] else 0


def fits_heads(tp: int, heads: int, kv_heads: int) -> bool:
    """Tell whether vLLM can split heads over ``tp`` GPUs: evenly, KV heads evenly or each on several GPUs."""
    return heads % tp == 0 and (kv_heads % tp == 0 or tp % kv_heads == 0)


def max_model_len(definition: dict, config: dict, longer_allowed: bool) -> dict | None:
    """The model's configuration allows the length, and what stretches it is read by this release of vLLM.

    Args:
        definition: the ``vllm_definition``.
        config: the model's ``config.json``.
        longer_allowed: whether VLLM_ALLOW_LONG_MAX_MODEL_LEN is set for the container.
    """
    if definition["max_model_len"] == "auto":
        return None
    try:
        verdict = length.length_verdict(
            config, definition["max_model_len"], definition["version"], definition["hf_overrides"]
        )
    except ValueError:
        return None
    found, _stop, fix = verdict["text"].partition(": " if not verdict["within"] else ". But ")
    if verdict["within"] and verdict["ignored"]:
        found = "a scaling that vLLM %s does not read" % definition["version"]
    allowed = verdict["derived_tokens"]
    if verdict["hf_overrides"]:
        fix += " As vllm_hf_overrides: %s" % verdict["hf_overrides"]
    return finding(
        "max_model_len",
        verdict["within"] and not verdict["ignored"],
        found.rstrip("."),
        "at most %s tokens" % ("any number of" if allowed is None else allowed),
        fix,
        severity="warning" if longer_allowed and not verdict["within"] else "error",
    )


def planned(definition: dict, host: dict, environment: dict | None = None) -> tuple[dict | None, str]:
    """Return the capacity plan, or None and why there is none.

    Args:
        definition: the ``vllm_definition``.
        host: what the module ``host_info`` returned.
        environment: what the operator adds to the container's variables; None where it is not known.
    """
    if definition["accelerator"] != "nvidia":
        return None, "vllm_accelerator is %s: GPU memory does not matter" % definition["accelerator"]
    gpus = preflight_gpu.wanted(definition, host)
    memory = [there["memory_total_mib"] for _gpu, there in gpus]
    if len(gpus) != len(definition["gpu_devices"]) or not all(memory):
        return None, "the memory of the GPUs is not known"
    # those of the other nodes are alike, or the deployment is refused
    memory = memory * hosts(definition)
    if replicas_here(definition):
        # each replica is one of its own; the plan is that of the one with the smallest cards
        size = max(len(memory) // replicas_here(definition), 1)
        memory = min((memory[at : at + size] for at in range(0, len(memory), size)), key=min)
    model = host["model"]
    if not model["config"]:
        return None, "the model's config.json cannot be read (%s)" % ((model["error"] or {}).get("text") or "not asked")
    try:
        name, wanted = gpus[0][0]["name"] or "", definition["max_model_len"]
        return plan_of(definition, model, memory, name, wanted, environment), ""
    except ValueError as error:
        return None, "the model's config.json cannot be planned with (%s)" % str(error).rstrip(".")


def plan_of(
    definition: dict, model: dict, memory: list, gpu_name: str, max_model_len: object, environment: dict | None = None
) -> dict:
    """Return the plan of a length; what is left to vLLM is null.

    Args:
        definition: the ``vllm_definition``.
        model: ``model`` of ``host_info``.
        memory: MiB of each GPU of one replica.
        gpu_name: name of the card.
        max_model_len: tokens; None: what the model's configuration allows; auto: the longest that fits.
        environment: what the operator adds to the container's variables; None where it is not known.
    """
    kind = preflight_kind.told(definition, {"model": model})
    return estimate.plan(
        model_config=model["config"],
        weights_bytes=model["weights_bytes"],
        weights_source=model["weights_source"],
        gpu_memory_mib=memory,
        gpu_name=gpu_name,
        num_gpus=len(memory),
        tensor_parallel_size=definition["tensor_parallel_size"],
        pipeline_parallel_size=definition["pipeline_parallel_size"],
        gpu_memory_utilization=definition["gpu_memory_utilization"],
        max_model_len=max_model_len,
        kv_cache_dtype=definition["kv_cache_dtype"],
        dtype=definition["dtype"],
        quantization=definition["quantization"] or None,
        max_num_seqs=definition["max_num_seqs"],
        max_num_batched_tokens=definition["max_num_batched_tokens"],
        cudagraph_capture_sizes=definition["cudagraph_capture_sizes"],
        enforce_eager=definition["enforce_eager"],
        vllm_version=definition["version"],
        hf_overrides=definition["hf_overrides"],
        runner=kind["runner"] if kind else "",
        environment=environment,
        **definition["memory_options"],
    )


def fits(definition: dict, plan: dict | None, reason: str, experts: bool = True) -> dict:
    """The configuration fits into the GPUs' memory. Only what cannot even at best is refused.

    Args:
        definition: the ``vllm_definition``.
        plan: of `planned`; None without one.
        reason: why there is none.
        experts: whether the model has experts, which replicas share, or may have.
    """
    if plan is None:
        return finding(
            "capacity",
            False,
            "no capacity plan: %s" % reason.rstrip("."),
            "GPU memory and config.json",
            "Nothing is refused for it: the start will tell whether the model fits.",
            severity="warning",
        )
    uncounted = [name for name in definition["extra_options"] if name.partition(".")[0] in _UNCOUNTED]
    if replicas_here(definition) and not experts:
        # replicas without experts share nothing: each is what was planned
        uncounted.remove("data-parallel-size")
    problems = [*plan["problems"], *plan["warnings"]]
    room = plan["kv_cache_gib_per_gpu"]
    found = {"yes": "it fits", "no": "it does not fit", "uncertain": "it may not fit"}[plan["fits"]]
    if problems:
        found += ": " + " ".join(problems).rstrip(".")
    else:
        found += "; the KV cache gets %.2f to %.2f GiB a GPU" % (room["low"], room["high"])
    if uncounted and plan["fits"] == "no":
        found += "; not counted: %s of vllm_extra_options" % ", ".join(uncounted)
    best = [item["text"] for item in plan["suggestions"][:_SUGGESTIONS]]
    return finding(
        "capacity",
        plan["fits"] == "yes",
        found,
        "%.2f GiB for one sequence of %d tokens"
        % (plan["kv_cache_needed_gib_per_gpu"], plan["settings"]["max_model_len"]),
        "What helps: %s." % "; or ".join(best) if best else "Take a smaller model, or more or larger GPUs.",
        severity="error" if plan["fits"] == "no" and not uncounted else "warning",
        details=plan["explanation"],
    )


def has_experts(definition: dict, config: dict | None) -> bool:
    """Tell whether a model has experts, or may have: where its configuration cannot be read."""
    size = _shape(config, definition) if config else None
    return size is None or bool(size["experts"])


def _shape(config: dict, definition: dict) -> dict | None:
    try:
        return model_config.shape(config, definition["hf_overrides"])
    except ValueError:
        return None
