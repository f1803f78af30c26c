# SPDX-License-Identifier: GPL-3.0-or-later
"""The capacity planner against real starts: floors under the figures that ``make bench-capacity`` prints."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SPEC = importlib.util.spec_from_file_location("bench", ROOT / "tools" / "bench_capacity.py")
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)


@pytest.fixture(scope="module")
def measured() -> dict:
    """The figures over the cases of the repository."""
    cases, configs = bench.load(bench.CASES)
    return bench.score(cases, bench.planned(cases, configs))


@pytest.mark.parametrize(
    ("part", "cases"),
    [pytest.param("tokens", 30, id="tokens"), pytest.param("kv_gib", 33, id="kv-gib")],
)
def test_bands(part, cases, measured) -> None:
    """At least nine of ten starts inside, the middle within five percent, the band no wider than a quarter."""
    found = measured[part]
    assert found["cases"] == cases
    assert found["inside"] >= 0.9, found["missed"]
    assert found["error"] <= 0.05
    assert found["width"] <= 1.25


def test_refusals(measured) -> None:
    """Refused starts are seen, but for two: their memory was held by another process, which no plan can know."""
    assert measured["refused"]["cases"] == 15
    assert set(measured["refused"]["missed"]) <= {"kv011", "kv119"}


def test_no_start_is_refused(measured) -> None:
    """Nothing that really started is predicted not to, and most starts are predicted to fit."""
    assert measured["started"]["cases"] >= 40
    assert measured["started"]["false_no"] == []
    assert measured["started"]["yes"] >= 0.85


def test_table(measured) -> None:
    """The table names every figure, and the cases that were missed."""
    text = bench.table(measured, 0.004)
    for part in ("KV tokens inside", "KV GiB error", "refused: no or uncertain", "kv011", "started: predicted no"):
        assert part in text
