# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracebacks of processes that write at the same time, and texts that a terminal broke."""

from __future__ import annotations

from startup_lines import traceback

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line, LineReader
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import Phases
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.tracebacks import (
    EXCEPTION_LINES,
    PARAGRAPH,
    TRACEBACKS,
    Paragraph,
    Tracebacks,
)

HEAD = "(Worker_TP%d pid=9) ERROR 11-24 10:00:11 [a.py:7] "


def seen(*parts: str) -> Tracebacks:
    """What is kept of a log made of parts."""
    tracebacks = Tracebacks(Phases())
    for number, line in enumerate(LineReader().feed("\n".join(parts) + "\n"), 1):
        tracebacks.take(line, number, harmless=False)
    return tracebacks


def test_two_processes_at_once() -> None:
    """Lines that come in turns belong to the traceback of whoever writes them."""
    one, other = (traceback("OSError: %d" % rank, HEAD % rank, "f%d" % rank).split("\n") for rank in (0, 1))
    kept = seen(*(line for pair in zip(one, other) for line in pair)).kept
    assert [(t.process, t.where[-2:], t.lines) for t in kept] == [
        ("Worker_TP0 pid=9", "f0", ["OSError: 0"]),
        ("Worker_TP1 pid=9", "f1", ["OSError: 1"]),
    ]
    assert kept[0].chain != kept[1].chain


def test_only_the_first_few() -> None:
    """Neither tracebacks nor lines of one grow without end."""
    kept = seen(*(traceback("OSError: %d" % n, HEAD % n) for n in range(2 * TRACEBACKS))).kept
    assert [t.lines for t in kept] == [["OSError: %d" % n] for n in range(TRACEBACKS)]
    long = seen(traceback("OSError: x", HEAD % 0), *[HEAD % 0 + "and more"] * 20).kept[0]
    assert len(long.lines) == EXCEPTION_LINES


def test_source_text() -> None:
    """What stands between a traceback's head and its exception is code, and so is what raises."""
    tracebacks = seen(*traceback("", HEAD % 0).split("\n")[:2])
    shown = Line("    CUDA out of memory", process="Worker_TP0 pid=9")
    assert tracebacks.shows_source(shown)
    assert not tracebacks.shows_source(Line(shown.text, process="Worker_TP1 pid=9"))
    assert tracebacks.shows_source(Line("    raise ValueError(x)", process="Worker_TP1 pid=9"))


def test_explained() -> None:
    """Only what its process writes right now is what an entry knows."""
    tracebacks = seen(traceback("OSError: 0", HEAD % 0), traceback("OSError: 1", HEAD % 1))
    tracebacks.explain("Worker_TP1 pid=9")
    assert [t.known for t in tracebacks.kept] == [False, True]


def test_paragraph() -> None:
    """An exception begins one; it ends with another process, and is no longer than people paste it."""
    paragraph = Paragraph("", []).grown(Line("ValueError: too", process="a")).grown(Line(" long", process="a"))
    assert paragraph.lines == ["ValueError: too", "long"]
    assert paragraph.grown(Line("else", process="b")).lines == ["else"]
    for _line in range(20):
        paragraph = paragraph.grown(Line("more", process="a"))
    assert len(paragraph.lines) == PARAGRAPH + 1
