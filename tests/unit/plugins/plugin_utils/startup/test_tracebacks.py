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


def code(lines: list[Line]) -> list[bool]:
    """Which lines are a place or code."""
    tracebacks = Tracebacks(Phases())
    return [tracebacks.take(line, number, harmless=False) for number, line in enumerate(lines, 1)]


def test_source_text() -> None:
    """What stands under a place is code, and so is what raises; another process's lines are not."""
    head, place, _code, error = traceback("OSError: x", HEAD % 0, "f").split("\n")
    foreign = HEAD % 1 + "    CUDA out of memory"
    parts = [head, place, HEAD % 0 + "    CUDA out of memory", HEAD % 0 + "    ^^^^", foreign, error, "    raise X()"]
    lines = list(LineReader().feed("\n".join(parts) + "\n"))
    assert code(lines) == [False, True, True, True, False, False, True]


def test_without_indentation() -> None:
    """A collector that cuts blanks off leaves a place, its code and the exception in one column."""
    text = 'Traceback (most recent call last):\nFile "a.py", line 1, in f\nstart()\nOddError\n'
    assert code(list(LineReader().feed(text))) == [False, True, True, False]
    assert seen(text).kept[0].lines == ["OddError"]


def test_wrapped_code() -> None:
    """A terminal that wraps long lines puts code where an exception stands; the next place takes it back."""
    kept = seen("Traceback (most recent call last):", '  File "a.py", line 1, in f', "    start(some,", "thing)",
                '  File "b.py", line 2, in g', "    go()", "OSError: x").kept  # fmt: skip
    assert [(t.where, t.lines) for t in kept] == [('File "b.py", line 2, in g', ["OSError: x"])]


def test_explained() -> None:
    """Only the exception whose text an entry knows is explained by it."""
    tracebacks = seen(traceback("OSError: 0", HEAD % 0), traceback("OSError: 1", HEAD % 1))
    tracebacks.explain()
    assert [t.known for t in tracebacks.kept] == [False, True]
    tracebacks = seen(traceback("OSError: 0", HEAD % 0), "Killed")
    tracebacks.explain()
    assert [t.known for t in tracebacks.kept] == [False]


def test_paragraph() -> None:
    """An exception begins one; it ends with another process, and is no longer than people paste it."""
    paragraph = Paragraph("", []).grown(Line("ValueError: too", process="a")).grown(Line(" long", process="a"))
    assert paragraph.lines == ["ValueError: too", "long"]
    assert paragraph.grown(Line("else", process="b")).lines == ["else"]
    for _line in range(20):
        paragraph = paragraph.grown(Line("more", process="a"))
    assert len(paragraph.lines) == PARAGRAPH + 1
