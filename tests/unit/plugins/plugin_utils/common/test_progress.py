# SPDX-License-Identifier: GPL-3.0-or-later
"""Which states are worth a line, and how durations and sizes are written."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration, size


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        pytest.param([(0, "load", "1/5"), (1, "load", "1/5"), (59, "load", "1/5")], ["1/5"], id="nothing-moves"),
        pytest.param([(0, "load", "1/5"), (1, "load", "2/5"), (9.9, "load", "3/5"), (10, "load", "4/5")],
                     ["1/5", "4/5"], id="a-bar-is-one-line-in-ten-seconds"),
        pytest.param([(0, "load", "1/5"), (1, "load", "2/5"), (12, "load", "2/5")],
                     ["1/5", "2/5"], id="the-last-state-is-not-lost"),
        pytest.param([(0, "load", "5/5"), (1, "compile", "c"), (2, "memory", "m")],
                     ["5/5", "c", "m"], id="each-step-at-once"),
        pytest.param([(0, "load", "1/5"), (60, "load", "1/5"), (61, "load", "1/5"), (120, "load", "1/5")],
                     ["1/5", "1/5", "1/5"], id="a-sign-of-life-each-minute"),
    ],
)  # fmt: skip
def test_show(states, lines) -> None:
    """One line for a change, not for each look."""
    written: list[str] = []
    progress = ProgressLines(written.append)
    printed = [progress.show(step, text, now_s) for now_s, step, text in states]
    assert written == lines
    assert sum(printed) == len(lines)


def test_what_a_line_holds() -> None:
    """The prefix and what is there; a change of time alone is no news."""
    written: list[str] = []
    progress = ProgressLines(written.append, "gpu-1: medium")
    progress.show("load", "loading", 0, "10 s", "")
    assert progress.show("load", "loading", 30, "40 s", "about 5 s left") is False
    progress.show("compile", "compiling", 31, "41 s", "about 4 s left")
    assert written == ["gpu-1: medium | loading | 10 s", "gpu-1: medium | compiling | 41 s | about 4 s left"]


def test_say() -> None:
    """It is always printed, and the next bar waits for its turn."""
    written: list[str] = []
    progress = ProgressLines(written.append)
    progress.show("load", "1/5", 0)
    progress.say("note", 15)
    progress.say("note", 16)
    assert progress.show("load", "2/5", 20) is False
    assert progress.show("load", "2/5", 26) is True
    assert written == ["1/5", "note", "note", "2/5"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"), (0, "0 s"), (47.6, "48 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (571, "9 min 31 s"),
        (3599, "59 min 59 s"), (3900, "1 h 5 min"), (90_000, "25 h 0 min"),
    ],
)  # fmt: skip
def test_duration(seconds, text) -> None:
    """As people say it."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (276_800, "270.3 KiB"), (5 * 2**20, "5.0 MiB"),
        (19_345_000_000, "18.02 GiB"), (5 * 2**40, "5120.00 GiB"),
    ],
)  # fmt: skip
def test_size(count, text) -> None:
    """In the largest unit that fits."""
    assert size(count) == text
