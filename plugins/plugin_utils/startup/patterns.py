# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular expressions that are asked about every line of a log, most of which match none of them.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

#: Shortest text worth looking for before the expression itself is tried, in characters.
_MIN_NEEDLE = 3


class Expression:
    """An expression with the plain texts of which a match must hold one, so that most lines cost no match."""

    def __init__(self, text: str, blanks: bool = False) -> None:
        r"""Compile ``text``; with ``blanks`` a blank stands for any white space, as terminals wrap lines.

        Raises:
            re.error: it is no regular expression.
        """
        self.text = text
        self.pattern = re.compile(re.sub(" [?*]", r"\\s*", text).replace(" ", r"\s+") if blanks else text)
        found = needles(text)
        self.needles = found if all(len(needle) >= _MIN_NEEDLE for needle in found) else ()

    def search(self, text: str, lower: str) -> re.Match | None:
        """Return the first match in ``text``; ``lower`` is the text in small letters."""
        if self.needles and not any(needle in lower for needle in self.needles):
            return None
        return self.pattern.search(text)


def needles(text: str) -> tuple[str, ...]:
    """Return for each alternative of an expression the longest plain text that it needs, in small letters."""
    found, run, best = [], "", ""
    depth, index = 0, re.match(r"(\(\?[a-z]+\))?", text).end()
    while index < len(text):
        char, width = text[index], 1
        if char == "\\":
            char, width = text[index + 1], 2
            plain = not char.isalnum()
        else:
            plain = char not in ".^$*+?{}[]()| "
        if char == "[" and not plain:
            # a class: skip to its end, which does not stand first in it
            width = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]").match(text, index).end() - index
        elif char in "()" and not plain:
            depth += 1 if char == "(" else -1
        elif char == "{" and not plain:
            width = text.index("}", index) - index + 1
        if depth == 0 and plain:
            run += char
        else:
            # what may be missing, or stand several times, is not part of the text that is needed
            run = run[:-1] if char in "*?{" and not plain else run
            best, run = max(best, run, key=len), ""
        if char == "|" and not plain and depth == 0:
            found.append(best.lower())
            best = ""
        index += width
    return (*found, max(best, run, key=len).lower())
