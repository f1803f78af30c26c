# SPDX-License-Identifier: GPL-3.0-or-later
"""Take from the results of a run what each part of its report shows.

Every function returns plain data; a part about which nothing is known is ``{"note": why}``.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re
import shlex

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import exposure
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import worst_first
from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import check_result

#: Percentiles of a benchmark's times.
_PERCENTILES = ("mean", "p50", "p90", "p99")


def access(about: dict, results: dict) -> dict:
    """Return how clients reach the service."""
    definition = results.get("vllm_definition") or {}
    if not definition.get("base_url"):
        return {"note": "The definition of the service was not made."}
    published = definition.get("published", True)
    local = published and str(definition.get("publish_address", "")) in LOOPBACK
    return {
        "base_url": definition["base_url"],
        "scheme": definition["scheme"],
        "model": definition.get("served_model_name", ""),
        "max_model_len": definition.get("max_model_len"),
        "api_key_required": bool(definition.get("api_key_required")),
        "kind": (results.get("vllm_verify_result") or {}).get("kind") or "",
        "port": definition.get("port"),
        "local": local,
        "published": published,
        "open_at": exposure.addresses(definition, (results.get("vllm_preflight_result") or {}).get("host") or {}),
        "guards": exposure.guards(definition),
        "address": about["address"],
        "container": definition.get("container_name", ""),
        "folder": definition.get("dir", ""),
    }


_CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]})

#: Path and body of a request for each kind of service; one that is not known is asked as one that chats.
_EXAMPLES = {
    "chat": _CHAT,
    "vision": _CHAT,
    "base": ("/v1/completions", {"prompt": "The capital of France is", "max_tokens": 8}),
    "embed": ("/v1/embeddings", {"input": "Hello"}),
    "rerank": ("/v1/rerank", {"query": "Hello", "documents": ["Good morning", "Good bye"]}),
    "classify": ("/classify", {"input": "Hello"}),
    "token_classify": ("/pooling", {"input": "Hello"}),
    "reward": ("/pooling", {"messages": [{"role": "user", "content": "Hello"},
                                         {"role": "assistant", "content": "Good morning"}]}),
}  # fmt: skip


def _ask(part: dict) -> str:
    """Return how curl asks: on the host itself a certificate, which names what clients ask for, is not looked at."""
    return "curl --insecure" if part["scheme"] == "https" else "curl"


def curl(part: dict) -> str:
    """Return a command that asks the service; the key is the variable VLLM_API_KEY of the shell, never its value."""
    path, more = _EXAMPLES.get(part["kind"], _EXAMPLES["chat"])
    body = {"model": part["model"], **more}
    if part["kind"] == "transcription":
        key = ['-H "Authorization: Bearer $VLLM_API_KEY"'] if part["api_key_required"] else []
        url = shlex.quote(part["base_url"] + "/v1/audio/transcriptions")
        model = "-F %s" % shlex.quote("model=%s" % part["model"])
        return " \\\n  ".join(["%s %s" % (_ask(part), url), *key, model, "-F file=@speech.wav"])
    lines = ["%s %s" % (_ask(part), shlex.quote(part["base_url"] + path)), "-H 'Content-Type: application/json'"]
    if part["api_key_required"]:
        lines.append('-H "Authorization: Bearer $VLLM_API_KEY"')
    return " \\\n  ".join([*lines, "-d %s" % shlex.quote(json.dumps(body, ensure_ascii=False))])


def changes(about: dict, results: dict) -> dict:
    """Return what the release changes against the one before."""
    config, service = results.get("vllm_config_result") or {}, results.get("vllm_service_result") or {}
    if not config and not service:
        if about["run"] in ("verify", "benchmark", "diagnose", "plan"):
            return {"note": "Nothing: a run of %s changes nothing." % about["run"]}
        return {"note": "The run did not come as far as making a release."}
    release = (config or service).get("release") or {}
    before = config.get("return_to") or {}
    return {
        "to": release.get("name", ""),
        "from": before.get("name", ""),
        "changed": bool(config.get("changed") or service.get("changed")),
        "lines": list(config.get("summary") or []),
        "releases": list(service.get("summary") or []),
        "problem": config.get("problem", ""),
    }


def plan(results: dict, snapshot: dict) -> dict:
    """Return what was planned, and beside it what vLLM says.

    Each row has ``id``, ``what``, ``unit``, ``low``, ``high``, ``reported`` (None for unknown), ``source`` (of the
    last), ``deviation_percent`` (of ``reported`` from the middle of the range) and ``inside`` (None without both).
    """
    preflight = results.get("vllm_preflight_result") or {}
    capacity, findings = preflight.get("capacity") or {}, preflight.get("findings") or []
    facts, cache = _start(results, snapshot)[0].get("facts") or {}, snapshot.get("kv_cache") or {}
    live = bool(snapshot.get("healthy") and cache.get("tokens"))
    terms = {
        term["name"]: {"low": term["low_gib"], "high": term["high_gib"]} for term in capacity.get("overhead") or []
    }
    each = "" if (results.get("vllm_definition") or {}).get("accelerator") == "cpu" else ", each GPU"
    rows = [
        _row("kv_tokens", "Tokens in the KV cache", "tokens", capacity.get("kv_tokens"),
             cache["tokens"] if live else facts.get("kv_cache_tokens"), "/metrics" if live else "log"),
        _row("kv_gib", "KV cache%s" % each, "GiB", capacity.get("kv_cache_gib_per_gpu"), facts.get("kv_cache_gib")),
        _row("weights_gib", "Weights%s" % each, "GiB", capacity.get("weights_gib_per_gpu"), facts.get("weights_gib")),
        _row("graphs_gib", "CUDA graphs%s" % each, "GiB", terms.get("cuda_graphs"), facts.get("graphs_gib")),
        _row("concurrency", "Longest sequences at once", "", capacity.get("concurrency"), facts.get("max_concurrency")),
    ]  # fmt: skip
    rows = [row for row in rows if row["low"] is not None or row["reported"] is not None]
    if not preflight and not rows:
        return {"note": "Preflight was not run, and vLLM reported nothing."}
    return {
        "fits": capacity.get("fits", ""),
        "no_plan": "" if capacity else str(preflight.get("no_capacity") or "preflight was not run"),
        "problems": [*(capacity.get("problems") or []), *(capacity.get("warnings") or [])],
        "rows": rows,
        "findings": [shown_finding(item) for item in worst_first(findings)],
        "passed": sum(1 for item in findings if item["ok"]),
    }


#: Below this many GiB a share says nothing: vLLM prints two decimals, and PyTorch's allocator takes 20 MiB at a time
#: (``kLargeBuffer`` in c10/core/AllocatorConfig.h), so a tiny model takes a hundred times the bytes of its weights.
_COARSE_GIB = 0.1


def _row(name: str, what: str, unit: str, planned: object, reported: object, source: str = "log") -> dict:
    low, high = (planned.get("low"), planned.get("high")) if isinstance(planned, dict) else (planned, planned)
    row = {"id": name, "what": what, "unit": unit, "low": low, "high": high, "reported": reported}
    middle = (low + high) / 2 if low is not None and high is not None else 0
    both = reported is not None and middle
    coarse = both and unit == "GiB" and max(middle, reported) < _COARSE_GIB
    return {
        **row,
        "source": source if reported is not None else "",
        "deviation_percent": round(100 * (reported - middle) / middle, 1) if both and not coarse else None,
        # one number is no range
        "inside": (low <= reported <= high) if both and low < high else None,
    }


def shown_finding(item: dict) -> dict:
    """Return what is shown of a finding of preflight."""
    return {key: item.get(key, "") for key in ("id", "severity", "found", "needed", "fix")}


def start(about: dict, results: dict, snapshot: dict) -> dict:
    """Return the phases of the last start, and of the one before when it is known."""
    found, release, failed = _start(results, snapshot)
    if not found.get("phases"):
        if about["run"] == "plan" or about["check_mode"]:
            return {"note": "Nothing was started."}
        return {"note": "No start was watched, and none is recorded."}
    others = [item for item in snapshot.get("releases") or [] if (item.get("start") or {}).get("phases")]
    earlier = [item for item in others if item["start"].get("at", "") < found.get("at", "")]
    before = max(earlier, key=lambda item: item["start"].get("at", ""), default={})
    return {
        **_timeline(found),
        "release": release,
        "failed": failed,
        "recorded": not (results.get("vllm_health_result") or {}).get("start"),
        "before": {**_timeline(before["start"]), "release": before.get("name", "")} if before else {},
    }


def _timeline(found: dict) -> dict:
    keys = ("phase", "start_s", "duration_s")
    return {
        "at": _whole_seconds(found.get("at", "")),
        "total_s": found.get("total_s"),
        "downtime_s": found.get("downtime_s"),
        "compile_cache": found.get("compile_cache", ""),
        "phases": [{key: step.get(key) for key in keys} for step in found.get("phases") or []],
    }


def _whole_seconds(time: str) -> str:
    """Return a time as Docker writes it, which is to the nanosecond, without them."""
    return re.sub(r"\.\d+Z$", "Z", time)


def _start(results: dict, snapshot: dict) -> tuple[dict, str, bool]:
    """Return the start to show, the name of its release, and whether it failed."""
    health = results.get("vllm_health_result") or {}
    current = report_verdict.current_release(snapshot)
    if health.get("start"):
        failed = not health.get("healthy")
        wanted = report_verdict.wanted_release(results)
        # how long the switch took was written down with the release
        down = {} if failed else {"downtime_s": (current.get("start") or {}).get("downtime_s")}
        return {**health["start"], **down}, wanted if failed and wanted else current.get("name", "") or wanted, failed
    return current.get("start") or {}, current.get("name", ""), False


def gpus_of(results: dict, snapshot: dict) -> list[dict]:
    """Return the GPUs of the host as they were seen last; empty when none were."""
    now = (snapshot.get("gpu") or {}).get("gpus") or []
    return now or _gpu_before(results).get("gpus") or []


def _gpu_before(results: dict) -> dict:
    return ((results.get("vllm_preflight_result") or {}).get("host") or {}).get("gpu") or {}


def gpu(results: dict, snapshot: dict) -> dict:
    """Return the GPUs with their memory before the run and now, and the memory of the container."""
    definition, container = results.get("vllm_definition") or {}, snapshot.get("container") or {}
    now, before = snapshot.get("gpu") or {}, _gpu_before(results)
    shared = {
        "container_memory_bytes": container.get("memory_bytes") or 0,
        "restart_count": container.get("restart_count") or 0,
        "container_state": container.get("state", ""),
        "utilization": definition.get("gpu_memory_utilization"),
    }
    if definition.get("accelerator", "nvidia") != "nvidia":
        return {"gpus": [], "cpu": True, "error": "", "fix": "", **shared}
    gpus = gpus_of(results, snapshot)
    error = now.get("error") or before.get("error") or {}
    if not gpus and not error:
        return {"note": "The GPUs were not looked at."}
    wanted = [str(name) for name in definition.get("gpu_devices") or []]
    was = {item.get("uuid"): item.get("memory_used_mib") for item in before.get("gpus") or []}
    keys = ("index", "name", "uuid", "compute_capability", "memory_total_mib", "power_limit_w", "ecc_mode", "fault")
    return {
        "gpus": [
            {
                **{key: item.get(key) for key in keys},
                "used_now_mib": item.get("memory_used_mib") if now.get("gpus") else None,
                "used_before_mib": was.get(item.get("uuid")),
                "asked": str(item.get("index")) in wanted or item.get("uuid") in wanted,
            }
            for item in gpus
        ],
        "cpu": False,
        "error": error.get("text", ""),
        "fix": error.get("fix", ""),
        **shared,
    }


def checks(about: dict, results: dict, groups: tuple[str, ...]) -> dict:
    """Return the checks of some groups."""
    verify = results.get("vllm_verify_result") or {}
    keys = ("id", "group", "what", "must", "status", "reason", "duration_s", "evidence")
    found = [{key: item.get(key) for key in keys} for item in verify.get("checks") or [] if item["group"] in groups]
    if not found:
        problem = str(verify.get("problem") or "").strip()
        if problem:
            return {"note": "Not reached: %s" % problem}
        if about["check_mode"] or about["run"] == "plan":
            return {"note": "Not run: nothing was to be changed, so there was nothing to check."}
        return {"note": "Not run."}
    wanted = report_verdict.wanted_release(results)
    # a deployment that went back has checked the release that it took away
    return {
        "checks": found,
        "counts": check_result.counts(found),
        "release": wanted if about["run"] == "deploy" else "",
    }


def benchmark(about: dict, results: dict) -> dict:
    """Return the figures of a benchmark, and how they compare."""
    bench = results.get("vllm_benchmark_result") or {}
    if "ok" not in bench:
        later = "" if about["run"] == "benchmark" else " benchmark_medium.yml runs one."
        return {"note": "Not run.%s" % later}
    if about["check_mode"]:
        return {"note": "Not run: check mode."}
    compared = bench.get("compared") or {}
    if not bench.get("runs"):
        return {
            "note": "No result: %s" % (bench.get("problem") or "no run was made"),
            "problem": bench.get("problem", ""),
        }
    return {
        **{key: bench.get(key, "") for key in ("problem", "profile", "at", "release", "vllm_version", "path")},
        "ok": bool(bench.get("ok")),
        "runs": [_run(item) for item in bench["runs"]],
        "compared": {
            **{key: compared.get(key, "") for key in ("at", "release", "vllm_version", "path")},
            "rows": [
                {key: row.get(key) for key in ("run", "metric", "before", "now", "change_percent", "worse")}
                for row in compared.get("rows") or []
            ],
        }
        if compared
        else {},
        "warnings": [str(text) for text in bench.get("warnings") or []],
    }


def _run(item: dict) -> dict:
    plain = (
        "name", "num_prompts", "request_rate", "max_concurrency", "input_tokens", "output_tokens", "completed",
        "failed", "duration_s", "request_throughput", "output_throughput", "total_token_throughput", "problem",
    )  # fmt: skip
    times = ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")
    return {
        **{key: item.get(key) for key in plain},
        "ok": bool(item.get("ok")),
        **{name: {key: (item.get(name) or {}).get(key) for key in _PERCENTILES} for name in times},
    }


def rollback(about: dict, results: dict, snapshot: dict) -> dict:
    """Return the releases that the host keeps, and the command that goes back to one."""
    kept = snapshot.get("releases") or []
    if not kept:
        seen = (
            "The host keeps no release."
            if snapshot.get("container")
            else "It could not be seen which releases the host keeps."
        )
        return {"note": seen}
    good = [item for item in kept if item.get("good") and not item.get("current")]
    to = max(good, key=lambda item: item.get("good_since", ""), default={}).get("name", "")
    return {
        "to": to,
        "command": "ansible-playbook rollback_medium.yml --limit %s -e vllm_service_rollback_to=%s"
        % (shlex.quote(about["host"]), to)
        if to
        else "",
        "releases": [
            {
                **{key: item.get(key, "") for key in ("name", "created", "image", "model", "vllm_version")},
                "good": bool(item.get("good")),
                "current": bool(item.get("current")),
                "failure": (item.get("failure") or {}).get("id", ""),
                "start_s": (item.get("start") or {}).get("total_s"),
            }
            for item in kept
        ],
    }


def versions(about: dict, results: dict, snapshot: dict) -> dict:
    """Return every version and digest, empty where it is not known."""
    definition = results.get("vllm_definition") or {}
    host = (results.get("vllm_preflight_result") or {}).get("host") or {}
    engine = (results.get("docker_engine_result") or {}).get("engine") or host.get("docker") or {}
    toolkit = (results.get("nvidia_container_toolkit_result") or {}).get("toolkit") or {}
    image, gpus = snapshot.get("image") or {}, snapshot.get("gpu") or _gpu_before(results)
    packages = [text for text in (toolkit.get("packages") or {}).values() if text]
    return {
        "vllm": snapshot.get("vllm_version", ""),
        "vllm_asked": definition.get("version", ""),
        "image": definition.get("image", ""),
        "image_id": image.get("id", ""),
        "image_digests": list(image.get("digests") or []),
        "image_created": _whole_seconds(image.get("created", "")),
        "image_size_bytes": image.get("size_bytes") or 0,
        "model": definition.get("model", ""),
        "model_is_local": bool(definition.get("model_is_local")),
        "model_revision": definition.get("model_revision", ""),
        "model_commit": snapshot.get("model_commit", ""),
        "quantization": definition.get("quantization", ""),
        "docker_engine": snapshot.get("engine_version") or engine.get("version", ""),
        "docker_compose": engine.get("compose_version", ""),
        "container_toolkit": packages[0] if packages else "",
        "driver": gpus.get("driver_version") or "",
        "cuda_of_driver": gpus.get("cuda_version") or "",
        "cuda_of_image": image.get("cuda_version", ""),
        "system": (host.get("os") or {}).get("name", ""),
        "collection": about["collection"],
        "ansible_core": about["ansible_core"],
    }
