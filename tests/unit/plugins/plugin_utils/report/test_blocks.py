# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of a report: numbers for people, and tables without empty columns."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.report import blocks


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, blocks.UNKNOWN),
        (0, "0"),
        (158304, "158,304"),
        (9.08, "9.08"),
        (18.634, "18.6"),
        (1463.9, "1,464"),
        (0.0345, "0.0345"),
    ],
)
def test_number(value, shown) -> None:
    """Three digits that count."""
    assert blocks.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (0.004, "under 10 ms"), (0.25, "250 ms"), (9.96, "10.0 s"), (65.2, "1 min 5 s")],
)
def test_seconds(value, shown) -> None:
    """What is short needs its fractions, what is long does not."""
    assert blocks.seconds(value) == shown


def test_number_range() -> None:
    """Both ends, unless they are one."""
    assert [blocks.number_range(*ends) for ends in ((None, None), (5, 5), (1.5, 1000))] == [
        blocks.UNKNOWN,
        "5",
        "1.5 to 1,000",
    ]


@pytest.mark.parametrize(("sparse", "kept"), [(True, ["a", "bars"]), (False, ["a", "b", "bars"])])
def test_table(sparse, kept) -> None:
    """A sparse one leaves out a column in which nothing is known; bars alone are something."""
    rows = [["x", None, blocks.cell("", bars=[blocks.bar_at("now", -5, 200)])], [1, "", ""]]
    table = blocks.table("caption", ["a", "b", "bars"], rows, (0,), sparse=sparse)
    assert [column["text"] for column in table["columns"]] == kept
    assert [column["number"] for column in table["columns"]] == [name == "a" for name in kept]
    assert {len(row) for row in table["rows"]} == {len(kept)}
    assert table["rows"][0][-1]["bars"] == [{"kind": "now", "left": 0, "width": 100}]
