# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests `make test` runs (MYIA_TESTS=core); `make test-full`, `make molecule` and workflows run all."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


def register(config: pytest.Config) -> None:
    """Know the mark of tests that `make test` leaves to `make test-full`."""
    config.addinivalue_line("markers", "full: takes long, one more case of what others show; see core_tests.py")


def leave_out(
    config: pytest.Config, items: list[pytest.Item], choice: Callable[[list[pytest.Item]], list[pytest.Item]]
) -> None:
    """With MYIA_TESTS=core, keep what a function chooses of the collected tests."""
    if os.environ.get("MYIA_TESTS") == "core":
        chosen = choice(items)
        kept = set(map(id, chosen))
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
        items[:] = chosen


def without_full(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return what `make test` runs of lint, units, integration and gates: the tests without the mark ``full``."""
    return [item for item in items if item.get_closest_marker("full") is None]


def core_only(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return what `make test` runs of a scenario: those without the mark, each with its first case on each host."""
    seen, chosen = set(), []
    for item in without_full(items):
        case = getattr(item, "callspec", None)
        host = str(case.params.get("_testinfra_host", "")) if case else ""
        name = (item.nodeid.partition("[")[0], host)
        if name not in seen:
            seen.add(name)
            chosen.append(item)
    return chosen
