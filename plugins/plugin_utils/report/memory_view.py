# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections on GPU memory: what was planned and what vLLM reported, and the GPUs themselves.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import size
from ansible_collections.myia.vllm.plugins.plugin_utils.report.blocks import (
    bar_at,
    bullets,
    cell,
    facts,
    gib,
    number,
    number_range,
    paragraph,
    table,
)


def plan(part: dict) -> list[dict]:
    """Return the blocks on a document's part ``plan``."""
    blocks = []
    if part["no_plan"]:
        blocks.append(paragraph("There is no plan of GPU memory: %s." % part["no_plan"].rstrip(".")))
    rows = [
        [
            "%s%s" % (row["what"], " (%s)" % row["unit"] if row["unit"] else ""),
            number_range(row["low"], row["high"]),
            number(row["reported"]),
            _inside(row),
            "" if row["deviation_percent"] is None else "%+g %%" % row["deviation_percent"],
            {"log": "log of the start"}.get(row["source"], row["source"]),
        ]
        for row in part["rows"]
    ]
    if rows:
        caption = "Predicted before the start, and what vLLM reported; the deviation is from the middle of the range"
        caption = caption if any(row["low"] is not None for row in part["rows"]) else "What vLLM reported"
        columns = ["What", "Predicted", "Reported", "In the range?", "Deviation", "Seen in"]
        blocks.append(table(caption, columns, rows, (1, 2, 4), sparse=True))
    if part["problems"]:
        blocks.append(bullets("The plan warns", part["problems"]))
    if part["findings"]:
        found = [
            [
                cell(item["id"], "bad" if item["severity"] == "error" else "warn"),
                item["found"],
                item["needed"],
                item["fix"],
            ]
            for item in part["findings"]
        ]
        blocks.append(table("Preflight checks that did not pass", ["Check", "Found", "Needed", "What to do"], found))
    if part["passed"]:
        blocks.append(paragraph("%d preflight checks passed." % part["passed"]))
    return blocks


def _inside(row: dict) -> dict:
    """Return whether the reported value lies in the range, with bars that show where."""
    if row["inside"] is None:
        return cell("")
    top = 1.15 * max(row["high"], row["reported"]) or 1
    left, right, mark = (100 * row[key] / top for key in ("low", "high", "reported"))
    bars = [bar_at("range", left, max(right - left, 1)), bar_at("dot", mark, 0)]
    return cell("inside", "good", bars) if row["inside"] else cell("outside", "warn", bars)


def gpus(part: dict) -> list[dict]:
    """Return the blocks on a document's part ``gpu``."""
    blocks = []
    if part["error"]:
        blocks.append(paragraph("%s %s" % (part["error"], part["fix"]), "bad"))
    if part["cpu"]:
        blocks.append(paragraph("The service runs on the CPU; no GPU takes part in it."))
    rows = []
    for item in part["gpus"]:
        total, used = item["memory_total_mib"], item["used_now_mib"]
        bars = [bar_at("now", 0, 100 * used / total)] if total and used is not None else []
        rows.append([
            "GPU %s" % item["index"], cell(item["name"], "bad" if item["fault"] else ""),
            cell("yes" if item["asked"] else "no", "good" if item["asked"] else "neutral"),
            cell(gib(used), bars=bars), gib(item["used_before_mib"]), gib(total),
            item["compute_capability"], "%g W" % item["power_limit_w"] if item["power_limit_w"] else "", item["uuid"],
        ])  # fmt: skip
    if rows:
        columns = [
            "GPU",
            "Name",
            "In the service",
            "In use now",
            "Before the run",
            "Memory",
            "Compute",
            "Power limit",
            "UUID",
        ]
        blocks.append(table("GPUs and their memory", columns, rows, (3, 4, 5, 6, 7), sparse=True))
    about = [("Container", part["container_state"] or "not there"), ("Restarts by Docker", part["restart_count"])]
    if part["container_memory_bytes"]:
        about.append(("Main memory of the container", size(part["container_memory_bytes"])))
    if part["utilization"] and not part["cpu"]:
        about.append(("vllm_gpu_memory_utilization", part["utilization"]))
    return [*blocks, facts(*about)]
