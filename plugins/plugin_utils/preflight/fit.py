# SPDX-License-Identifier: GPL-3.0-or-later
"""Propose values with which a model fits into the GPUs of a host, best first. Pure Python; runs on the controller.

Each proposal is a plan of its own, made with the definition's other values; nothing is estimated beside the plan.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, kv_cache, length, model_config
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import gpu as preflight_gpu
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import model as preflight_model
from ansible_collections.myia.vllm.plugins.plugin_utils.services import conflicts

#: Proposals that are returned at most: more is a list that nobody reads.
_PROPOSALS = 4
#: Most GPUs that a group of workers is tried on, as many as a host commonly has.
_MOST_GPUS = 16
#: Lowest compute capability with FP8 in hardware (NVIDIA's Ada, which the medium's FP8 KV cache was measured on).
_FP8_CAPABILITY = (8, 9)
#: Sequences at a time that are tried beside vLLM's own number: fewer leave memory of sampler and CUDA graphs.
_SEQS = (64, 16)
#: How many times the tokens in the KV cache make a proposal worth showing beside a better one: less is nothing to
#: choose by.
_WORTHWHILE = 1.5
#: Length of a model whose configuration has none, in tokens, as `estimate.plan` takes it.
_SHORT = 2048
#: Shortest length that is proposed, in tokens: a bound of ours, a question and its answer.
_SHORTEST = 1024


#: Checks of what a proposal decides.
DECIDED = ("gpu_devices", "tensor_parallel", "max_model_len", "capacity", "gpu_memory", "gpu_shared")


class Wish(NamedTuple):
    """What is asked for: the longest sequence in tokens (None: the longest of the model), and users at a time."""

    tokens: int | None = None
    users: int = 1


def proposals(definition: dict, host: dict, wish: Wish | None = None, environment: dict | None = None) -> list[dict]:
    """Return sets of values that fit, the best first; empty where nothing can be planned, or nothing fits.

    The best is what gives the wanted length and users, then what gives most of them, without an FP8 KV cache, on the
    fewest GPUs. Each of the others has something over all before it: more tokens, more replicas (each answers for
    itself, without traffic between GPUs), fewer GPUs, an exact KV cache.

    Args:
        definition: the ``vllm_definition``; what it says beside parallel sizes, GPUs, length, KV cache and sequences
            stays.
        host: what the module ``host_info`` returned.
        wish: what is asked for; None: the definition's length, for one user.
        environment: what the operator adds to the container's variables; None where it is not known.

    Returns:
        For each ``values`` (variable -> value), ``buys`` (in words), ``fits`` (yes or uncertain), ``tokens`` (of a
        sequence), ``kv_tokens`` (low and high, of all replicas), ``gpus`` and ``replicas`` (numbers), ``exact`` (the KV
        cache is not in FP8 for it) and ``meets`` (whether all that is wanted).
    """
    config = host["model"]["config"]
    if definition["accelerator"] != "nvidia" or not config:
        return []
    try:
        size = model_config.shape(config, definition["hf_overrides"])
        wish, own, stretched = _reachable(definition, config, wish or _said(definition))
    except ValueError:
        return []
    found = []
    for gpus in _pools(definition, host):
        for change in _changes(definition, size, gpus):
            if change["max_num_seqs"] is None or change["max_num_seqs"] >= wish.users:
                found += _tried(
                    {**definition, "hf_overrides": stretched}, host["model"], gpus, change, wish, environment
                )
    for item in found:
        # what fits only at a length that the model has anyway needs no stretching
        if item["tokens"] <= own and not definition["hf_overrides"]:
            item["values"].pop("vllm_hf_overrides", None)
    certain = [item for item in found if item["fits"] == "yes"]
    return _worth_showing(sorted(certain or found, key=lambda item: item.pop("rank")))[:_PROPOSALS]


def nothing(definition: dict, result: dict) -> str:
    """Return why there is no proposal, and what helps.

    Args:
        definition: the ``vllm_definition``.
        result: what the module ``preflight`` returned.
    """
    host, model = result["host"], definition["model"]
    gpus = host["gpu"]["gpus"]
    if not host["model"]["config"]:
        reason = (host["model"]["error"] or {}).get("text") or "no reason is known"
        return "%s cannot be planned: its config.json cannot be read (%s)." % (model, reason.rstrip("."))
    if not gpus:
        return "The host has no NVIDIA GPU that nvidia-smi lists. Install the driver, or name another host."
    there = ", ".join("GPU %s: %s, %s" % (gpu["index"], gpu["name"], _memory(definition, host, gpu)) for gpu in gpus)
    try:
        model_config.shape(host["model"]["config"], definition["hf_overrides"])
    except ValueError as error:
        return "%s cannot be planned: %s" % (model, error)
    return (
        "%s does not fit into what is free (%s). Take a smaller or quantized model, stop what holds the memory, or "
        "name a host with more." % (model, there)
    )


def _memory(definition: dict, host: dict, gpu: dict) -> str:
    free = preflight_gpu.available_gib(definition, host, gpu, gpu)
    total = gpu["memory_total_mib"]
    return "memory not known" if free is None else "%.1f of %.1f GiB free" % (free, total / 1024)


def _said(definition: dict) -> Wish:
    said = definition["max_model_len"]
    return Wish(said if isinstance(said, int) else None)


def _reachable(definition: dict, config: dict, wish: Wish) -> tuple[Wish, int, dict]:
    """Return the wish with a length that the model can have, the model's own length, and overrides for it (YaRN)."""
    said = definition["hf_overrides"]
    own = length.length_verdict(config, None, definition["version"], said)["derived_tokens"] or 0
    wanted = wish.tokens or own or _SHORT
    if not own or wanted <= own:
        return Wish(wanted, wish.users), own, said
    stretched = length.length_verdict(config, wanted, definition["version"], said)["hf_overrides"]
    if stretched:
        return Wish(wanted, wish.users), own, {**said, **stretched}
    return Wish(own, wish.users), own, said


def _pools(definition: dict, host: dict) -> list[list[tuple[str, dict, dict]]]:
    """Return the free GPUs, those of one kind together: (name for vllm_gpu_devices, GPU, what has the memory).

    Slices of a GPU (MIG) are only taken where the definition names them.
    """
    taken = {name for service in definition["neighbours"] for name in service["gpu_devices"]}
    wanted = [(str(name), *nvidia_driver.find_device(host["gpu"]["gpus"], name)) for name in definition["gpu_devices"]]
    if any(mig for _name, _gpu, mig in wanted):
        return [[(name, gpu, mig or gpu) for name, gpu, mig in wanted if gpu]]
    pools: dict[tuple, list] = {}
    for gpu in host["gpu"]["gpus"]:
        free = preflight_gpu.available_gib(definition, host, gpu, gpu)
        if gpu.get("mig_devices") or str(gpu["index"]) in taken or free is None:
            continue
        if free >= conflicts.share(definition) * estimate.offered_gib(gpu["memory_total_mib"] / 1024)[0]:
            pools.setdefault((gpu["name"], gpu["memory_total_mib"]), []).append((str(gpu["index"]), gpu, gpu))
    return list(pools.values())


def _changes(definition: dict, size: dict, gpus: list) -> list[dict]:
    """Return the combinations worth a plan, as changes of the definition; ``replicas`` are data parallel ones."""
    count = min(len(gpus), _MOST_GPUS)
    heads, kv_heads = size["heads"], size["heads"] if size["mla_dim"] else size["kv_heads"]
    splits = [(tp, 1) for tp in range(1, count + 1) if preflight_model.fits_heads(tp, heads, kv_heads)]
    whole = {tp for tp, _pp in splits}
    if count not in whole:
        # a pipeline uses all GPUs where heads cannot be split over them
        splits += [(tp, count // tp) for tp in whole if count % tp == 0 and count // tp <= size["layers"]]
    caches = [definition["kv_cache_dtype"]]
    if kv_cache.KV_BYTES.get(str(definition["kv_cache_dtype"] or "auto"), 1.0) >= 2.0 and _has_fp8(gpus):
        caches.append("fp8")
    seqs = [definition["max_num_seqs"]]
    seqs += [number for number in _SEQS if definition["max_num_seqs"] is None or number < definition["max_num_seqs"]]
    found = []
    for tp, pp in splits:
        # experts are shared over all replicas, which the plan does not count; and the values of other extra options are
        # not in the definition, so nothing can be written beside them
        replicas = 1 if size["experts"] or definition["extra_options"] else count // (tp * pp)
        for copies in sorted({1, replicas}):
            base = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp, "replicas": copies}
            found += [{**base, "kv_cache_dtype": cache, "max_num_seqs": number} for cache in caches for number in seqs]
    return found


def _has_fp8(gpus: list) -> bool:
    known = [gpu["compute_capability"] for _name, gpu, _memory in gpus]
    return all(known) and min(tuple(map(int, str(item).split("."))) for item in known) >= _FP8_CAPABILITY


def _tried(definition: dict, model: dict, gpus: list, change: dict, wish: Wish, environment: dict | None) -> list[dict]:
    """Return the proposal of one combination at the longest length it holds, as a list; empty where none fits."""
    workers = change["tensor_parallel_size"] * change["pipeline_parallel_size"]
    used = gpus[: workers * change["replicas"]]
    changed = {**definition, **change}
    memory = [there["memory_total_mib"] for _name, _gpu, there in used[:workers]]
    wanted = wish.tokens
    plan = preflight_model.plan_of(changed, model, memory, used[0][1]["name"] or "", wanted, environment)
    if plan["fits"] != "yes" and plan["max_model_len"]["low"] < wanted:
        shorter = plan["max_model_len"]["low"]
        shorter -= shorter % _SHORTEST
        if shorter >= _SHORTEST:
            wanted = shorter
            plan = preflight_model.plan_of(changed, model, memory, used[0][1]["name"] or "", wanted, environment)
    if plan["fits"] == "no":
        return []
    return [_proposal(definition, change, [name for name, _gpu, _memory in used], plan, wish)]


def _proposal(definition: dict, change: dict, names: list[str], plan: dict, wish: Wish) -> dict:
    tokens, copies = plan["settings"]["max_model_len"], change["replicas"]
    kv_tokens = {end: plan["kv_tokens"][end] * copies for end in ("low", "high")}
    # a model without a KV cache answers any number, one batch after the other
    keeps = plan["kv_cache_needed_gib_per_gpu"] > 0
    at_once = {end: plan["concurrency"][end] * copies for end in ("low", "high")}
    served = not keeps or at_once["low"] >= wish.users
    exact = change["kv_cache_dtype"] == definition["kv_cache_dtype"]
    own_seqs = change["max_num_seqs"] == definition["max_num_seqs"]
    return {
        "values": _values(definition, change, names, tokens),
        "buys": _buys(tokens, wish, at_once if keeps else None, kv_tokens, len(names), change, exact),
        "fits": plan["fits"],
        "tokens": tokens,
        "kv_tokens": kv_tokens,
        "gpus": len(names),
        "meets": tokens >= wish.tokens and served,
        "exact": exact,
        "replicas": copies,
        "rank": (
            plan["fits"] != "yes",
            tokens < wish.tokens,
            not served,
            -tokens if tokens < wish.tokens else 0,
            not exact,
            len(names),
            not own_seqs,
            change["pipeline_parallel_size"],
            -kv_tokens["low"],
        ),
    }


def _values(definition: dict, change: dict, names: list[str], tokens: int) -> dict:
    """Return the variables of a proposal: those that are always worth saying, and of the others what is changed."""
    values: dict[str, object] = {
        "vllm_gpu_devices": [int(name) if name.isdigit() else name for name in names],
        "vllm_tensor_parallel_size": change["tensor_parallel_size"],
    }
    if change["pipeline_parallel_size"] > 1:
        values["vllm_pipeline_parallel_size"] = change["pipeline_parallel_size"]
    values["vllm_max_model_len"] = tokens
    if change["kv_cache_dtype"] not in (None, "auto"):
        values["vllm_kv_cache_dtype"] = change["kv_cache_dtype"]
    if change["max_num_seqs"] is not None:
        values["vllm_max_num_seqs"] = change["max_num_seqs"]
    if definition["hf_overrides"]:
        values["vllm_hf_overrides"] = definition["hf_overrides"]
    if change["replicas"] > 1:
        values["vllm_extra_options"] = {"data-parallel-size": change["replicas"]}
    return values


def _buys(tokens: int, wish: Wish, at_once: dict | None, kv_tokens: dict, gpus: int, change: dict, exact: bool) -> str:
    """Return what a proposal gives, and what it costs, in words."""
    text = "%d tokens a sequence%s" % (tokens, "" if tokens >= wish.tokens else " instead of %d" % wish.tokens)
    if at_once:
        ends = [at_once["low"], at_once["high"]]
        form = "%.0f to %.0f" if ends[0] >= 10 else "%.1f to %.1f"
        text += ", %s such at once" % (form % tuple(ends))
        if at_once["low"] < wish.users:
            text += " (%d are wanted; the others wait, or theirs are shorter)" % wish.users
        text += ", %d to %d tokens in the KV cache" % (kv_tokens["low"], kv_tokens["high"])
    text += ", on %d GPU%s" % (gpus, "" if gpus == 1 else "s")
    if change["replicas"] > 1:
        text += " as %d replicas" % change["replicas"]
    if not exact:
        text += "; the KV cache in FP8 is a little less exact"
    return text


def _worth_showing(ordered: list[dict]) -> list[dict]:
    """Return the proposals of which each has something over every one before it."""
    kept: list[dict] = []
    for item in ordered:
        if all(
            item["tokens"] > other["tokens"]
            or item["kv_tokens"]["low"] > _WORTHWHILE * other["kv_tokens"]["low"]
            or item["gpus"] < other["gpus"]
            or (item["replicas"] > other["replicas"] and item["tokens"] >= other["tokens"])
            or item["exact"] > other["exact"]
            for other in kept
        ):
            kept.append(item)
    return kept
