# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``make acceptance`` writes down of a machine: one JSON that anybody may see, and the same to read.

Only what is named here is copied out of reports and facts, so that no name, address, id of a card or secret can be in
it.
"""

from __future__ import annotations

import collections
import re

SCHEMA = 1
WAYS = ("runtime", "deploy", "cdi")


def record(date: str, look: dict, reports: dict[str, dict], runs: list[dict], complete: bool = True) -> dict:
    """Return the JSON.

    Args:
        date: of the run.
        look: what playbooks/acceptance.yml saw.
        reports: of vllm_report, by the step's name.
        runs: each step with ``name``, ``kind`` (start, failure, other), ``ok``, ``found`` and ``s``.
        complete: whether all steps were done; a run that is cut off leaves what it has seen.
    """
    gpu, first = look.get("gpu") or {}, next(iter(reports.values()), {})
    counted = collections.Counter(item["name"] for item in gpu.get("gpus") or [])
    memory = {item["name"]: item.get("memory_total_mib") for item in gpu.get("gpus") or []}
    versions = first.get("versions") or {}
    return {
        "schema": SCHEMA,
        "date": date,
        "complete": complete,
        "standins": bool(first.get("standins")) or not counted,
        "how": "make acceptance",
        "hardware": {
            "gpus": ["%d x %s (%s MiB)" % (number, name, memory[name]) for name, number in sorted(counted.items())]
            or ["none: vLLM on the CPU"],
            "driver": str(gpu.get("driver_version") or ""),
            "cuda": str(gpu.get("cuda_version") or ""),
            "system": str(versions.get("os") or ""),
        },
        "software": {
            "vllm": str(versions.get("vllm") or ""),
            "docker": str(versions.get("docker") or (look.get("engine") or {}).get("version") or ""),
            "toolkit": str(versions.get("toolkit") or ""),
            "ansible_core": str(first.get("ansible_core") or ""),
            "collection": str(first.get("collection") or ""),
        },
        "model": {key: (look.get("model") or {}).get(key) for key in ("architecture", "layers", "bytes")},
        "checks": [*facts_checks(look), *model_checks(look), *access_checks(look), *run_checks(reports, runs)],
        "starts": [found for name, report in reports.items() if (found := start(name, report, runs))],
        "failures": [
            {"name": run["name"], "id": run["found"], "named_before": run["ok"], "s": run["s"]}
            for run in runs
            if run["kind"] == "failure"
        ],
        "figures": figures(reports),
    }


def facts_checks(look: dict) -> list[dict]:
    """Compare what the module read with the text of nvidia-smi -q, value by value."""
    gpus, text = (look.get("gpu") or {}).get("gpus") or [], look.get("smi") or ""
    if not gpus or not text:
        return []
    wrong = []
    for label, key, unit in (
        ("Product Name", "name", ""),
        ("GPU UUID", "uuid", ""),
        ("FB Memory Usage[^:]*Total", "memory_total_mib", " MiB"),
    ):
        said = re.findall(r"%s *: *(.+?)%s *$" % (label, unit), text, re.MULTILINE)
        if said != [str(item.get(key)) for item in gpus]:
            wrong.append(key)
    driver = re.search(r"Driver Version *: *(\S+)", text)
    if not driver or driver[1] != look["gpu"].get("driver_version"):
        wrong.append("driver_version")
    found = "differs: %s" % ", ".join(wrong) if wrong else "%d GPUs, as nvidia-smi -q says" % len(gpus)
    return [{"id": "facts", "ok": not wrong, "found": found}]


def model_checks(look: dict) -> list[dict]:
    """Tell of the model that was made."""
    model = look.get("model") or {}
    if not model.get("bytes"):
        return []
    return [{"id": "random-model", "ok": True, "found": "%.1f GiB of weights" % (model["bytes"] / 2**30)}]


def access_checks(look: dict) -> list[dict]:
    """Tell for each way to the GPUs whether a container has them, and CUDA starts."""
    checks = []
    for way in WAYS:
        tests = [
            item.get(key) or {}
            for name, key in (("access", "gpu_test"), ("cuda", "cuda_test"))
            for item in look.get(name) or []
            if item.get("item") == way and not item.get("skipped")
        ]
        if tests:
            errors = [str((test.get("error") or {}).get("id") or "other GPUs") for test in tests if not test.get("ok")]
            found = ", ".join(errors) or "listed, and CUDA starts"
            checks.append({"id": "access-" + way, "ok": not errors, "found": found})
    return checks


def run_checks(reports: dict[str, dict], runs: list[dict]) -> list[dict]:
    """Sum up the steps, by the claims of tools/hardware_docs.py."""
    by = {run["name"]: run for run in runs}
    checks = [{"id": run["claim"], "ok": run["ok"], "found": run["found"]} for run in by.values() if run.get("claim")]
    rows = [row for report in reports.values() for row in plan_rows(report) if row["id"] == "kv_gib"]
    judged = [row for row in rows if row.get("inside") is not None]
    if judged:
        inside = sum(1 for row in judged if row["inside"])
        found = "%d of %d starts inside" % (inside, len(judged))
        checks.append({"id": "plan", "ok": inside == len(judged), "found": found})
    endpoints = [
        item
        for report in reports.values()
        for item in (report.get("endpoints") or {}).get("checks") or []
        if item["status"] in ("passed", "failed")
    ]
    if endpoints:
        passed = sum(1 for item in endpoints if item["status"] == "passed")
        found = "%d of %d checks of endpoints passed; answers of random weights are not looked at" % (
            passed,
            len(endpoints),
        )
        checks.append({"id": "verify", "ok": passed == len(endpoints), "found": found})
    measured = [run for report in reports.values() for run in benchmarks(report)]
    if measured:
        whole = [run for run in measured if run.get("ok")]
        best = max((run["output_throughput"] or 0 for run in whole), default=0)
        found = "%d of %d runs whole, %.0f tokens/s at best" % (len(whole), len(measured), best)
        checks.append({"id": "benchmark", "ok": len(whole) == len(measured), "found": found})
    failures = [run for run in runs if run["kind"] == "failure"]
    if failures:
        named = sum(1 for run in failures if run["ok"])
        checks.append(
            {"id": "failures", "ok": named == len(failures), "found": "%d of %d named" % (named, len(failures))}
        )
    return checks


def plan_rows(report: dict) -> list[dict]:
    """Return the rows of planned and reported figures of a report."""
    return (report.get("plan") or {}).get("rows") or []


def benchmarks(report: dict) -> list[dict]:
    """Return the runs of the benchmark of a report."""
    return (report.get("benchmark") or {}).get("runs") or []


def start(name: str, report: dict, runs: list[dict]) -> dict:
    """Return one start, planned and real; empty when vLLM reported no KV cache in it."""
    rows = {row["id"]: row for row in plan_rows(report)}
    kv, settings = rows.get("kv_gib") or {}, next((run["settings"] for run in runs if run["name"] == name), "")
    if kv.get("reported") is None or kv.get("low") is None:
        return {}
    return {
        "name": name,
        "settings": settings,
        "kv_gib": {key: kv[key] for key in ("low", "high", "reported")},
        "kv_tokens_reported": (rows.get("kv_tokens") or {}).get("reported"),
        "graphs_gib": (rows.get("graphs_gib") or {}).get("reported"),
        "total_s": (report.get("start") or {}).get("total_s"),
    }


def figures(reports: dict[str, dict]) -> list[dict]:
    """Return what the planner's constants rest on, and the speed, of each start."""
    found = []
    for name, report in reports.items():
        found.append(
            {
                "name": name,
                "plan": [
                    {key: row.get(key) for key in ("id", "unit", "low", "high", "reported", "inside")}
                    for row in plan_rows(report)
                ],
                "phases": [
                    {key: step.get(key) for key in ("phase", "duration_s")}
                    for step in (report.get("start") or {}).get("phases") or []
                ],
                "memory_used_mib": [gpu.get("used_now_mib") for gpu in (report.get("gpu") or {}).get("gpus") or []],
                "benchmark": [
                    {
                        "name": run["name"],
                        **{
                            key: run.get(key)
                            for key in (
                                "ok",
                                "completed",
                                "failed",
                                "max_concurrency",
                                "input_tokens",
                                "output_tokens",
                                "output_throughput",
                                "ttft_ms",
                                "tpot_ms",
                            )
                        },
                    }
                    for run in benchmarks(report)
                ],
            }
        )
    return found


def markdown(made: dict) -> str:
    """Return the record to read."""
    lines = ["# Acceptance: %s, %s" % ("; ".join(made["hardware"]["gpus"]), made["date"]), ""]
    if made["standins"]:
        lines += ["**No real GPU: STAND-INS, or vLLM on the CPU. This supports nothing about GPUs.**", ""]
    if not made["complete"]:
        lines += ["**Cut off: what follows is what was seen until then.**", ""]
    lines += ["- %s: %s" % (key, value) for key, value in {**made["hardware"], **made["software"]}.items() if value]
    lines += ["", "| check | | found |", "|---|---|---|"]
    lines += ["| %s | %s | %s |" % (c["id"], "passed" if c["ok"] else "FAILED", c["found"]) for c in made["checks"]]
    lines += ["", "| start | settings | KV GiB planned | real |", "|---|---|---|---|"]
    for item in made["starts"]:
        kv = item["kv_gib"]
        lines.append(
            "| %s | %s | %.2f to %.2f | %.2f |"
            % (item["name"], item["settings"], kv["low"], kv["high"], kv["reported"])
        )
    lines += ["", "| start | measured | tokens/s | first token, ms (p50) | a token after it, ms (p50) |"]
    lines += ["|---|---|---|---|---|"]
    lines += [
        "| %s | %s | %s | %s | %s |"
        % (item["name"], run["name"], run["output_throughput"], p50(run["ttft_ms"]), p50(run["tpot_ms"]))
        for item in made["figures"]
        for run in item["benchmark"]
    ]
    lines += ["", "| provoked | named | as expected | s |", "|---|---|---|---|"]
    lines += [
        "| %s | %s | %s | %s |" % (f["name"], f["id"], "yes" if f["named_before"] else "NO", f["s"])
        for f in made["failures"]
    ]
    return "\n".join(lines) + "\n"


def p50(times: dict | None) -> object:
    """Return the median of a benchmark's times."""
    return (times or {}).get("p50")
