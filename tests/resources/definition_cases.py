# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the definition share."""

from __future__ import annotations


def messages(problems: list[dict]) -> str:
    """All messages as one text."""
    return "\n".join(item["message"] for item in problems)
