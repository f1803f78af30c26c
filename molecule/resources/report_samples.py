# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts, releases, checks and benchmarks return for a report: examples in the documented shapes.

The diagnosis is the real code's own answer to a recorded log.
"""

from __future__ import annotations

import copy
import pathlib
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, log_classifier

LOGS = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "unit" / "data" / "startup_logs"

NEW, OLD, OLDER = "20260131T120512Z-56d3f8c91621", "20260130T090102Z-e6b53398fea5", "20260102T101500Z-0a4be77c1d02"
DIGEST = "vllm/vllm-openai@sha256:" + "5f0c" * 16
COMMIT = "5c7cb76a268fc6cfbb9c4777eb24ba6e27f9ee6c"
FOLDER = "/opt/vllm/medium"
STAND_IN = " (stand-in)"

ABOUT = {
    "host": "gpu01",
    "address": "gpu01.example.org",
    "service": "medium",
    "run": "deploy",
    "at": "2026-01-31T12:14:55Z",
    "check_mode": False,
    "collection": "0.1.0",
    "ansible_core": "2.19.14",
}


def start(at: str, cold: bool) -> dict:
    """A start as ``start_watch`` returns it."""
    lengths = {
        "container_up": 21.4,
        "config": 9.2,
        "engine": 12.8,
        "distributed": 4.1,
        "load": 38.6,
        "compile": 61.3 if cold else 9.7,
        "memory": 11.9,
        "graphs": 24.5,
        "ready": 3.2,
    }
    phases, begun = [], 0.0
    for phase, took in lengths.items():
        phases.append({"phase": phase, "start_s": round(begun, 1), "duration_s": took})
        begun += took
    facts = {
        "version": "0.32.0",
        "architecture": "Qwen2ForCausalLM",
        "max_model_len": 131072,
        "world_size": 2,
        "weights_gib": 9.08,
        "load_s": 31.2,
        "kv_cache_gib": 9.66,
        "kv_cache_tokens": 158304,
        "max_concurrency": 1.21,
        "graphs_gib": 0.61,
        "graphs_s": 22.0,
        "init_engine_s": 104.0,
    }
    return {
        "at": at,
        "total_s": round(begun, 1),
        "compile_cache": "cold" if cold else "warm",
        "phases": phases,
        "facts": facts,
    }


def release(name: str, **more: object) -> dict:
    """A release as ``service_snapshot_info`` describes it."""
    return {
        "name": name,
        "created": re.sub(r"(....)(..)(..T..)(..)(..Z).*", r"\1-\2-\3:\4:\5", name),
        "image": "vllm/vllm-openai:v0.32.0",
        "model": "Qwen/Qwen2.5-32B-Instruct-AWQ",
        "vllm_version": "0.32.0",
        "good": True,
        "good_since": "2026-01-%sT12:20:00Z" % name[6:8],
        "current": False,
        "failure": {},
        "log": "",
        **more,
    }


def snapshot(gpu: dict, current: str = NEW, **more: object) -> dict:
    """The service as it answers after a deployment."""
    kept = [
        release(NEW, start=start("2026-01-31T12:06:00.795475393Z", False)),
        release(OLD, start=start("2026-01-30T09:02:00Z", True)),
        release(OLDER, image="vllm/vllm-openai:v0.31.1", vllm_version="0.31.1"),
    ]
    for item in kept:
        item["current"] = item["name"] == current
    busy = copy.deepcopy(gpu)
    for item in busy["gpus"]:
        item.update(memory_used_mib=21720, memory_free_mib=2362)
    return {
        "image": {
            "id": "sha256:" + "9c1b" * 16,
            "digests": [DIGEST],
            "created": "2026-01-20T08:00:00.688903828Z",
            "size_bytes": 21_400_000_000,
            "cuda_version": "13.0.1",
        },
        "container": {
            "name": "myia-vllm-medium-qwen3",
            "id": "ab" * 32,
            "state": "running",
            "started_at": "2026-01-31T12:06:00Z",
            "restart_count": 0,
            "restart_policy": "unless-stopped",
            "memory_bytes": 9_400_000_000,
        },
        "healthy": True,
        "vllm_version": "0.32.0",
        "kv_cache": {"tokens": 158304, "blocks": 9894, "block_size": 16},
        "gpu": busy,
        "engine_version": "26.1.5",
        "model_commit": COMMIT,
        "releases": kept,
        "problem": "",
        **more,
    }


def check(name: str, group: str, what: str, status: str = "passed", **more: object) -> dict:
    """A check as ``service_checks`` returns it."""
    return {
        "id": name,
        "group": group,
        "what": what,
        "must": True,
        "status": status,
        "reason": "",
        "duration_s": 0.04,
        "evidence": "",
        **more,
    }


def verification(**changes: dict) -> dict:
    """The answer of ``service_checks``; changes by the id of a check."""
    found = [
        check("endpoint-health", "endpoint", "GET /health answers 200", evidence="200"),
        check("endpoint-version", "endpoint", "GET /version names the release", evidence="0.32.0"),
        check(
            "endpoint-models",
            "endpoint",
            "GET /v1/models names the model and its length",
            evidence="Qwen2.5-32B-Instruct-AWQ, 131072 tokens",
        ),
        check(
            "endpoint-chat",
            "endpoint",
            "POST /v1/chat/completions answers",
            duration_s=0.31,
            evidence="Hello! How can I help you today?",
        ),
        check(
            "endpoint-embeddings", "endpoint", "POST /v1/embeddings is refused by a generating model", evidence="404"
        ),
        check("access-key", "access", "A wrong API key is refused", evidence="401"),
        check(
            "access-metrics",
            "access",
            "/metrics needs no key, so it must not be reached from outside",
            "failed",
            must=False,
            reason="the port is published on all addresses",
            evidence="0.0.0.0:5002",
        ),
        check("chat", "functional", "The capital of France", duration_s=0.52, evidence="Paris"),
        check(
            "reasoning",
            "functional",
            "Reasoning stands in its own field",
            "skipped",
            reason="the model has no reasoning parser",
        ),
        check(
            "tool-call",
            "functional",
            "get_weather is called with valid arguments",
            duration_s=1.12,
            evidence='get_weather({"city": "Paris"})',
        ),
        check(
            "long-context",
            "functional",
            "A needle at 90 % of 131,072 tokens is found",
            duration_s=41.7,
            evidence="7412",
        ),
        check("concurrent", "functional", "8 requests at a time are answered", duration_s=2.4, evidence="8 of 8"),
    ]
    for item in found:
        item.update(changes.get(item["id"].replace("-", "_"), {}))
    bad = [item for item in found if item["status"] == "failed" and item["must"]]
    counts = {name: sum(1 for i in found if i["status"] == name) for name in ("passed", "skipped")}
    warned = sum(1 for i in found if i["status"] == "failed" and not i["must"])
    return {
        "ok": not bad,
        "problem": "\n".join("- %s: %s" % (i["id"], i["reason"]) for i in bad),
        "kind": "chat",
        "kinds": ["chat"],
        "kind_told_by": "the log line 'Supported tasks: [generate]'; a chat is answered",
        "duration_s": 47.0,
        "counts": {**counts, "failed": len(bad), "warned": warned},
        "checks": found,
    }


def percentiles(p50: float) -> dict:
    """Mean and percentiles with the long tail that requests have."""
    return {"mean": round(p50 * 1.12, 2), "p50": p50, "p90": round(p50 * 1.62, 2), "p99": round(p50 * 2.3, 2)}


def benchmarked(profile: str = "load", **more: object) -> dict:
    """The answer of ``benchmark``, for the profiles load and sweep."""
    at_a_time = (1, 2, 4, 8, 16) if profile == "sweep" else (4,)
    runs = []
    for n in at_a_time:
        tokens = round(61.0 * n**0.86, 1)
        runs.append(
            {
                "name": "%d at a time" % n,
                "num_prompts": 100,
                "request_rate": None,
                "max_concurrency": n,
                "input_tokens": 512,
                "output_tokens": 128,
                "completed": 100,
                "failed": 0,
                "duration_s": round(12800 / tokens, 1),
                "request_throughput": round(tokens / 128, 2),
                "output_throughput": tokens,
                "total_token_throughput": round(tokens * 5, 1),
                "ttft_ms": percentiles(round(138 * n**0.55, 1)),
                "tpot_ms": percentiles(round(15.4 * n**0.14, 2)),
                "itl_ms": percentiles(round(15.1 * n**0.14, 2)),
                "e2el_ms": percentiles(round(2080 * n**0.16, 1)),
                "ok": True,
                "problem": "",
            }
        )
    rows = [
        {
            "run": runs[0]["name"],
            "metric": "ttft_ms.p50",
            "before": 131.0,
            "now": 138.0,
            "change_percent": 5.3,
            "worse": False,
        },
        {
            "run": runs[0]["name"],
            "metric": "output_throughput",
            "before": 71.9,
            "now": 61.0,
            "change_percent": -15.2,
            "worse": True,
        },
    ]
    return {
        "ok": True,
        "problem": "",
        "profile": profile,
        "at": "2026-01-31T12:12:00Z",
        "release": NEW,
        "vllm_version": "0.32.0",
        "model": "Qwen2.5-32B-Instruct-AWQ",
        "path": FOLDER + "/benchmarks/20260131T121200Z-" + profile,
        "runs": runs,
        "compared": {
            "at": "2026-01-30T09:10:00Z",
            "release": OLD,
            "vllm_version": "0.32.0",
            "path": FOLDER + "/benchmarks/20260130T091000Z-" + profile,
            "rows": rows,
        },
        "warnings": ["output_throughput of %s is 15.2 %% lower than in the last good run" % runs[0]["name"]],
        **more,
    }


def diagnosis(log: str = "no-memory-for-kv-cache") -> dict:
    """What the failure catalogue says of a recorded log."""
    text = (LOGS / (log + ".log")).read_text(encoding="utf-8")
    return log_classifier.classify(text, failure_catalogue.load([]), {"exit_code": 1, "state": "exited"})
