# SPDX-License-Identifier: GPL-3.0-or-later
"""What the STAND-IN for AWX's API answers instead of an object, and what it shows instead of a secret."""

from __future__ import annotations

from typing import Any

ENCRYPTED = "$encrypted$"


class Refused(Exception):
    """What AWX answers instead of an object: its JSON body, and the status."""

    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__(body)
        self.body = body
        self.status = status
