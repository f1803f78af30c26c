# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run came to that stopped a service, started it, or did both."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict

SERVES = {"healthy": True, "releases": [{"name": "r1", "current": True}]}
DOWN = {"healthy": False, "releases": [{"name": "r1", "current": True}]}
STOPPED = {**DOWN, "stopped": {"who": "ann", "at": "now"}}
FAILURE = {"task": "Assert that the service answers", "message": "it did not start"}
LOCKED = {"task": "Acquire the lock", "message": "/x is being deployed by bob. Nothing was changed by this run."}


def result(changed: bool) -> dict:
    """What the role returned."""
    return {"vllm_service_result": {"release": {"name": "r1"}, "changed": changed, "would_change": changed}}


@pytest.mark.parametrize(
    ("run", "check", "results", "snapshot", "failure", "name", "text"),
    [
        ("stop", False, result(True), STOPPED, {}, "stopped", "stopped on purpose, by ann at now"),
        ("stop", False, result(False), STOPPED, {}, "nothing_to_do", "stopped on purpose, by ann at now"),
        ("start", False, result(False), SERVES, {}, "nothing_to_do", "Release r1 serves already"),
        ("start", False, result(True), SERVES, {}, "started", "Release r1 serves."),
        ("restart", False, result(True), SERVES, {}, "restarted", "Release r1 serves."),
        ("restart", True, result(True), SERVES, {}, "would_change", "would restart the service (release r1)"),
        ("start", True, result(False), SERVES, {}, "would_not_change", "would change nothing"),
        ("start", False, result(True), DOWN, FAILURE, "failed_nothing_serves", "rollback_medium.yml goes back"),
        ("stop", False, {}, SERVES, FAILURE, "failed_still_serves", "The service could not be stopped; it answers."),
        ("stop", True, {}, DOWN, FAILURE, "failed_unseen", "nothing was changed"),
        ("restart", False, {}, {}, FAILURE, "failed_unseen", "could not be asked"),
        ("restart", False, {}, {"unreachable": True}, FAILURE, "unreachable", "could not be reached"),
        ("stop", False, {}, SERVES, LOCKED,
         "locked", "/x is being deployed by bob."),
    ],
)  # fmt: skip
def test_verdicts(run, check, results, snapshot, failure, name, text) -> None:
    """Each by what was done, and by what answers now."""
    found = report_verdict.verdict(run, check, results, snapshot, failure)
    assert found["id"] == name
    assert text in found["sentence"]


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ("diagnose", "stopped on purpose, by ann at now."),
        ("verify", "there was nothing to verify"),
        ("benchmark", "there was nothing to measure"),
    ],
)
def test_what_cannot_be_asked_since_somebody_wanted_it_so(run, text) -> None:
    """It is stopped, and has not failed."""
    found = report_verdict.verdict(run, False, {}, STOPPED, FAILURE)
    assert found["id"] == "stopped"
    assert text in found["sentence"]


def test_a_check_of_a_deployment_would_start_it() -> None:
    """Though the release is the same."""
    results = {"vllm_config_result": {"changed": False, "release": {"name": "r1", "current": True}}}
    found = report_verdict.verdict("deploy", True, results, STOPPED, {})
    assert (found["id"], "start the service" in found["sentence"]) == ("would_change", True)
    assert report_verdict.verdict("deploy", True, results, SERVES, {})["id"] == "would_not_change"
