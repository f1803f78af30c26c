# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of docs/hardware.md from the files of docs/hardware, one for each machine that was tried.

Usage: ``python tools/hardware_docs.py`` writes; with ``--check`` it only says whether the page is out of date (exit
status 1). ``make acceptance`` writes such a file (tools/acceptance.py); put it into docs/hardware to add a row.
"""

from __future__ import annotations

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "hardware.md"
BEGIN, END = "<!-- from docs/hardware/*.json by make docs-roles -->", "<!-- end of docs/hardware/*.json -->"

#: What a check that passed supports, in the words of the page.
CLAIMS = {
    "facts": "GPUs and driver are read as nvidia-smi tells them",
    "deploy": "a service comes up by `deploy_medium.yml`",
    "again": "a second run changes nothing",
    "access-runtime": "GPUs by `runtime`",
    "access-deploy": "GPUs by `deploy`",
    "access-cdi": "GPUs by `cdi`",
    "plan": "the plan holds",
    "verify": "`verify_medium.yml`",
    "benchmark": "the benchmark",
    "way-back": "a failing release goes back",
    "refusals": "preflight refuses what would fail",
    "failures": "failures are named",
    "reboot": "the service survives a reboot",
    "drain": "running requests end before the service is stopped",
    "random-model": "models of random weights",
    "worker-killed": "an engine that is killed is told",
    "removed": "nothing is left behind",
}


def rows() -> list[dict]:
    """Return the files, oldest first.

    Raises:
        ValueError: a check that has no words here.
    """
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "docs" / "hardware").glob("*.json"))
    ]
    for row in found:
        unknown = [check["id"] for check in row["checks"] if check["id"] not in CLAIMS]
        if unknown:
            raise ValueError("docs/hardware: no claim for %s" % ", ".join(unknown))
    return found


def table(head: list[str], lines: list[list[object]]) -> list[str]:
    """Return a table in Markdown."""
    shown = [head, ["---"] * len(head), *([str(cell) for cell in line] for line in lines)]
    return ["| %s |" % " | ".join(line) for line in shown]


def machines(found: list[dict]) -> list[str]:
    """Return the table of machines, with what each supports."""
    lines = []
    for row in found:
        what = [
            "%s%s (%s)" % ("" if check["ok"] else "NOT: ", CLAIMS[check["id"]], check["found"])
            for check in row["checks"]
            if check["ok"] is not None
        ]
        software = ", ".join("%s %s" % (name, row["software"].get(key)) for name, key in
                             (("vLLM", "vllm"), ("Docker", "docker"), ("toolkit", "toolkit"))
                             if row["software"].get(key))  # fmt: skip
        gpus = "; ".join(row["hardware"]["gpus"])
        standin = "STAND-IN GPUs: " if row["standins"] else ""
        how = row["how"] + (", cut off" if row.get("complete") is False else "")
        lines.append([row["date"], standin + gpus, row["hardware"]["driver"], software, how, "; ".join(what)])
    return table(["date", "GPUs", "driver", "with", "how", "supports"], lines)


def starts(found: list[dict]) -> list[str]:
    """Return the table of planned and real starts."""
    lines = []
    for row in found:
        for start in row["starts"]:
            kv = start["kv_gib"]
            inside = kv["low"] <= kv["reported"] <= kv["high"]
            tokens = format(start["kv_tokens_reported"], ",d") if start.get("kv_tokens_reported") else ""
            planned = "%.2f to %.2f" % (kv["low"], kv["high"])
            real = "%.2f%s" % (kv["reported"], "" if inside else " (outside)")
            graphs = "" if start.get("graphs_gib") is None else "%.2f" % start["graphs_gib"]
            lines.append([row["date"], start["name"], start["settings"], planned, real, tokens, graphs])
    settings = "KV dtype, batched tokens/sequences/utilization"
    return table(["date", "model and GPUs", settings, "KV GiB planned", "real", "tokens", "graphs GiB"], lines)


def failures(found: list[dict]) -> list[str]:
    """Return the table of provoked failures."""
    lines = [
        [row["date"], item["name"], "`%s`" % item["id"], "yes" if item["named_before"] else "since then", item["s"]]
        for row in found
        for item in row["failures"]
    ]
    return table(["date", "provoked", "named", "at once", "s"], lines)


def speeds(found: list[dict]) -> list[str]:
    """Return the table of what the benchmark measured."""
    lines = []
    for row in found:
        for item in row.get("figures") or []:
            for run in item["benchmark"]:
                sizes = "%d/%d" % (run["input_tokens"], run["output_tokens"])
                times = ["%.1f" % run[name]["p50"] for name in ("ttft_ms", "tpot_ms")]
                lines.append([row["date"], item["name"], run["name"], sizes, "%.0f" % run["output_throughput"], *times])
    head = ["date", "start", "requests", "tokens in/out", "tokens/s", "first token ms (p50)", "further token ms (p50)"]
    return table(head, lines)


def made(text: str, found: list[dict]) -> str:
    """Return the page with its tables made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    parts = [BEGIN, "", *machines(found), "", "Planned against real, KV cache of each GPU:", "", *starts(found), ""]
    parts += ["What the benchmark measured (models of random weights):", "", *speeds(found), ""]
    parts += ["Failures that were provoked, and what they were called:", "", *failures(found), "", END]
    return head + "\n".join(parts) + tail


def main(argv: list[str]) -> int:
    """Write the page, or look whether it is as it should be."""
    before = PAGE.read_text(encoding="utf-8")
    after = made(before, rows())
    if "--check" in argv:
        if before != after:
            print("docs/hardware.md is out of date: run `make docs-roles`.")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
