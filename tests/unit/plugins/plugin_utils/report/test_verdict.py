# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run came to, by what its roles returned."""

from __future__ import annotations

import pytest
import yaml
from report_cases import Cases
from report_samples import NEW, OLD, OLDER

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict

SENTENCES = {
    "deployed": "Release %s serves after a start of 2 min 15 s. 10 checks passed, 1 gave a warning, 1 skipped." % NEW,
    "nothing_to_do": "Release %s serves already, as it should. 10 checks passed, 1 gave a warning, 1 skipped." % NEW,
    "part_done": "Release %s is staged; release %s answers." % (NEW, OLD),
    "rolled_back": "Release %s serves after a start of 2 min 15 s." % OLD,
    "started": "Release %s serves after a start of 2 min 15 s." % NEW,
    "restarted": "Release %s serves after a start of 2 min 15 s." % NEW,
    "stopped": (
        "The service was stopped on purpose, by admin by AWX job 14 at 2026-01-31T12:08:00Z. "
        "start_medium.yml starts it again."
    ),
    "verified": "All 12 checks passed.",
    "verification_failed": "1 of 12 checks failed that the service has to pass.",
    "benchmarked": "Profile sweep, 5 runs; 1 figure is worse than in the last good run.",
    "benchmark_failed": "0 of 1 runs gave a result.",
    "healthy": "Release %s answers, and the host has what it needs." % NEW,
    "healthy_restarted": (
        "Release %s answers, but Docker restarted it 2 times since it was started, at last at 2026-01-31T12:06:00: it "
        "had ended by itself; the log says why (docker logs --until 2026-01-31T12:06:00Z myia-vllm-medium-qwen3)." % NEW
    ),
    "host_not_fit": ("Release %s answers, but preflight would refuse it today (port): its next start may fail." % NEW),
    "last_release_failed": (
        "Release %s answers, and the host has what it needs. Release %s did not come into service "
        "(no-memory-for-kv-cache); its log on the host: /opt/vllm/medium/releases/%s/failed-start.log."
        % (OLD, NEW, NEW)
    ),
    "locked": (
        "/opt/vllm/medium is being deployed by admin@awx (AWX job 12) since 2026-01-31T12:10:00Z; its last sign of "
        "life was 3 s ago. This run changed nothing."
    ),
    "serves_nothing": "Nothing answers (no-memory-for-kv-cache).",
    "planned": "A deployment would go on: the model fits, and every required check passed.",
    "plan_uncertain": "A deployment would go on, but the plan cannot say for certain that the model fits.",
    "would_change": "A run without check mode would deploy a new release; nothing was changed.",
    "would_not_change": "A run without check mode would change nothing.",
    "refused": "1 check failed (port); nothing was changed.",
    "failed_went_back": "Release %s did not come into service; release %s serves again." % (NEW, OLD),
    "failed_still_serves": "Release %s did not come into service; release %s still serves." % (NEW, OLD),
    "failed_nothing_serves": "Release %s did not come into service, and nothing answers now." % NEW,
    "failed_unseen": "Release %s did not come into service, and the host could not be asked what serves now." % NEW,
    "unreachable": "The host could not be reached; what it serves now is not known.",
}


def judged(case: tuple) -> dict:
    """The verdict of a case."""
    about, results, snapshot, failure = case
    return report_verdict.verdict(about["run"], about["check_mode"], results, snapshot, failure)


def test_every_verdict_has_a_case() -> None:
    """None is forgotten."""
    assert sorted(report_verdict.VERDICTS) == Cases.names() == sorted(SENTENCES)


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_verdict(name, report_cases) -> None:
    """Each with its tone, its title and one sentence."""
    tone, title = report_verdict.VERDICTS[name]
    assert judged(report_cases.case(name)) == {"id": name, "tone": tone, "title": title, "sentence": SENTENCES[name]}


@pytest.mark.parametrize("run", ["deploy", "rollback", "verify", "benchmark", "diagnose", "plan"])
@pytest.mark.parametrize("failure", [{}, {"message": "x", "task": "y"}], ids=["well", "failed"])
def test_nothing_known(run, failure) -> None:
    """Results that are missing never break it, and never make a failure look well."""
    found = report_verdict.verdict(run, False, {}, {}, failure)
    assert found["sentence"]
    assert not (failure and found["tone"] == "good")


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ("verified", "verified"),
        ("verification_failed", "verification_failed"),
        ("benchmarked", "benchmarked"),
        ("benchmark_failed", "benchmark_failed"),
    ],
)
def test_a_deployment_by_its_tags(case, verdict, report_cases) -> None:
    """A deployment that only verified or measured is judged as the playbook that does nothing else."""
    about, results, snapshot, failure = report_cases.case(case)
    assert judged(({**about, "run": "deploy"}, results, snapshot, failure))["id"] == verdict


def test_a_part_that_touched_nothing(report_cases) -> None:
    """No release was staged; what answers is said, and when nothing does."""
    about, _results, snapshot, _failure = report_cases.case("part_done")
    assert judged((about, {}, snapshot, {}))["sentence"] == "The service was not touched; release %s answers." % OLD
    assert judged((about, {}, {}, {}))["sentence"] == "The service was not touched; nothing answers."


def test_failed_verification_in_a_deployment(report_cases) -> None:
    """The new release answers, but a check failed."""
    about, results, snapshot, _failure = report_cases.case("deployed")
    results["vllm_verify_result"]["ok"] = False
    found = judged((about, results, snapshot, {"message": "1 of 12 checks failed", "task": "verify"}))
    assert found["id"] == "verification_failed"
    assert found["sentence"] == "Release %s failed its verification, and it still answers." % NEW


def test_failed_verification_and_went_back(report_cases) -> None:
    """The release before serves again."""
    about, results, snapshot, failure = report_cases.case("failed_went_back")
    results["vllm_verify_result"] = {"ok": False, "counts": {"failed": 1}}
    assert judged((about, results, snapshot, failure)) == {
        "id": "failed_went_back",
        "tone": "warn",
        "title": "Failed, went back",
        "sentence": "Release %s failed its verification; release %s serves again." % (NEW, OLD),
    }


@pytest.mark.parametrize(
    ("run", "result", "found"),
    [
        ("verify", {"vllm_verify_result": {"skipped": True}}, "would_not_change"),
        ("benchmark", {"vllm_benchmark_result": {"ok": True, "profile": "load", "runs": []}}, "would_change"),
    ],
)
def test_check_mode_asks_nothing(run, result, found, report_cases) -> None:
    """A check that was not made has not failed."""
    about, _results, snapshot, _failure = report_cases.case("verified")
    assert judged(({**about, "run": run, "check_mode": True}, result, snapshot, {}))["id"] == found
    assert judged(({**about, "run": run, "check_mode": True}, {}, snapshot, {"message": "x"}))["tone"] == "bad"


def test_verification_that_was_skipped(report_cases) -> None:
    """A task that Ansible skipped is no verdict on the release."""
    about, results, snapshot, _failure = report_cases.case("deployed")
    results["vllm_verify_result"] = {"skipped": True, "changed": False}
    assert judged((about, results, snapshot, {"message": "x", "task": "y"}))["id"] == "failed_still_serves"


def test_failure_after_the_release_serves(report_cases) -> None:
    """Something else failed: the release is not blamed."""
    about, results, snapshot, _failure = report_cases.case("deployed")
    found = judged((about, results, snapshot, {"message": "x", "task": "y"}))
    assert (found["id"], found["sentence"]) == ("failed_still_serves", "The run failed, but release %s answers." % NEW)


def test_failure_before_any_release(report_cases) -> None:
    """An engine that cannot be installed leaves the service alone."""
    about, results, snapshot, failure = report_cases.case("failed_still_serves")
    results.pop("vllm_config_result")
    found = judged((about, results, snapshot, failure))
    assert found["sentence"] == "The run failed before there was a new release; release %s still serves." % OLD


def test_started_again(report_cases) -> None:
    """The same release in a new container is a deployment, not nothing."""
    about, results, snapshot, failure = report_cases.case("nothing_to_do")
    results["vllm_service_result"]["summary"] = ["%s: runs in container 0123456789ab" % NEW]
    assert judged((about, results, snapshot, failure))["id"] == "deployed"


def test_old_releases_deleted(report_cases) -> None:
    """Tidying up is not a deployment."""
    about, results, snapshot, failure = report_cases.case("nothing_to_do")
    results["vllm_service_result"].update(changed=True, summary=["%s: deleted" % OLD])
    assert judged((about, results, snapshot, failure))["id"] == "nothing_to_do"


OLD_ENGINE = {"engine": {"engine_sufficient": False, "compose_sufficient": True}}
STAGED_BEFORE = {"changed": False, "release": {"name": NEW, "current": False}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"docker_engine_result": OLD_ENGINE}, "install or upgrade Docker"),
        ({"vllm_config_result": STAGED_BEFORE}, "switch to release %s" % NEW),
    ],
)
def test_would(changes, words, report_cases) -> None:
    """Check mode says what a run would do."""
    about, results, snapshot, failure = report_cases.case("would_change")
    found = judged((about, {**results, **changes}, snapshot, failure))
    assert found["id"] == "would_change"
    assert words in found["sentence"]


def test_refused_in_check_mode_and_plan(report_cases) -> None:
    """A refusal that nothing failed for is one that would come."""
    about, results, snapshot, _failure = report_cases.case("refused")
    found = judged(({**about, "run": "plan"}, results, snapshot, {}))
    assert (found["id"], found["sentence"]) == ("refused", "A deployment would be refused: 1 check failed (port).")


def test_warnings_refuse_nothing(report_cases) -> None:
    """Only errors are counted."""
    about, results, snapshot, failure = report_cases.case("refused")
    warning = {"id": "gpu_shared", "ok": False, "severity": "warning", "found": "", "needed": "", "fix": ""}
    results["vllm_preflight_result"]["findings"].append(warning)
    assert judged((about, results, snapshot, failure))["sentence"] == SENTENCES["refused"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "nothing is worse"),
        ([{"worse": True}], "1 figure is worse"),
        ([{"worse": True}, {"worse": True}], "2 figures are worse"),
    ],
)
def test_compared(rows, words, report_cases) -> None:
    """How many figures are worse."""
    about, results, snapshot, failure = report_cases.case("benchmarked")
    results["vllm_benchmark_result"]["compared"]["rows"] = rows
    assert words in judged((about, results, snapshot, failure))["sentence"]


@pytest.mark.parametrize(
    ("good_since", "started_at", "words"),
    [
        ("2026-01-31T12:10:00Z", "2026-01-31T12:05:30.123456789Z", ""),
        ("2026-01-31T12:10:00Z", "2026-02-02T03:00:00.5Z", "it was started again at 2026-02-02T03:00:00, by hand"),
        ("", "2026-02-02T03:00:00.5Z", ""),
        (None, "", ""),
    ],
)
def test_started_since_it_was_accepted(good_since, started_at, words, report_cases) -> None:
    """A diagnosis names a start that no deployment made; a release is accepted after its own."""
    about, results, snapshot, failure = report_cases.case("healthy")
    for release in snapshot["releases"]:
        release["good_since"] = good_since
    container = {**snapshot["container"], "started_at": started_at, "restart_count": 0}
    sentence = judged((about, results, {**snapshot, "container": container}, failure))["sentence"]
    assert (words in sentence) if words else ("has what it needs" in sentence)


@pytest.mark.parametrize(
    ("crash", "words"),
    [
        ({"id": "engine-died", "cause": "The engine died.", "evidence": ["x"]},
         "12:06:00: it had ended of engine-died: The engine died (docker logs --until 2026-01-31T12:06:00Z myia-"),
        ({"id": "unknown", "cause": "Not known.", "evidence": ["a", "b", "ValueError: c"]},
         "it had ended by a failure that is not known: b / ValueError: c (docker logs"),
        ({"id": "", "cause": "", "evidence": []}, "it had ended, and its log shows no failure, as when it is killed"),
    ],
)  # fmt: skip
def test_cause_of_a_crash(crash, words, report_cases) -> None:
    """A diagnosis names what ended the service that Docker had to start again, as far as its log tells it."""
    about, results, snapshot, failure = report_cases.case("healthy_restarted")
    there = {**snapshot, "container": {**snapshot["container"], "crash": crash}}
    found = judged((about, results, there, failure))
    assert found["id"] == "healthy_restarted"
    assert words in found["sentence"]


def test_failed_in_check_mode(report_cases) -> None:
    """A check changes nothing, so no release failed to come into service."""
    about, results, snapshot, failure = report_cases.case("failed_still_serves")
    found = judged(({**about, "check_mode": True}, results, snapshot, failure))
    assert found["sentence"] == "The check failed; nothing was changed, and release %s answers." % OLD
    found = judged(({**about, "check_mode": True}, results, {**snapshot, "healthy": False}, failure))
    assert found["sentence"] == "The check failed; nothing was changed, and nothing answers now."


def test_a_failed_release_that_is_history(report_cases) -> None:
    """One that was made later serves: the failure says nothing about today."""
    about, results, snapshot, failure = report_cases.case("last_release_failed")
    for item in snapshot["releases"]:
        if item["current"]:
            item.update(created="2026-02-01T00:00:00Z", good_since="2026-02-01T00:02:00Z")
    assert judged((about, results, snapshot, failure))["id"] == "healthy"


def test_a_rollback_in_check_mode(report_cases) -> None:
    """It says which release would serve."""
    about, _results, snapshot, _failure = report_cases.case("rolled_back")
    results = {"vllm_service_result": {"would_change": True, "changed": False, "release": {"name": OLDER}}}
    found = judged(({**about, "check_mode": True}, results, snapshot, {}))
    assert found["id"] == "would_change"
    assert "bring release %s into service" % OLDER in found["sentence"]


def test_the_lock_is_taken_by_the_task_of_that_name() -> None:
    """By which a refusal is known from other failures."""
    tasks = yaml.safe_load((role_variables.ROLES / "vllm_service/tasks/deploy.yml").read_text(encoding="utf-8"))
    assert [task["name"] for task in tasks if "myia.vllm.service_lock" in task] == [report_verdict.LOCK_TASK]
