# SPDX-License-Identifier: GPL-3.0-or-later
"""The section on the start: its phases beside those of the start before.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration
from ansible_collections.myia.vllm.plugins.plugin_utils.report.blocks import cell, facts, meter, seconds, table

#: The phases of a start for people.
PHASES = {
    "container_up": "container and Python",
    "config": "configuration",
    "engine": "engine and workers",
    "distributed": "connecting workers",
    "download": "downloading weights",
    "load": "loading weights",
    "compile": "compiling",
    "memory": "measuring memory",
    "graphs": "capturing CUDA graphs",
    "warmup": "warming up",
    "ready": "starting the server",
    "verify": "verification",
}


def section(part: dict) -> list[dict]:
    """Return the blocks on a document's part ``start``."""
    before = part["before"]
    total_s = part["total_s"] or sum(step["duration_s"] or 0 for step in part["phases"])
    scale_s = max(total_s, before.get("total_s") or 0) or 1
    was = {step["phase"]: step for step in before.get("phases") or []}
    rows = []
    for step in part["phases"]:
        other = was.pop(step["phase"], {})
        bars = [_span("now", step, scale_s), *([_span("before", other, scale_s)] if other else [])]
        failed = part["failed"] and step is part["phases"][-1]
        name = PHASES.get(step["phase"], step["phase"])
        shown = cell("%s (failed here)" % name, "bad") if failed else name
        rows.append([shown, seconds(step["duration_s"]), seconds(other.get("duration_s")), cell("", bars=bars)])
    for name, step in was.items():
        bars = [_span("before", step, scale_s)]
        rows.append([PHASES.get(name, name), "", seconds(step["duration_s"]), cell("", bars=bars)])
    before_s = before.get("total_s") or 0
    bars = [meter("now", 0, 100 * total_s / scale_s)]
    if before_s:
        bars.append(meter("before", 0, 100 * before_s / scale_s))
    rows.append(["In all", duration(total_s), duration(before_s) if before_s else "", cell("", bars=bars)])
    caption = "Phases of the start%s" % (" (upper bar) and of the start before (lower bar)" if before else "")
    what = "Recorded with the release" if part["recorded"] else "Watched in this run"
    about = [
        ("Release", part["release"]),
        ("Container started", part["at"]),
        (what, "failed" if part["failed"] else "answers"),
    ]
    if part.get("downtime_s") is not None:
        about.append(("Nothing was answered for", duration(part["downtime_s"])))
    if part["compile_cache"]:
        about.append(("Compile cache", part["compile_cache"]))
    if before:
        cache = ", compile cache %s" % before["compile_cache"] if before["compile_cache"] else ""
        about.append(("Start before", "%s, release %s%s" % (before["at"], before["release"], cache)))
    columns = ["Phase", "Took", "Before", "Timeline"]
    return [facts(*about), table(caption, columns, rows, (1, 2), sparse=True)]


def _span(kind: str, step: dict, scale_s: float) -> dict:
    return meter(kind, 100 * (step["start_s"] or 0) / scale_s, max(100 * (step["duration_s"] or 0) / scale_s, 0.4))
