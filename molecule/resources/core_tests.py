# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests of a scenario `make test` runs; `make test-full` and `make molecule` run all of them."""

from __future__ import annotations

import pytest


def core_only(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return what `make test` runs: the tests without the mark ``full``, each with its first case on each host."""
    seen, chosen = set(), []
    for item in items:
        case = getattr(item, "callspec", None)
        host = str(case.params.get("_testinfra_host", "")) if case else ""
        name = (item.nodeid.partition("[")[0], host)
        if item.get_closest_marker("full") is None and name not in seen:
            seen.add(name)
            chosen.append(item)
    return chosen
