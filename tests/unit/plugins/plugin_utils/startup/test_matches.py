# SPDX-License-Identifier: GPL-3.0-or-later
"""What is collected of a start, before anything is judged."""

from __future__ import annotations

from startup_lines import CATALOGUE, NCCL, OOM, WRAPPER, traceback

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import LineReader
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.matches import Matches
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import Phases
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.tracebacks import EXCEPTION_LINES


def collected(*parts: str) -> Matches:
    """What is collected of a log made of parts."""
    matches = Matches(CATALOGUE, Phases())
    for line in LineReader().feed("\n".join(parts) + "\n"):
        matches.take(line)
    return matches


def test_first_place_counts() -> None:
    """Every worker says it; the first line is the evidence."""
    match = collected("x", "(Worker_TP0 pid=9) " + OOM, "(Worker_TP1 pid=10) " + OOM).found["patterns"]
    assert (list(match), match["gpu-out-of-memory"].number) == (["gpu-out-of-memory"], 2)
    assert match["gpu-out-of-memory"].shown.startswith("(Worker_TP0 pid=9) ")


def test_strengths_are_apart() -> None:
    """A symptom is no cause, and a wrapper is neither."""
    matches = collected(NCCL, WRAPPER)
    assert matches.found["patterns"] == {}
    assert list(matches.found["symptoms"]) == ["nccl-error"]
    assert [wrapper.ref for wrapper, _shown in matches.wrappers] == ["V61"]


def test_failing() -> None:
    """An unknown traceback may be survived; a service that is ready has survived all that came before."""
    assert not collected(traceback("AssertionError: nobody knows")).failing
    matches = collected(traceback("AssertionError: nobody knows"), OOM, WRAPPER)
    assert matches.failing
    matches.became_ready()
    assert (matches.failing, matches.wrappers, matches.tracebacks.kept) == (False, [], [])
    assert list(matches.found["patterns"]) == ["gpu-out-of-memory"]


def test_wrappers_are_few() -> None:
    """Of a log that repeats itself a few are enough."""
    assert len(collected(*[WRAPPER] * 50).wrappers) == EXCEPTION_LINES
