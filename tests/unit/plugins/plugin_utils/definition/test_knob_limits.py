# SPDX-License-Identifier: GPL-3.0-or-later
"""Every number of every role has its limits, and keeps them."""

from __future__ import annotations

import math

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    knob_limits,
    role_variables,
    rules,
    serve_options,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

NUMBERS = {
    name: option for name, option in role_variables.all_options().items() if option.get("type") in ("int", "float")
}

#: Checked where what they are about is.
ELSEWHERE = {"vllm_cpu_limit", "vllm_container_port", *serve_options.shares()}


def test_every_number_has_limits() -> None:
    """A new one cannot be forgotten, and no limit is left over; each default lies within."""
    limits = {**rules.INT_LIMITS, **knob_limits.LIMITS}
    assert set(NUMBERS) - ELSEWHERE <= set(limits)
    assert set(knob_limits.LIMITS) <= set(NUMBERS)
    for name, option in NUMBERS.items():
        low, high = limits.get(name, (0, None))
        assert option.get("default") is None or low <= option["default"] <= (math.inf if high is None else high), name


def test_zero_is_described() -> None:
    """Where 0 is taken for a time or a number to keep, its description says what it means."""
    for name, (low, _high) in knob_limits.LIMITS.items():
        said = NUMBERS[name].get("description", "")
        text = " ".join(said) if isinstance(said, list) else said
        if low == 0 and name.endswith(("_keep", "_s")) and "connection" not in name:
            assert "0 for" in text, name


@pytest.mark.parametrize("name", knob_limits.LIMITS)
def test_limits(name) -> None:
    """The limits themselves are taken, what lies beyond is refused with both."""
    low, high = knob_limits.LIMITS[name]
    for value, refused in ((low, False), (high, False), (low - 1, True), (high + 1, True), (math.nan, True)):
        problems = Problems()
        knob_limits.check({name: value, "other": -1}, problems)
        assert bool(problems.found) is refused, value
        if refused:
            assert problems.found[0]["message"] == "%s: %s is out of range. Use %s to %s." % (name, value, low, high)


def test_null_and_a_second_problem() -> None:
    """Null is no number, and of one variable one problem is enough."""
    problems = Problems()
    problems.add("vllm_health_poll_s", "is not a number.")
    knob_limits.check({"vllm_preflight_min_free_gib": None, "vllm_health_poll_s": 0}, problems)
    assert len(problems.found) == 1
