# SPDX-License-Identifier: GPL-3.0-or-later
"""The section on the benchmark: throughput, times, plots, and the last good run beside them.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.report import plots as report_plots
from ansible_collections.myia.vllm.plugins.plugin_utils.report.blocks import (
    bullets,
    cell,
    facts,
    number,
    paragraph,
    seconds,
    table,
)

#: How to get plots on a controller that draws none.
_NO_PLOTS = "Plots are left out: pygal is not installed on this controller (pip install 'pygal>=3.0')."

#: Columns of a benchmark's table of times: key, name.
_TIMES = (
    ("ttft_ms", "First token"),
    ("tpot_ms", "Per output token"),
    ("itl_ms", "Between tokens"),
    ("e2el_ms", "Request"),
)


def section(part: dict) -> list[dict]:
    """Return the blocks on a document's part ``benchmark``."""
    blocks = [
        facts(
            ("Profile", part["profile"]),
            ("At", part["at"]),
            ("Release", part["release"]),
            ("vLLM", part["vllm_version"]),
            ("Raw results on the host", part["path"]),
        )
    ]
    if part["problem"]:
        blocks.append(paragraph(part["problem"], "bad"))
    if part["warnings"]:
        blocks.append(bullets("Warnings", part["warnings"]))
    rows = [
        [
            run["name"],
            cell("passed" if run["ok"] else "failed", "good" if run["ok"] else "bad"),
            number(run["output_throughput"]),
            number(run["total_token_throughput"]),
            number(run["request_throughput"]),
            "%s of %s" % (number(run["completed"]), number(run["num_prompts"])),
            "no limit" if run["request_rate"] is None else number(run["request_rate"]),
            "no limit" if run["max_concurrency"] is None else number(run["max_concurrency"]),
            "%s / %s" % (number(run["input_tokens"]), number(run["output_tokens"])),
            seconds(run["duration_s"]),
        ]
        for run in part["runs"]
    ]
    columns = [
        "Run", "Result", "Output tokens/s", "All tokens/s", "Requests/s", "Completed", "Requests/s asked", "At a time",
        "Tokens in / out", "Took",
    ]  # fmt: skip
    blocks.append(table("Runs and their throughput", columns, rows, tuple(range(2, 10))))
    failed = ["%s: %s" % (run["name"], run["problem"]) for run in part["runs"] if run["problem"]]
    if failed:
        blocks.append(bullets("What went wrong", failed))
    rows = [
        [name, run["name"], *(number(run[key][p]) for p in ("p50", "p90", "p99", "mean"))]
        for key, name in _TIMES
        for run in part["runs"]
        if any(value is not None for value in run[key].values())
    ]
    if rows:
        blocks.append(table("Times in milliseconds", ["Time", "Run", "p50", "p90", "p99", "mean"], rows, (2, 3, 4, 5)))
    plots = report_plots.of_benchmark(part)
    if plots:
        blocks.append({"kind": "plots", "plots": plots})
    elif not report_plots.available():
        blocks.append(paragraph(_NO_PLOTS))
    return [*blocks, *_compared(part["compared"])]


def _compared(compared: dict) -> list[dict]:
    if not compared:
        return [paragraph("There is no earlier good run of this service to compare with.")]
    rows = [
        [
            row["run"], _metric(str(row["metric"])), number(row["before"]), number(row["now"]),
            "" if row["change_percent"] is None else "%+.1f %%" % row["change_percent"],
            cell("worse" if row["worse"] else "as good", "warn" if row["worse"] else "good"),
        ]
        for row in compared["rows"]
    ]  # fmt: skip
    caption = "Against the last good run: %s, release %s, vLLM %s" % (
        compared["at"], compared["release"], compared["vllm_version"])  # fmt: skip
    return [table(caption, ["Run", "Figure", "Before", "Now", "Change", "Verdict"], rows, (2, 3, 4))]


def _metric(name: str) -> str:
    """Return the name of a figure for people: ``ttft_ms.p50`` is the first token's p50."""
    key, _dot, which = name.partition(".")
    words = {**dict(_TIMES), "output_throughput": "Output tokens/s", "request_throughput": "Requests/s",
             "total_token_throughput": "All tokens/s"}  # fmt: skip
    return "%s%s" % (
        words.get(key, key),
        ", %s (ms)" % which if which and key.endswith("_ms") else " " + which if which else "",
    )
