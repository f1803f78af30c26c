# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark came to: vLLM's raw figures as a short result, and its comparison with an earlier one.

Python standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import math
import statistics

#: Settings of a run; two benchmarks are compared only when all of them are the same.
SETTINGS = ("name", "num_prompts", "request_rate", "max_concurrency", "input_tokens", "output_tokens")

#: Latencies by their name in vLLM's JSON (vllm/benchmarks/serve.py): time to first token, time per output token without
#: the first, time between two tokens, whole request; in milliseconds.
LATENCIES = ("ttft", "tpot", "itl", "e2el")

STATISTICS = ("mean", "p50", "p90", "p99")

#: Metrics that are compared: which direction is worse (-1: less, 1: more), and from how many requests on they count.
#: The 99th percentile, and the 90th of a few requests, are single requests; they would warn at random.
COMPARED = {
    "request_throughput": (-1, 1),
    "output_throughput": (-1, 1),
    "ttft_ms.p50": (1, 1),
    "ttft_ms.p90": (1, 50),
    "tpot_ms.p50": (1, 1),
    "tpot_ms.p90": (1, 50),
    "itl_ms.p50": (1, 1),
    "e2el_ms.p50": (1, 1),
    "e2el_ms.p90": (1, 50),
}

#: Characters kept of a problem.
PROBLEM_CHARS = 600


def number(value: object) -> float:
    """Return a figure rounded to 4 digits after the point; 0 for none (vLLM writes NaN where nothing was measured)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0.0
    return round(float(value), 4)


def run_of(settings: dict, raw: dict | None, problem: str = "") -> dict:
    """Return one run.

    Args:
        settings: its ``SETTINGS``.
        raw: the JSON that ``vllm bench serve`` wrote; None when there is none.
        problem: why there is none.

    Returns:
        The settings with ``completed``, ``failed`` (requests), ``duration_s``, ``request_throughput`` (requests a
        second), ``output_throughput``, ``total_token_throughput`` (tokens a second), ``ttft_ms`` ... ``e2el_ms`` (each
        with ``STATISTICS``), ``ok`` and ``problem``. What was not measured is 0. With ``rounds`` in the settings the
        ``round_figures`` of `rounds_of`, too.
    """
    raw = raw or {}
    asked = settings["num_prompts"]
    completed = int(number(raw.get("completed")))
    # 0.11 does not tell the failed ones
    failed = int(number(raw.get("failed"))) or (asked - completed if raw else 0)
    run = {
        **{name: settings[name] for name in SETTINGS},
        "completed": completed,
        "failed": failed,
        "duration_s": number(raw.get("duration")),
    }
    run.update(
        {name: number(raw.get(name)) for name in ("request_throughput", "output_throughput", "total_token_throughput")}
    )
    for name in LATENCIES:
        run[name + "_ms"] = {part: number(raw.get("%s_%s_ms" % (part, name))) for part in STATISTICS}
    if raw and completed < asked:
        problem = "%d of %d requests failed%s" % (failed, asked, _first_error(raw))
    run.update(ok=bool(raw) and not problem, problem=problem[:PROBLEM_CHARS])
    if settings.get("rounds"):
        run["round_figures"] = rounds_of(raw, settings["rounds"]) if run["ok"] else []
    return run


def rounds_of(raw: dict, count: int) -> list[dict]:
    """Return the medians of ``count`` rounds, each a block of requests that were sent one after the other.

    Args:
        raw: what ``vllm bench serve --save-detailed`` wrote: ``ttfts`` and ``itls`` in seconds, ``output_lens``.
        count: how many.

    Returns:
        ``ttft_ms`` and ``tpot_ms`` of each; nothing with fewer requests than rounds, or none that wrote text.
    """
    firsts, gaps, lengths = (raw.get(name) or [] for name in ("ttfts", "itls", "output_lens"))
    if not len(firsts) == len(gaps) == len(lengths) or len(firsts) < count:
        return []
    found = []
    for index in range(count):
        part = slice(index * len(firsts) // count, (index + 1) * len(firsts) // count)
        # a chunk may hold several tokens, so the gaps are shared out over the tokens
        each = [1000 * sum(gap) / (length - 1) for gap, length in zip(gaps[part], lengths[part]) if length > 1]
        if not each:
            return []
        found.append(
            {"ttft_ms": number(1000 * statistics.median(firsts[part])), "tpot_ms": number(statistics.median(each))}
        )
    return found


def _first_error(raw: dict) -> str:
    errors = [str(error).strip() for error in raw.get("errors") or [] if str(error).strip()]
    if not errors:
        return "."
    # of a traceback the last line says what it is
    return ": %s" % errors[0].splitlines()[-1][:300]


def same_settings(one: dict, other: dict) -> bool:
    """Tell whether two results measured the same: profile, model and the settings of all runs."""

    def key(result: dict) -> tuple:
        runs = [[run.get(name) for name in SETTINGS] for run in result.get("runs") or []]
        return result.get("profile"), result.get("model"), runs

    return key(one) == key(other)


def value(run: dict, metric: str) -> float:
    """Return a figure of a run by its dotted name; 0 when it is not there."""
    found: object = run
    for part in metric.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return number(found)


def compare(now: dict, before: dict, warn_percent: float) -> tuple[dict, list[str]]:
    """Return the comparison with an earlier result, and a warning for each run that got worse.

    Args:
        now, before: results with ``runs``, ``at``, ``release``, ``vllm_version`` and ``path``, of the same settings.
        warn_percent: by how much a figure may be worse.

    Returns:
        ``{at, release, vllm_version, path, rows}``, each row with ``run``, ``metric``, ``before``, ``now``,
        ``change_percent`` and ``worse``; and the warnings.
    """
    rows: list[dict] = []
    warnings = []
    for new, old in zip(now["runs"], before["runs"]):
        if not (new["ok"] and old["ok"]):
            continue
        for metric, (direction, least) in COMPARED.items():
            was, is_now = value(old, metric), value(new, metric)
            if was <= 0 or is_now <= 0 or new["num_prompts"] < least:
                continue
            change = 100 * (is_now - was) / was
            rows.append(
                {"run": new["name"], "metric": metric, "before": was, "now": is_now,
                 "change_percent": round(change, 1), "worse": change * direction > warn_percent}
            )  # fmt: skip
        worse = [
            "%s %.2f, was %.2f (%+.1f %%)" % (row["metric"], row["now"], row["before"], row["change_percent"])
            for row in rows
            if row["worse"] and row["run"] == new["name"]
        ]
        if worse:
            warnings.append(
                "Benchmark %s, %s: worse by more than %g %% than at %s (%s; now %s): %s."
                % (now["profile"], new["name"], warn_percent, before["at"], _served_by(before), _served_by(now),
                   "; ".join(worse))
            )  # fmt: skip
    return {**{name: before[name] for name in ("at", "release", "vllm_version", "path")}, "rows": rows}, warnings


def _served_by(result: dict) -> str:
    return "release %s, vLLM %s" % (result["release"] or "unknown", result["vllm_version"] or "unknown")
