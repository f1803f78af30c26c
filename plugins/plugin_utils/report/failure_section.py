# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says of a failure: what went wrong, where it shows, what to do, and what was done.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.report import sections
from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_report import ADVICE
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import check_result

#: Verdicts of runs that ended badly without an error of Ansible's.
_FAILED = ("verification_failed", "benchmark_failed", "refused", "unreachable", "host_not_fit", "serves_nothing",
           "last_release_failed")  # fmt: skip


def failure(verdict: dict, results: dict, snapshot: dict, failed: dict) -> dict:
    """Return what went wrong, where it shows, what to do, and what was done."""
    findings = [sections.shown_finding(item) for item in report_verdict.refused(results)]
    bad = verdict["id"] in _FAILED
    if not failed and not bad:
        return {"note": "There was none."}
    message = str(failed.get("message") or "").strip()
    for name in ("vllm_verify_result", "vllm_benchmark_result"):
        message = message or str((results.get(name) or {}).get("problem") or "").strip()
    found = _diagnosis(results, snapshot, message)
    if verdict["id"] == "last_release_failed":
        found = _kept(report_verdict.last_failed(snapshot))
    release = next((item for item in snapshot.get("releases") or [] if item["name"] == found.get("release")), {})
    return {
        **{key: str(found.get(key) or "") for key in ("id", "ref", "class", "phase", "cause", "fix")},
        "advice": ADVICE.get(found.get("class", ""), "What to do"),
        "evidence": [str(line) for line in found.get("evidence") or []],
        "message": "" if findings and verdict["id"] in ("refused", "host_not_fit") else message,
        "task": str(failed.get("task") or ""),
        "log": release.get("log", ""),
        "release": found.get("release", ""),
        "done": _done(verdict),
        "findings": findings if verdict["id"] in ("refused", "host_not_fit", "serves_nothing") else [],
    }


def _done(verdict: dict) -> str:
    """Return what was done about a failure."""
    return {
        "refused": "Nothing was changed on the host.",
        "unreachable": "Nothing more was done. A service that was running there runs on without this run.",
        "failed_went_back": "The last good release was brought back, and it was seen to answer.",
        "failed_still_serves": "Nothing had to be done: the service was not touched, or serves all the same.",
        "failed_nothing_serves": "No release could be brought back.",
        "verification_failed": "Nothing was changed because of it.",
        "benchmark_failed": "Nothing was changed because of it.",
        "host_not_fit": "Nothing was changed: a diagnosis only looks.",
        "last_release_failed": "Nothing was changed: a diagnosis only looks. The release that answers is another one.",
        "locked": "Nothing was changed by this run; the other one goes on.",
        "serves_nothing": "Nothing was changed: a diagnosis only looks. deploy_medium.yml starts the service.",
    }.get(verdict["id"], "It is not known what became of the service.")


def _diagnosis(results: dict, snapshot: dict, message: str) -> dict:
    """Return the named failure of the start that is meant; empty when there was none."""
    found, wanted = (
        (results.get("vllm_health_result") or {}).get("diagnosis") or {},
        report_verdict.wanted_release(results),
    )
    if found.get("outcome") in ("failed", "stopped"):
        return {**found, "release": wanted}
    unverified = (results.get("vllm_verify_result") or {}).get("ok") is False
    # the way back has overwritten it; release.json remembers, and the message tells whether it is the one meant
    for item in snapshot.get("releases") or []:
        kept = item.get("failure") or {}
        named = kept.get("id") and (kept["id"] in message or (kept["id"] == check_result.UNVERIFIED and unverified))
        if named and item["name"] in (wanted or message):
            return _kept(item)
    return {}


def _kept(release: dict) -> dict:
    """Return the failure that a release's description keeps, with what to do about it."""
    kept = release["failure"]
    entry = next((item for item in failure_catalogue.load([]).failures if item.id == kept["id"]), None)
    return {"fix": entry.fix if entry else "", **kept, "release": release["name"]}
