# SPDX-License-Identifier: GPL-3.0-or-later
"""One result of a preflight check, and how results are put in order. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

#: Worst first.
_SEVERITIES = ("error", "warning")


def finding(
    identity: str, ok: bool, found: str, needed: str, fix: str, *, severity: str = "error", details: list | None = None
) -> dict:
    """Return a result.

    Args:
        identity: id of the check, for vllm_preflight_skip.
        ok: whether it passed.
        found: what is there.
        needed: what should be.
        fix: what to do; dropped when ``ok``.
        severity: V(error) refuses the deployment, V(warning) does not. Of a check that passed it means nothing.
        details: lines of arithmetic behind it.
    """
    return {
        "id": identity,
        "ok": ok,
        "severity": severity,
        "found": found,
        "needed": needed,
        "fix": "" if ok else fix,
        "details": details or [],
    }


def worst_first(findings: list[dict]) -> list[dict]:
    """Return the findings that are not ok, errors before warnings, otherwise in the order of the checks."""
    bad = [item for item in findings if not item["ok"]]
    return sorted(bad, key=lambda item: _SEVERITIES.index(item["severity"]))


def in_a_line(item: dict) -> str:
    """Return a finding as one line."""
    return "%s: found %s, needed %s. %s" % (item["id"], item["found"], item["needed"], item["fix"])
