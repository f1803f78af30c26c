# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as jobs of AWX: its private data directory, variables and prompts. Check mode and refusals only."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest
from awx_job import slice_of

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: More than any disk has, so that preflight refuses.
TOO_MUCH_GIB = 10**6

#: Evaluated, it would leave a file in the folder of the job.
PROGRAM = "{{ lookup('pipe', 'touch evaluated') }}"


def checkout() -> list[str]:
    """What git sees in the checkout, ignored files included but caches and what ansible-lint keeps beside this test."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "status", "--porcelain", "--ignored"], capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if "cache" not in line and not line.endswith(" .ansible/")]


def processes(word: str) -> list[str]:
    """The command lines that a word stands in."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if word in line]


class Checked:
    """A deployment in check mode with all that AWX can add, and what the machine looked like before."""

    def __init__(self, job) -> None:
        self.job = job
        self.before = checkout(), sorted(os.listdir())
        self.mark = job.home.parent / "mark"
        self.mark.touch()
        time.sleep(0.01)
        self.result = job.run()


@pytest.fixture(scope="module")
def checked(make_job, service, add_vault, vault_password) -> Checked:
    """Run it once for all tests that look at it."""
    job = make_job(
        survey={**service, "vllm_extra_env": {"NOTE": PROGRAM}},
        vault_passwords={"prod": vault_password},
        check=True,
        diff=True,
        become=True,
        job_id=41,
    )
    add_vault(job)
    return Checked(job)


def test_check_mode_is_green(checked) -> None:
    """Somebody who chooses Check gets a green job that shows what would change."""
    result = checked.result
    assert (result.status, result.rc) == ("successful", 0), result.stdout
    assert "+++ after" in result.stdout
    recap = result.events[-1]["event_data"]
    assert recap["failures"] == recap["dark"] == {}
    assert sorted(recap["changed"]) == ["box1", "box2"]


def test_artifacts_are_one_dict_by_host(checked) -> None:
    """AWX merges what hosts say: strings of two hosts would be one string."""
    reports = checked.result.artifacts["vllm_reports"]
    assert sorted(reports) == ["box1", "box2"]
    assert {(report["verdict"], report["service"]) for report in reports.values()} == {("would_change", "awxjob")}


def test_vault_is_opened_by_the_prompt(checked) -> None:
    """The password that AWX types in opens the file beside the playbook."""
    found = [res for _host, task, res in checked.result.results() if task == "Check the definition of the service"]
    assert len(found) >= 2
    assert {definition["api_key_required"] for definition in found} == {True}


def test_secrets_stay(checked, find_leaks) -> None:
    """No event, no output and no report holds a secret."""
    job = checked.job
    assert len(list((job.artifact_dir / "job_events").glob("*.json"))) == len(checked.result.events)
    assert find_leaks(job.artifact_dir) == []
    assert find_leaks(job.project / "reports") == []
    assert find_leaks(job.home) == []
    # where it has to be, so that the search is known to find something
    assert find_leaks(job.private_data_dir / "env") == ["passwords"]


def test_nothing_outside_the_private_data_directory(checked) -> None:
    """The job writes to its own folder, and Ansible to its own in HOME; the host is looked at only."""
    assert (checkout(), sorted(os.listdir())) == checked.before
    assert {path.name for path in checked.job.home.iterdir()} <= {".ansible"}
    done = subprocess.run(
        ["find", "/etc", "/opt", "/srv", "-newer", checked.mark, "-type", "f"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == []


def test_answers_are_never_evaluated(checked) -> None:
    """An expression in a free-text answer stays text."""
    assert not list(checked.job.private_data_dir.rglob("evaluated"))


def test_expressions_are_refused(make_job, add_vault, vault_password, find_leaks) -> None:
    """An answer that would read a secret or start a program is refused as it stands, on the one host of the limit."""
    job = make_job(
        extra_vars={"vllm_port": "{{ 69999 + 1 }}"},
        survey={"vllm_container_name": PROGRAM, "vllm_model": "{{ vllm_api_key }}"},
        vault_passwords={"prod": vault_password},
        limit="box1",
        job_id=42,
    )
    add_vault(job)
    result = job.run()
    assert (result.status, result.rc) == ("failed", 2)
    assert "3 problems in the definition of the service; nothing was changed" in result.flat
    assert PROGRAM in result.flat
    assert "{{ vllm_api_key }}" in result.flat
    # what the author of the job template wrote is evaluated
    assert "vllm_port: 70000 is not a TCP port" in result.flat
    assert not list(job.private_data_dir.rglob("evaluated"))
    assert find_leaks(job.artifact_dir) == []
    assert {host for host, _task, _res in result.results("runner_on_failed")} == {"box1"}
    assert "box2" not in result.stdout


def test_missing_vault_credential(make_job, add_vault) -> None:
    """A job template without the credential says which is missing."""
    job = make_job(playbook="plan_medium.yml", job_id=43)
    add_vault(job)
    result = job.run()
    assert result.status == "failed"
    assert "Pass --vault-id prod@prompt" in result.flat


def test_slices_after_another_node(make_job, checked, service, inventory) -> None:
    """Each slice reports its own hosts; artifacts of the node before come as extra variables and disturb nothing."""
    answers = {**service, "vllm_preflight_min_free_gib": TOO_MUCH_GIB, **checked.result.artifacts}
    reports = {}
    for number in (1, 2):
        hosts = slice_of(inventory, number, 2)
        result = make_job(hosts, survey=answers, check=True, job_id=43 + number, workflow_job_id=40).run()
        assert result.status == "failed"
        assert "needed %d.0 GiB" % TOO_MUCH_GIB in result.flat
        assert list(result.artifacts["vllm_reports"]) == ["box%d" % number]
        reports.update(result.artifacts["vllm_reports"])
    assert {report["verdict"] for report in reports.values()} == {"refused"}


def test_some_hosts_at_a_time(make_job, service) -> None:
    """When all hosts of the first batch fail, the others are not touched."""
    answers = {**service, "vllm_preflight_min_free_gib": TOO_MUCH_GIB, "vllm_serial": "1"}
    result = make_job(survey=answers, check=True, job_id=47).run()
    assert result.status == "failed"
    assert list(result.artifacts["vllm_reports"]) == ["box1"]
    # which services are meant is asked of the inventory, for all; nothing of that contacts a host
    asked = {"Find the services", "Take the variables of the one service", "Make a host of each service"}
    assert {host for host, task, _result in result.results() if task not in asked} == {"localhost", "box1"}


def test_inventory_without_the_group(make_job, inventory) -> None:
    """No matching host is a failed job: Ansible alone would end with success."""
    result = make_job({"other": inventory["medium"]}).run()
    assert result.status == "failed"
    assert "has no host in 'medium'" in result.flat


def test_cancel(make_job, service) -> None:
    """Cancelled in the midst of it, a job ends at once and leaves no process behind."""
    job = make_job(survey=service, check=True, job_id=46)
    result = job.run(cancel=lambda events: any(event["event"] == "runner_on_start" for event in events))
    assert result.status == "canceled"
    assert result.artifacts == {}
    assert "PLAY RECAP" not in result.stdout
    # without a container around them Ansible's workers end by themselves, after what they are about
    until = time.monotonic() + 30
    while processes(str(job.private_data_dir)) and time.monotonic() < until:
        time.sleep(0.2)
    assert processes(str(job.private_data_dir)) == []


@pytest.fixture(scope="module", params=["2.4.0", "2.4.3"])
def callback(request, tmp_path_factory) -> str:
    """The folder with the callback plugin of an ansible-runner, from the package registry."""
    folder = tmp_path_factory.mktemp("runner")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", folder,
         "ansible-runner==%s" % request.param],
        check=True,
    )  # fmt: skip
    return str(folder / "ansible_runner" / "display_callback" / "callback")


def test_live_lines_are_clean(callback, make_job, service) -> None:
    """What a task prints while it runs comes without a warning, with each ansible-runner that AWX's images have."""
    answers = {**service, "vllm_preflight_skip": ["registry"]}
    result = make_job(playbook="plan_medium.yml", survey=answers, job_id=48).run(callback=callback)
    assert (result.status, result.rc) == ("successful", 0), result.stdout
    assert "on box1" in result.flat
    assert "errantly" not in result.stdout


#: The releases of the service on the host of the test.
OLDER, NEWER = "20260101T000000Z-0123456789ab", "20260102T000000Z-0123456789cd"


@pytest.fixture
def kept() -> Iterator[str]:
    """A folder of services in which the service has two good releases, the newer one current."""
    # not in /tmp, which is refused; a folder of its own, since an interrupted run leaves one behind
    tmp_path = pathlib.Path(tempfile.mkdtemp(prefix="myia-vllm-awxjob-", dir="/srv"))
    for name in (OLDER, NEWER):
        folder = tmp_path / "awxjob" / "releases" / name
        folder.mkdir(parents=True)
        (folder / "compose.yml").write_text("services: {}\n", encoding="utf-8")
        (folder / ".env").write_text("", encoding="utf-8")
        about = {"name": name, "good_since": "%s-%s-%sT00:00:00Z" % (name[:4], name[4:6], name[6:8])}
        (folder / "release.json").write_text(json.dumps(about), encoding="utf-8")
    (tmp_path / "awxjob" / "current").symlink_to("releases/%s" % NEWER)
    yield str(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("answer", [{}, {"vllm_service_rollback_to": ""}, {"vllm_service_rollback_to": "20260101"}])
def test_roll_back_as_a_check(answer, kept, make_job, service, inventory) -> None:
    """With its form untouched it means the newest good release; a check says which one would serve."""
    hosts = slice_of(inventory, 1, 2)
    answers = {**service, **answer, "vllm_dir": kept}
    result = make_job(hosts, playbook="rollback_medium.yml", survey=answers, check=True, job_id=49).run()
    assert (result.status, result.rc) == ("successful", 0), result.stdout
    (report,) = result.artifacts["vllm_reports"].values()
    assert (report["verdict"], report["release"]) == ("would_change", OLDER), report
    assert "bring release %s into service" % OLDER in report["summary"]


def test_every_service_of_a_host(make_job, service, inventory) -> None:
    """The template for all of them: each is planned in one job, and a form that is left empty says nothing."""
    own = {name: service[name] for name in service if name not in ("vllm_name", "vllm_container_name", "vllm_port")}
    services = [{"vllm_name": "awxjob%d" % number, "vllm_port": 5720 + number} for number in (1, 2)]
    hosts = {"vllm": {"box1": {**inventory["medium"]["box1"], **own, "vllm_services": services}}}
    result = make_job(
        hosts, playbook="deploy.yml", extra_vars={"vllm_hosts": "vllm"}, survey={"vllm_version": "", "vllm_image": ""},
        check=True, job_id=50,
    ).run()  # fmt: skip
    reports = result.artifacts["vllm_reports"]
    assert {name: report["service"] for name, report in reports.items()} == {
        "box1-awxjob1": "awxjob1",
        "box1-awxjob2": "awxjob2",
    }, result.stdout


def test_one_service_of_a_host(make_job, service, inventory) -> None:
    """The name in the form says which; without it the job says which there are, before anything happens."""
    own = {name: service[name] for name in service if name not in ("vllm_name", "vllm_container_name", "vllm_port")}
    services = [{"vllm_name": "awxjob%d" % number, "vllm_port": 5720 + number} for number in (1, 2)]
    hosts = {"vllm": {"box1": {**inventory["medium"]["box1"], **own, "vllm_services": services}}}
    about = {"playbook": "diagnose_medium.yml", "extra_vars": {"vllm_hosts": "vllm"}, "check": True}
    result = make_job(hosts, survey={"vllm_name": "awxjob2"}, job_id=51, **about).run()
    assert [report["service"] for report in result.artifacts["vllm_reports"].values()] == ["awxjob2"], result.stdout
    result = make_job(hosts, survey={"vllm_name": ""}, job_id=52, **about).run()
    assert result.status == "failed"
    assert "vllm_services has awxjob1, awxjob2, and this playbook is for one service" in result.flat


@pytest.mark.parametrize(("fail", "status"), [("", "successful"), ("true", "failed")])
def test_status_of_all_services(fail, status, make_job, service, inventory) -> None:
    """One table, and its rows as the job's artifact; a form that is left empty says nothing, so the job is green."""
    own = {name: service[name] for name in service if name not in ("vllm_name", "vllm_container_name", "vllm_port")}
    services = [{"vllm_name": "awxjob%d" % number, "vllm_port": 5720 + number} for number in (1, 2)]
    hosts = {"vllm": {"box1": {**inventory["medium"]["box1"], **own, "vllm_services": services}}}
    result = make_job(
        hosts, playbook="status_medium.yml", extra_vars={"vllm_hosts": "vllm"},
        survey={"vllm_name": "", "vllm_status_fail": fail}, job_id=55,
    ).run()  # fmt: skip
    assert result.status == status, result.stdout
    rows = {row["service"]: row for row in result.artifacts["vllm_status"]}
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(("awxjob1", "awxjob2"), "not deployed")
    assert "2 services: 2 not deployed (awxjob1 on box1-awxjob1, awxjob2 on box1-awxjob2)." in result.flat
    for secret in (service.get("vllm_api_key"), service.get("vllm_hf_token")):
        assert not secret or secret not in json.dumps(result.artifacts)


@pytest.mark.parametrize("verb", ["stop", "start", "restart"])
def test_nothing_to_stop_or_start(verb, make_job, service, inventory) -> None:
    """A host without the service says so by the name of its folder, in check mode too."""
    hosts = slice_of(inventory, 1, 2)
    for check in (True, False):
        result = make_job(hosts, playbook="%s_medium.yml" % verb, survey=service, check=check, job_id=56).run()
        assert result.status == "failed"
        assert "has no current release on" in result.flat, result.stdout


def test_updates_without_a_registry(make_job, service, inventory) -> None:
    """What the newest release changes is the job's artifact; the form's empty answers say nothing."""
    answers = {**service, "vllm_version": "0.32.0", "vllm_updates_to": "", "vllm_updates_offline": "true"}
    result = make_job(slice_of(inventory, 1, 2), playbook="check_updates.yml", survey=answers, job_id=57).run()
    assert result.status == "successful", result.stdout
    (found,) = result.artifacts["vllm_updates"].values()
    assert (found["version"], found["change"]["variables"]["vllm_version"]) == ("0.32.0", "0.33.0")


def test_end_of_a_workflow_that_did_not_release(make_job) -> None:
    """It fails, says what the step before has found, and hands it to the notification."""
    reports = {
        "box1": {"verdict": "failed_went_back", "release": "r2", "summary": "Release r2 failed; r1 serves again."}
    }
    answers = {"vllm_reports": reports, "vllm_name": ""}
    result = make_job(playbook="not_released.yml", survey=answers, job_id=53, workflow_job_id=40).run()
    assert (result.status, result.rc) == ("failed", 2)
    assert "The release did not come into service. box1: Release r2 failed; r1 serves again." in result.flat
    assert result.artifacts == {"vllm_reports": reports}
    assert {host for host, _task, _result in result.results()} == {"localhost"}
    result = make_job(playbook="not_released.yml", job_id=54, workflow_job_id=40).run()
    assert result.status == "failed"
    assert "The step before has not said what serves" in result.flat
