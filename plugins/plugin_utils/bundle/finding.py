# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing that a diagnosis found, and how they are put in order.

Private to this collection; may change at any time.
"""

from __future__ import annotations

#: Worst first.
SEVERITIES = ("error", "warning", "info")


def finding(identity: str, severity: str, found: str, fix: str, where: str) -> dict:
    """Return a finding.

    Args:
        identity: its id.
        severity: one of :data:`SEVERITIES`.
        found: what is there, in a phrase.
        fix: what to do.
        where: the file of the archive that shows it; empty without one.
    """
    return {"id": identity, "severity": severity, "found": found, "fix": fix, "where": where}


def worst_first(found: list[dict]) -> list[dict]:
    """Return the findings, errors first, otherwise in their order."""
    return sorted(found, key=lambda item: SEVERITIES.index(item["severity"]))
