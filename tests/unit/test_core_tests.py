# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests `make test` runs."""

from __future__ import annotations

import types
from unittest import mock

import pytest
from core_tests import core_only, leave_out, without_full


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


@pytest.mark.parametrize(("said", "left"), [("core", ["a.py::test_one"]), ("", ["a.py::test_one", "a.py::test_long"])])
def test_elsewhere_every_case_counts(said, left, monkeypatch) -> None:
    """Of lint, units and gates only what is marked is left out, and only for `make test`."""
    monkeypatch.setenv("MYIA_TESTS", said)
    items, hook = [item("a.py::test_one"), item("a.py::test_long", full=True)], mock.Mock()
    leave_out(types.SimpleNamespace(hook=hook), items, without_full)
    assert [found.nodeid for found in items] == left
    told = [found.nodeid for call in hook.pytest_deselected.mock_calls for found in call.kwargs["items"]]
    assert told == [name for name in ("a.py::test_one", "a.py::test_long") if name not in left]
