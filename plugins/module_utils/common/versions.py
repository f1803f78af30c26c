# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare versions by their numbers. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re


def numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version (``v2.26.1-4`` gives ``(2, 26, 1)``); empty when there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def at_least(found: str, wanted: str) -> bool:
    """Tell whether version ``found`` is ``wanted`` or newer; an empty ``found`` never is."""
    have, need = numbers(found), numbers(wanted)
    length = max(len(have), len(need))
    return bool(have) and have + (0,) * (length - len(have)) >= need + (0,) * (length - len(need))


def release(text: str | None) -> tuple[int, int, int] | None:
    """Return (major, minor, patch) of a version; suffixes (rc1, .post2, +cpu) do not count.

    Returns:
        None when the text does not begin with two numbers.
    """
    found = numbers(text or "")
    return (*found, 0)[:3] if len(found) > 1 else None
