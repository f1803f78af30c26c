# SPDX-License-Identifier: GPL-3.0-or-later
"""Expressions that look for a plain text first must find the same as without that."""

from __future__ import annotations

import re

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.patterns import Expression, needles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no space left", ("space",)),
        ("CUDA error: out", ("error:",)),
        ("errors?", ("error",)),
        ("ab+cde", ("cde",)),
        ("x{2,3}yz", ("yz",)),
        (r"exit \(code\)", ("(code)",)),
        (r"\d+ tokens", ("tokens",)),
        ("(one|two) three", ("three",)),
        ("one|three", ("one", "three")),
        ("[abc|]def", ("def",)),
        (r"[\]x]yes", ("yes",)),
        ("(?i)KILLED", ("killed",)),
        (r"\w+", ("",)),
        ("(a|b)|cdef", ("", "cdef")),
    ],
    ids=str,
)
def test_needles(text, expected) -> None:
    """What every match must hold: nothing optional, nothing from a group, each alternative its own."""
    assert needles(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("is not larger", "is\nnot\t larger", True),
        ("cuda ?>= ?13", "cuda>=13", True),
        ("cuda ?>= ?13", "cuda  >=  13", True),
        ("one|three", "two three", True),
        ("(?i)Killed", "KILLED", True),
        ("Killed", "KILLED", False),
    ],
    ids=str,
)
def test_search(text, line, found) -> None:
    """A blank is any white space; the plain texts do not change what is found."""
    assert bool(Expression(text, blanks=True).search(line, line.lower())) == found


def test_no_expression() -> None:
    """A broken expression says so."""
    with pytest.raises(re.error):
        Expression("(")
