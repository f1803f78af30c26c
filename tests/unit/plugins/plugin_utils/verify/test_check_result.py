# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks, their counts, and the message about those that failed."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import check_result
from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import failed, passed, skipped

GOOD = check_result.check("a", "endpoint", "A works", passed("HTTP 200"), 0.123)
BAD = check_result.check("b", "functional", "B works", failed("it does not", "seen\n  this"), 1)
WARNED = check_result.check("c", "functional", "C works", failed("slow"), 1, must=False)
LEFT_OUT = check_result.check("d", "access", "D works", skipped("no key"), 0)


def test_counts() -> None:
    assert check_result.counts([GOOD, BAD, WARNED, LEFT_OUT]) == {"passed": 1, "failed": 1, "warned": 1, "skipped": 1}


def test_texts_are_one_short_line() -> None:
    """An answer of a model may be long and have lines."""
    found = check_result.check("x", "functional", "X", failed("r" * 900, "e\n" * 900), 0)
    assert (len(found["reason"]), len(found["evidence"])) == (check_result.REASON, check_result.EVIDENCE)
    assert "\n" not in found["evidence"]
    assert found["evidence"].endswith("...")


@pytest.mark.parametrize(
    ("item", "begins"),
    [(GOOD, "ok       a"), (BAD, "FAILED   b"), (WARNED, "warning  c"), (LEFT_OUT, "skipped  d")],
)
def test_line(item: dict, begins: str) -> None:
    assert check_result.line(item).startswith(begins)


def test_problem_names_what_is_required_and_nothing_else() -> None:
    text = check_result.problem([GOOD, BAD, WARNED, LEFT_OUT])
    assert text == "1 of 4 checks failed:\n- b (B works): it does not | seen: seen this"
    assert check_result.problem([GOOD, WARNED, LEFT_OUT]) == ""


def test_diagnosis_is_the_problem_in_parts() -> None:
    """As a release notes what it failed of; the configuration is not held to be the cause for certain."""
    found = check_result.diagnosis("1 of 4 checks failed:\n- b: it does not")
    assert (found["id"], found["phase"], found["certain"]) == ("verification-failed", "verify", False)
    assert (found["cause"], found["evidence"]) == ("1 of 4 checks failed:", ["- b: it does not"])
    assert check_result.diagnosis("") == {}
