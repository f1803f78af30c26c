# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the services of a run in one table.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import textwrap

from ansible_collections.myia.vllm.plugins.plugin_utils.status import row as status_row

#: Widest line of what stands below a row, in characters.
_WIDTH = 110

_HEAD = ("service", "state", "up", "restarts", "requests", "KV cache", "drift", "image", "weights", "GPUs")


def age(seconds: float | None) -> str:
    """Return a time in its two largest units: ``3 d 4 h``; empty where it is not known."""
    if seconds is None:
        return ""
    left, parts = int(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size:
            parts.append("%d %s" % (left // size, unit))
            left %= size
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def lines(rows: list[dict]) -> list[str]:
    """Return the lines of the table, a service after the other as in the inventory, each with what is to be known."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(_HEAD))]
    found = ["  ".join(text.ljust(width) for text, width in zip(_HEAD, widths, strict=True)).rstrip()]
    for item, texts in zip(rows, cells[1:], strict=True):
        found.append("  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip())
        for text in _below(item):
            found += textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="      ")
    return found


def _cells(item: dict) -> tuple[str, ...]:
    usage, drift = item["kv_cache_usage"], item["drift"]
    differs = "%d line%s" % (len(drift["lines"]), "" if len(drift["lines"]) == 1 else "s") if drift["lines"] else "none"
    requests = ""
    if item["requests_running"] is not None:
        requests = "%d + %d waiting" % (item["requests_running"], item["requests_waiting"] or 0)
    return (
        "%s, %s" % (item["host"], item["service"]),
        item["state"],
        age(item["uptime_s"]),
        "" if item["restarts"] is None else str(item["restarts"]),
        requests,
        "" if usage is None else "%.0f %%" % (100 * usage),
        differs if drift["known"] else "?",
        _days(item["image_age_s"]),
        _days(item["weights_age_s"]),
        "; ".join(map(_gpu, item["gpus"])),
    )


def _days(seconds: float | None) -> str:
    return "" if seconds is None else "%d d" % (seconds // 86400)


def _gpu(gpu: dict) -> str:
    used, total, degrees = gpu["memory_used_mib"], gpu["memory_total_mib"], gpu["temperature_c"]
    memory = "memory not known" if used is None or total is None else "%.1f/%.1f GiB" % (used / 1024, total / 1024)
    return "%s: %s%s" % (gpu["index"], memory, "" if degrees is None else " %d C" % degrees)


def _below(item: dict) -> list[str]:
    found = [item["words"]] if item["words"] else []
    if item["lock"]:
        lock = item["lock"]
        found.append("%s has its lock since %s" % (lock.get("who") or "somebody", lock.get("since") or "?"))
    named = item["served_model_name"]
    parts = [
        "release %s" % item["release"] if item["release"] else "",
        "vLLM %s" % item["vllm_version"] if item["vllm_version"] else "",
        "%s%s" % (item["model"], " as %s" % named if named not in ("", item["model"]) else "") if item["model"] else "",
    ]
    if any(parts):
        found.append(", ".join(filter(None, parts)))
    for by, guards in dict.fromkeys((place["by"], tuple(place["guards"])) for place in item["reached"]):
        urls = [place["url"] for place in item["reached"] if (place["by"], tuple(place["guards"])) == (by, guards)]
        found.append("reached by %s (%s): %s" % (by, ", ".join(guards), ", ".join(urls)))
    return found + ["drift: %s" % text for text in item["drift"]["lines"]]


def closing(rows: list[dict], path: str) -> str:
    """Return what the services come to, the worst first, in one message.

    Args:
        rows: of all services.
        path: file of the JSON on the controller; empty where none was asked for.
    """
    if not rows:
        return "There is no service to look at."
    counts = [(state, [item for item in rows if item["state"] == state]) for state in status_row.STATES]
    told = []
    for state, items in counts:
        if not items:
            continue
        told.append("%d %s%s" % (len(items), state, "" if state == "serves" else " (%s)" % _named(items)))
    differ = [item for item in rows if item["drift"]["lines"] and item["state"] not in ("not deployed", "unreachable")]
    parts = ["%d service%s: %s." % (len(rows), "" if len(rows) == 1 else "s", "; ".join(told))]
    if differ:
        parts.append("Not as the inventory says: %s." % _named(differ))
    unguarded = [item for item in rows if any(map(status_row.is_open, item["reached"]))]
    if unguarded:
        parts.append("Without a key, for whoever reaches the host: %s." % _named(unguarded))
    if path:
        parts.append("JSON: %s" % path)
    return " ".join(parts)


def _named(rows: list[dict]) -> str:
    return ", ".join("%s on %s" % (item["service"], item["host"]) for item in rows)
