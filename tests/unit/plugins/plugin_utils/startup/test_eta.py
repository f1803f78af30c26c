# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a start will still take, by the last one on the same host."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import eta as startup_eta


def start(image: str, model: str, *phases: tuple[str, float]) -> dict:
    """A recorded start."""
    steps = [{"phase": phase, "duration_s": seconds} for phase, seconds in phases]
    return {"image": image, "model": model, "phases": steps}


#: The newest first.
STARTS = [
    start("new", "other", ("load", 1)),
    {"image": "old", "model": "m"},
    start("new", "m", ("load", 2)),
    start("old", "m", ("load", 3)),
    start("old", "m", ("load", 4)),
]


@pytest.mark.parametrize(
    ("image", "model", "load"),
    [
        pytest.param("new", "m", 2, id="this-image"),
        pytest.param("old", "m", 3, id="the-newest-that-was-recorded"),
        pytest.param("third", "m", 2, id="another-image"),
        pytest.param("new", "third", None, id="another-model"),
    ],
)
def test_last_start(image, model, load) -> None:
    """The same model counts, of these the same image first."""
    assert startup_eta.durations(startup_eta.last_start(STARTS, image, model)).get("load") == load


@pytest.mark.parametrize(
    ("phases", "durations"),
    [
        ([("load", 2), ("download", 30), ("load", 5), ("serving", 900)], {"load": 7, "download": 30}),
        ([("load", None), ("graphs", "x"), ("nonsense", 3), ("compile", 1.5)], {"compile": 1.5}),
        ([], {}),
    ],
    ids=["twice-and-serving", "damaged", "none"],
)
def test_durations(phases, durations) -> None:
    """Each phase once; how long it served is no part of a start, and what is damaged does no harm."""
    assert startup_eta.durations(start("i", "m", *phases)) == durations
    assert startup_eta.durations({"phases": ["damaged"]}) == startup_eta.durations({}) == {}


LAST = {"load": 100.0, "compile": 50.0, "graphs": 10.0}


@pytest.mark.parametrize(
    ("phase", "percent", "phase_s", "last", "seconds"),
    [
        pytest.param("load", None, 0, LAST, 160, id="begin"),
        pytest.param("load", None, 30, LAST, 130, id="by-the-last-start"),
        # early percents are noise
        pytest.param("load", 10, 60, LAST, 100, id="too-early-for-its-own-pace"),
        pytest.param("load", 20, 60, LAST, 240 + 60, id="own-pace-slower"),
        pytest.param("load", 50, 10, LAST, 10 + 60, id="own-pace-faster"),
        pytest.param("load", 100, 90, LAST, 60, id="bar-is-full"),
        pytest.param("load", None, 500, LAST, 60, id="longer-than-last-time"),
        pytest.param("graphs", None, 500, LAST, 0, id="longer-in-the-last-phase"),
        # this phase was not there the last time
        pytest.param("memory", None, 5, LAST, 10, id="new-phase"),
        pytest.param("ready", None, 5, LAST, None, id="nothing-is-known-after-it"),
        pytest.param("load", 50, 10, {}, None, id="first-start-ever"),
    ],
)
def test_remaining(phase, percent, phase_s, last, seconds) -> None:
    """Own pace from a fifth on, the last start before, and nothing when there is nothing to go by."""
    left = startup_eta.remaining_s({"phase": phase, "percent": percent}, phase_s, last)
    assert left == (None if seconds is None else pytest.approx(seconds))
