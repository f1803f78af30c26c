# SPDX-License-Identifier: GPL-3.0-or-later
"""What one check of a service found, and what all of them say together.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import typing

#: Characters of a line of evidence, of a reason, and of the evidence in a message about several checks.
EVIDENCE, REASON, _SEEN = 300, 500, 90


#: Id under which ``release.json`` notes a release that started and failed its checks.
UNVERIFIED = "verification-failed"


#: Part of what vLLM says to a chat with a model that has no template for one (transformers' own words, lower case).
NO_TEMPLATE = "chat template"


class Verdict(typing.NamedTuple):
    """``status`` is passed, failed or skipped; ``reason`` says why it did not pass; ``evidence`` is what was seen."""

    status: str
    reason: str = ""
    evidence: str = ""


def passed(evidence: str = "") -> Verdict:
    """Return the verdict that all is as expected."""
    return Verdict("passed", "", evidence)


def failed(reason: str, evidence: str = "") -> Verdict:
    """Return the verdict that something is not as expected."""
    return Verdict("failed", reason, evidence)


def skipped(reason: str) -> Verdict:
    """Return the verdict that there was nothing to check."""
    return Verdict("skipped", reason)


def check(name: str, group: str, what: str, verdict: Verdict, duration_s: float, must: bool = True) -> dict:
    """Return a check as it is returned.

    Args:
        name: its id.
        group: ``endpoint``, ``access`` or ``functional``.
        what: what was checked, a sentence.
        verdict: how it went.
        duration_s: how long it took, in seconds.
        must: whether its failure makes the whole fail.
    """
    return {
        "id": name,
        "group": group,
        "what": what,
        "must": must,
        "status": verdict.status,
        "reason": _short(verdict.reason, REASON),
        "duration_s": round(duration_s, 2),
        "evidence": _short(verdict.evidence, EVIDENCE),
    }


def _short(text: str, limit: int) -> str:
    folded = " ".join(str(text).split())
    return folded if len(folded) <= limit else folded[: limit - 3] + "..."


def counts(checks: list[dict]) -> dict[str, int]:
    """Return how many checks ``passed``, ``failed``, ``warned`` (failed, but not required) and were ``skipped``."""
    found = {"passed": 0, "failed": 0, "warned": 0, "skipped": 0}
    for item in checks:
        found["warned" if item["status"] == "failed" and not item["must"] else item["status"]] += 1
    return found


def line(item: dict) -> str:
    """Return a check as one line for a terminal."""
    status = {"passed": "ok", "skipped": "skipped"}.get(item["status"], "FAILED" if item["must"] else "warning")
    more = item["reason"] or item["evidence"]
    return "%-8s %-22s %s%s" % (status, item["id"], item["what"], ": " + more[:160] if more else "")


def diagnosis(text: str) -> dict:
    """Return the problem of a verification as a release notes what it failed of; empty without one."""
    if not text:
        return {}
    cause, *evidence = text.splitlines()
    # a model may answer otherwise next time
    return {"id": UNVERIFIED, "phase": "verify", "certain": False, "cause": cause, "evidence": evidence}


def problem(checks: list[dict]) -> str:
    """Return one message about the checks that failed and were required; empty when there are none."""
    bad = [item for item in checks if item["status"] == "failed" and item["must"]]
    if not bad:
        return ""
    lines = ["%d of %d checks failed:" % (len(bad), len(checks))]
    for item in bad:
        evidence = " | seen: %s" % _short(item["evidence"], _SEEN) if item["evidence"] else ""
        lines.append("- %s (%s): %s%s" % (item["id"], item["what"], item["reason"], evidence))
    return "\n".join(lines)
