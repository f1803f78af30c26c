# SPDX-License-Identifier: GPL-3.0-or-later
"""Write values into a ``.env`` file so that Docker Compose reads back exactly what was given.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

#: Names that Compose accepts on the left of ``=`` in a ``.env`` file and inside ``${...}``.
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")


class DotenvError(ValueError):
    """A value that no ``.env`` line can carry unchanged. The text never contains the value itself."""


def check_value(value: str) -> str:
    """Say why ``value`` cannot be written to a ``.env`` file, or return an empty string.

    Compose reads a single-quoted value literally (no ``$`` expansion, no ``#`` comment) with one exception: a
    backslash in front of a single quote is dropped. A value in which a backslash stands directly before a single
    quote, or at the very end (before the closing quote), therefore has no representation.
    """
    if "\n" in value or "\r" in value:
        return "it contains a line break"
    if "\x00" in value:
        return "it contains a NUL byte"
    if "\\'" in value or value.endswith("\\"):
        return "it contains a backslash directly before a single quote or at its end"
    return ""


def quote(value: object) -> str:
    """Return ``value`` as the right side of a ``.env`` line.

    Args:
        value: text, number or boolean (booleans become ``true``/``false``).

    Raises:
        DotenvError: when Compose would read back something else; the message does not contain the value.
    """
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value)
    why_not = check_value(text)
    if why_not:
        raise DotenvError("this value cannot be written to a .env file: %s" % why_not)
    if "'" in text:
        text = text.replace("'", "\\'")
    return "'%s'" % text


def names(text: str) -> list[str]:
    """Return the variable names a ``.env`` text sets, in order (for diffs that must not show values)."""
    found = []
    for line in text.split("\n"):
        name, sep, _value = line.partition("=")
        if sep and NAME.match(name):
            found.append(name)
    return found


def items(text: str) -> dict[str, str]:
    """Return the names and values that a ``.env`` text written by :func:`quote` sets."""
    return {name: quoted[1:-1].replace("\\'", "'") for name, quoted in _pairs(text).items()}


def values(text: str) -> list[str]:
    """Return the values that a ``.env`` text sets (to take them out of messages)."""
    return list(items(text).values())


def masked_diff(
    before: str, after: str, is_shown: Callable[[str, str], bool] = lambda name, value: False
) -> tuple[str, str]:
    """Return both texts with values replaced, so that a diff shows WHICH names changed and no secret.

    A value that is the same on both sides shows as ``(unchanged)``, one that differs as ``(old)`` and ``(new)``.

    Args:
        before: the one text.
        after: the other text.
        is_shown: tells of a name and its value whether the value may be shown where it differs. Of one that is on both
            sides both must be.
    """
    old, new = _pairs(before), _pairs(after)

    def render(mine: dict[str, str], other: dict[str, str], word: str) -> str:
        lines = []
        for name, value in mine.items():
            open_ = all(is_shown(name, text) for text in (value, other.get(name, value)))
            shown = "(unchanged)" if other.get(name) == value else value if open_ else word
            lines.append("%s=%s\n" % (name, shown))
        return "".join(lines)

    return render(old, new, "(old)"), render(new, old, "(new)")


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for line in text.split("\n"):
        name, sep, value = line.partition("=")
        if sep and NAME.match(name):
            pairs[name] = value
    return pairs


def ambient(expected: dict[str, str | None], env: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the names that this process's environment has with another value than ``.env`` has or will have.

    Args:
        expected: name and value, None where the value is not known here.
        env: text of the ``.env`` that is in use.
        environment: that of a process; None: of this one.

    Returns:
        Per name ``differs``, or ``unknown`` where nothing tells; never a value.
    """
    environment = os.environ if environment is None else environment
    there = items(env)
    found = {}
    for name, value in expected.items():
        known = there.get(name) if value is None else value
        if name in environment and environment[name] != known:
            found[name] = "unknown" if known is None else "differs"
    return found
