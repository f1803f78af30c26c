# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests of the scenarios `make test` runs."""

from __future__ import annotations

import types

from core_tests import core_only


def item(nodeid: str, host: str = "", full: bool = False) -> types.SimpleNamespace:
    """A test as pytest knows it."""
    case = types.SimpleNamespace(params={"_testinfra_host": host}) if host else None
    marks = {"full": True} if full else {}
    return types.SimpleNamespace(nodeid=nodeid, callspec=case, get_closest_marker=marks.get)


def test_core_only() -> None:
    """No test that takes long; of one with many cases the first, on each host."""
    items = [
        item("a.py::test_one"),
        item("a.py::test_cases[h1-first]", "h1"),
        item("a.py::test_cases[h1-second]", "h1"),
        item("a.py::test_cases[h2-first]", "h2"),
        item("b.py::test_cases[h1-first]", "h1"),
        item("a.py::test_long[h1]", "h1", full=True),
    ]
    chosen = [found.nodeid for found in core_only(items)]
    assert chosen == [
        "a.py::test_one",
        "a.py::test_cases[h1-first]",
        "a.py::test_cases[h2-first]",
        "b.py::test_cases[h1-first]",
    ]
