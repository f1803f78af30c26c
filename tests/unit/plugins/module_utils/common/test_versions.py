# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of packages, engines and vLLM."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.common import versions


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ("20.10.24+dfsg1", "20.10", True),
        ("20.10", "20.10.0", True),
        ("20.9", "20.10", False),
        ("19.03.15", "20.10", False),
        ("26.1.5", "20.10", True),
        ("2.26.1-4", "2.22.0", True),
        ("v2.22.0", "2.22.0", True),
        ("2.21.99", "2.22.0", False),
        ("2.9.0", "2.22.0", False),
        ("2.22", "2.22.0", True),
        ("2.22.0", "2.22", True),
        ("28.0.0-rc.1", "28.0", True),
        ("", "20.10", False),
        ("unknown", "20.10", False),
        ("dev", "0", False),
    ],
)
def test_at_least(found, wanted, expected) -> None:
    """Numbers are compared, not texts."""
    assert versions.at_least(found, wanted) is expected


@pytest.mark.parametrize(
    ("text", "found"),
    [("v2.26.1-4", (2, 26, 1)), ("20.10.24+dfsg1", (20, 10, 24)), (" 26 ", (26,)), ("", ()), ("x1", ()), ("1.", (1,))],
)
def test_numbers(text, found) -> None:
    """Only the leading numbers count."""
    assert versions.numbers(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("0.11", (0, 11, 0)), ("v0.33.0rc1", (0, 33, 0)), ("0.23.1rc1.dev1201+gd08eebad1", (0, 23, 1)),
     ("0.19.x", (0, 19, 0)), ("1.0.0+cpu", (1, 0, 0)), ("7", None), ("latest", None), (None, None)],
)  # fmt: skip
def test_release(text, found) -> None:
    """Three numbers, or nothing; suffixes do not count."""
    assert versions.release(text) == found
