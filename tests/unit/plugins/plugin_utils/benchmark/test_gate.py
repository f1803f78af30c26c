# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of two releases by rounds, on figures worked out by hand and on simulated ones."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import gate


@pytest.mark.parametrize(("few", "many"), [(1, 1), (2, 3), (3, 3), (4, 2)])
def test_ways_are_those_of_all_orders(few: int, many: int) -> None:
    """The counts are what trying every order gives."""
    found = [0] * (few * many + 1)
    for places in itertools.combinations(range(few + many), few):
        others = [place for place in range(few + many) if place not in places]
        found[sum(one > other for one in places for other in others)] += 1
    assert gate.ways(few, many) == found


@pytest.mark.parametrize(
    ("larger", "smaller", "expected"),
    [
        # one of the 252 orders of 5 and 5
        ([6, 7, 8, 9, 10], [1, 2, 3, 4, 5], 1 / 252),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 1.0),
        # of the 6 orders of 2 and 2 those with U 3 or 4
        ([2, 4], [1, 3], 2 / 6),
        # equal values are no proof of anything: U is 2 of 4
        ([1, 1], [1, 1], 4 / 6),
    ],
)
def test_p_value(larger: list, smaller: list, expected: float) -> None:
    """Exact, and never smaller for ties."""
    assert gate.p_value(larger, smaller) == pytest.approx(expected)


def rounds(rng: random.Random, speed: float, noise: float, start: float = 0.0, count: int = 8) -> list[dict]:
    """Return simulated rounds: log-normal noise in each, and a shift that all of one start share."""
    own = rng.gauss(0, start)
    bases = {"ttft_ms": 80, "tpot_ms": 20}
    return [
        {name: base * speed * math.exp(own + rng.gauss(0, noise)) for name, base in bases.items()} for _ in range(count)
    ]


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_a_slowdown_is_found_and_no_alarm_is_given_without_one(noise: float, seed: int) -> None:
    """30 % slower: 10 of 10 found. The same release twice, each start 3 % off: no alarm in 10."""
    rng = random.Random("%d %g" % (seed, noise))
    slow = [gate.judge(rounds(rng, 1, noise), rounds(rng, 1.3, noise), 10)["verdict"] for _ in range(10)]
    same = [gate.judge(rounds(rng, 1, noise, 0.03), rounds(rng, 1, noise, 0.03), 10)["verdict"] for _ in range(10)]
    assert slow == [gate.SLOWER] * 10
    assert gate.SLOWER not in same


def test_noise_that_hides_everything_is_said_to() -> None:
    """With noise of a third nothing can be told, and nothing is claimed."""
    rng = random.Random(7)
    found = [gate.judge(rounds(rng, 1, 0.35), rounds(rng, 1.1, 0.35), 10)["verdict"] for _ in range(10)]
    assert found.count(gate.UNKNOWN) >= 8


def test_false_alarms_stay_below_the_chance_that_is_accepted() -> None:
    """A release exactly as slow as is allowed alarms as often as ``ALPHA`` says at most."""
    rng = random.Random(11)
    alarms = sum(
        gate.judge(rounds(rng, 1, 0.05), rounds(rng, 1.1, 0.05), 10)["verdict"] == gate.SLOWER for _ in range(2000)
    )
    assert alarms <= 2000 * gate.ALPHA * 1.5


def test_one_figure_is_enough() -> None:
    """Only the first token comes later; the text names both figures with their medians."""
    before = [{"ttft_ms": 100 + number, "tpot_ms": 20 + number / 10} for number in range(8)]
    after = [{**item, "ttft_ms": item["ttft_ms"] * 1.5} for item in before]
    found = gate.judge(before, after, 10)
    assert found["verdict"] == gate.SLOWER
    assert found["figures"]["tpot_ms"]["verdict"] == gate.NOT_SLOWER
    assert found["text"].startswith(
        "Slower than the release before by more than 10 %: time to the first token 155.2 ms, was 103.5 ms (+50 %, "
    )


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ([], [{"ttft_ms": 1.0}], "There are no rounds of before the switch to compare."),
        ([{"ttft_ms": 1.0}], [], "There are no rounds of after the switch to compare."),
        ([{"ttft_ms": 0}], [{"ttft_ms": 1.0}], "The rounds have no figures to compare."),
    ],
)
def test_what_cannot_be_compared_is_unknown(before: list, after: list, text: str) -> None:
    """Nothing measured is no verdict."""
    assert gate.judge(before, after, 10) == {"verdict": gate.UNKNOWN, "figures": {}, "text": text}


def test_few_rounds_tell_nothing() -> None:
    """Three rounds each cannot be sure, however far they lie apart."""
    assert gate.judge([{"tpot_ms": 1.0}] * 3, [{"tpot_ms": 9.0}] * 3, 10)["verdict"] == gate.UNKNOWN
