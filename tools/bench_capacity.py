# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the capacity planner against real starts of vLLM.

Usage: ``python tools/bench_capacity.py [cases.jsonl] [--each]``. Beside the cases lies ``model_configs.json``. A case
holds a configuration and what vLLM printed for it; ``--each`` shows every case.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.myia.vllm.plugins.module_utils.capacity import (  # noqa: E402 - needs the path above
    estimate,
    model_config,
)

CASES = ROOT / "tests" / "unit" / "data" / "kv_cases.jsonl"
GIB = 1024**3
#: A low end above this many times what came was a promise that did not hold.
_PROMISED = 1.05


def load(path: pathlib.Path) -> tuple[list[dict], dict]:
    """Return the cases of a file and the model configurations beside it."""
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return cases, json.loads((path.parent / "model_configs.json").read_text(encoding="utf-8"))


def arguments(case: dict, configs: dict) -> dict:
    """Return the arguments of ``capacity.plan`` for a case: only what an operator knows before the start."""
    tp, pp = case["tensor_parallel"] or 1, case["pipeline_parallel"] or 1
    weights = case["weights_gib_per_gpu"]
    return {
        "model_config": {"_name_or_path": case["model"], **configs.get(case["model"], {})},
        "weights_bytes": int(weights * tp * pp * GIB) if weights else None,
        "gpu_memory_mib": case["gpu_total_mib"],
        "gpu_name": case["gpu"] or "",
        "num_gpus": tp * pp,
        "tensor_parallel_size": tp,
        "pipeline_parallel_size": pp,
        "gpu_memory_utilization": case["gpu_memory_utilization"],
        "max_model_len": case["max_model_len"],
        "kv_cache_dtype": case["kv_cache_dtype"] or "auto",
        "dtype": case["dtype"] or "auto",
        "quantization": case["quantization"],
        "max_num_seqs": case["max_num_seqs"],
        "max_num_batched_tokens": case["max_num_batched_tokens"],
        "enforce_eager": bool(case["enforce_eager"]),
        "vllm_version": case["vllm_version"],
        "runner": case.get("runner") or "",
        "environment": case.get("environment"),
        "speculative_config": case.get("speculative_config"),
        "limit_mm_per_prompt": case.get("limit_mm_per_prompt"),
        "gpu_memory_free_mib": case.get("gpu_free_mib"),
    }


def planned(cases: list[dict], configs: dict) -> dict[str, dict]:
    """Return the plan of every case that can be planned, by the case's id."""
    plans = {}
    for case in cases:
        if case["gpu_total_mib"]:
            try:
                plans[case["id"]] = estimate.plan(**arguments(case, configs))
            except model_config.ShapeError:
                continue
    return plans


def score(cases: list[dict], plans: dict[str, dict]) -> dict:
    """Return the figures of merit.

    Returns:
        ``tokens`` and ``kv_gib``: each ``cases``, ``inside`` (share), ``error`` (median relative error of what is
        expected), ``width`` (median of high / low), ``missed`` (ids); ``promised``: ``too_much`` (ids of figures whose
        low end is more than 5 % above what came); ``refused``: ``cases``, ``recognised`` (share predicted no
        or uncertain), ``missed``; ``started``: ``cases``, ``false_no`` (ids), ``yes`` (share predicted yes).
    """
    result, promised = {}, []
    for name, key, value in (
        ("tokens", "kv_tokens", "kv_tokens"),
        ("kv_gib", "kv_cache_gib_per_gpu", "kv_cache_gib_per_gpu"),
    ):
        rows = []
        for case in cases:
            if case["scorable_" + name]:
                band, real = plans[case["id"]][key], case[value]
                inside = band["low"] <= real <= band["high"]
                width = band["high"] / band["low"] if band["low"] > 0 else float("inf")
                rows.append((inside, abs(band["expected"] - real) / real, width, case["id"]))
                if band["low"] > _PROMISED * real:
                    promised.append(case["id"])
        result[name] = {
            "cases": len(rows),
            "inside": sum(row[0] for row in rows) / len(rows),
            "error": statistics.median(row[1] for row in rows),
            "width": statistics.median(row[2] for row in rows),
            "missed": [row[3] for row in rows if not row[0]],
        }
    result["promised"] = {"cases": sum(result[name]["cases"] for name in ("tokens", "kv_gib")), "too_much": promised}
    refused = [case["id"] for case in cases if case["scorable_refusal"] and case["refused"]]
    seen = [name for name in refused if name in plans and plans[name]["fits"] != "yes"]
    result["refused"] = {
        "cases": len(refused),
        "recognised": len(seen) / len(refused),
        "missed": [name for name in refused if name not in seen],
    }
    started = [case["id"] for case in cases if not case["refused"] and case["id"] in plans]
    result["started"] = {
        "cases": len(started),
        "false_no": [name for name in started if plans[name]["fits"] == "no"],
        "yes": sum(plans[name]["fits"] == "yes" for name in started) / len(started),
    }
    return result


def table(result: dict, seconds: float) -> str:
    """Return the figures as text."""
    lines = ["%-30s %8s %9s  %s" % ("figure", "cases", "value", "not so")]

    def row(name: str, cases: int, value: str, ids: list[str] = ()) -> None:
        lines.append(("%-30s %8d %9s  %s" % (name, cases, value, " ".join(ids))).rstrip())

    for key, name in (("tokens", "KV tokens"), ("kv_gib", "KV GiB")):
        part = result[key]
        row(name + " inside [low, high]", part["cases"], "%.1f %%" % (100 * part["inside"]), part["missed"])
        row(name + " error, median", part["cases"], "%.1f %%" % (100 * part["error"]))
        row(name + " high / low, median", part["cases"], "%.3f" % part["width"])
    part = result["promised"]
    row("promised over 5 % too much", part["cases"], "%d" % len(part["too_much"]), part["too_much"])
    part = result["refused"]
    row("refused: no or uncertain", part["cases"], "%.1f %%" % (100 * part["recognised"]), part["missed"])
    part = result["started"]
    row("started: predicted no", part["cases"], "%d" % len(part["false_no"]), part["false_no"])
    row("started: predicted yes", part["cases"], "%.1f %%" % (100 * part["yes"]))
    lines.append("one plan with suggestions: %.1f ms" % (1000 * seconds))
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Print the table; 0 when it could be made."""
    paths = [argument for argument in argv if not argument.startswith("-")]
    cases, configs = load(pathlib.Path(paths[0]) if paths else CASES)
    begin = time.perf_counter()
    plans = planned(cases, configs)
    seconds = (time.perf_counter() - begin) / max(1, len(plans))
    if "--each" in argv:
        for case in cases:
            plan = plans.get(case["id"])
            if plan:
                print(
                    "%s %-9s real %s tokens %s in %s, KV %s GiB in %s, %s"
                    % (
                        case["id"],
                        plan["fits"],
                        "refused," if case["refused"] else "started,",
                        case["kv_tokens"],
                        list(plan["kv_tokens"].values()),
                        case["kv_cache_gib_per_gpu"],
                        list(plan["kv_cache_gib_per_gpu"].values()),
                        case["model"],
                    )
                )
    print(table(score(cases, plans), seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
