# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of which a report's sections are made, and numbers as people read them.

A block has a ``kind``: V(text), V(facts) (rows of label and cell), V(table) (caption, columns, rows of cells), V(code)
(label, text), V(list) (label, items) or V(plots). A cell is ``{text, tone, bars}``; ``bars`` are drawn in the page only
and repeat what the text says.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration

#: What stands where a value is not known.
UNKNOWN = "–"  # noqa: RUF001 - a dash on purpose

_MIB_PER_GIB = 1024


def cell(text: object, tone: str = "", bars: list | None = None) -> dict:
    """Return a cell; None and an empty text become a dash."""
    shown = UNKNOWN if text is None or text == "" else str(text)
    return {"text": shown, "tone": tone, "bars": bars or []}


def number(value: object) -> str:
    """Return a number with three digits that count, or all of a whole one: ``1,234,567``, ``18.6``, ``0.034``."""
    if value is None:
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 1000:
        return format(round(value), ",d")
    return "%.3g" % value


def number_range(low: float | None, high: float | None) -> str:
    """Return both ends of a range, or one number where they are the same."""
    if low is None:
        return UNKNOWN
    return number(low) if low == high else "%s to %s" % (number(low), number(high))


def seconds(value: float | None) -> str:
    """Return a short time (s) for people, empty when it is not known."""
    if value is None:
        return ""
    if value < 0.01:
        return "under 10 ms"
    if value < 1:
        return "%d ms" % round(1000 * value)
    return "%.1f s" % value if value < 10 else duration(value)


def gib(mib: float | None) -> str:
    """Return MiB as GiB for people, empty when they are not known."""
    return "" if mib is None else "%.1f GiB" % (mib / _MIB_PER_GIB)


def facts(*rows: tuple) -> dict:
    """Return a block of facts; each row is a label and a cell, or what :func:`cell` makes one of."""
    return {"kind": "facts", "rows": [(label, text if isinstance(text, dict) else cell(text)) for label, text in rows]}


def table(
    caption: str, columns: list[str], rows: list[list], numbers: tuple[int, ...] = (), sparse: bool = False
) -> dict:
    """Return a table.

    Args:
        caption: what it shows.
        columns: their headings.
        rows: cells, or what :func:`cell` makes one of.
        numbers: places of columns with figures.
        sparse: whether a column in which nothing is known is left out.
    """
    cells = [[item if isinstance(item, dict) else cell(item) for item in row] for row in rows]
    known = [any(row[place]["text"] != UNKNOWN or row[place]["bars"] for row in cells) for place in range(len(columns))]
    kept = [place for place in range(len(columns)) if known[place] or not sparse]
    return {
        "kind": "table",
        "caption": caption,
        "columns": [{"text": columns[place], "number": place in numbers} for place in kept],
        "rows": [[row[place] for place in kept] for row in cells],
    }


def code(label: str, text: str) -> dict:
    """Return a block that is shown as it is, to be read or copied."""
    return {"kind": "code", "label": label, "text": text}


def paragraph(text: str, tone: str = "") -> dict:
    """Return a sentence."""
    return {"kind": "text", "text": text, "tone": tone}


def bullets(label: str, items: list[str]) -> dict:
    """Return a list of sentences."""
    return {"kind": "list", "label": label, "items": items}


def meter(kind: str, left: float, width: float) -> dict:
    """Return a bar that begins at ``left`` and is ``width`` wide, in percent of the cell."""
    return {"kind": kind, "left": round(min(max(left, 0), 100), 2), "width": round(min(max(width, 0), 100), 2)}
