# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter release_speed: results of two benchmarks, complete or not."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.filter import release_speed


def result(tpot_ms: float, **changes: object) -> dict:
    """A benchmark of eight rounds."""
    rounds = [{"ttft_ms": 50 + number, "tpot_ms": tpot_ms + number / 10} for number in range(8)]
    return {"ok": True, "problem": "", "model": "m", "runs": [{"round_figures": rounds}], **changes}


@pytest.mark.parametrize(
    ("before", "after", "verdict", "text"),
    [
        (result(20), result(26), "slower", "Slower than the release before by more than 10 %: "),
        (result(20), result(20), "not_slower", "Not slower than the release before by more than 10 %: "),
        (result(20, ok=False, problem="It is busy."), result(20), "unknown",
         "Not compared: the measurement before the switch is not complete (It is busy)."),
        (result(20), {"failed": True, "msg": "gone"}, "unknown",
         "Not compared: the measurement after the switch is not complete (gone)."),
        (result(20), result(20, model="n"), "unknown", "Not compared: the release before served m, this one serves n."),
        (result(20, runs=[{}]), result(20), "unknown", "There are no rounds of before the switch to compare."),
    ],
)  # fmt: skip
def test_release_speed(before: dict, after: dict, verdict: str, text: str) -> None:
    """What was not measured is no verdict, and never an alarm."""
    found = release_speed.FilterModule().filters()["release_speed"](before, after, 10)
    assert (found["verdict"], found["text"][: len(text)]) == (verdict, text)
