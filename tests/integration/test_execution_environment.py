# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment: its definition, a real build of it, jobs in it, and jobs that receptor carries to it.

The build (tools/images ee) stands on Debian, and takes the collections that this one depends on from the Python package
`ansible`: neither quay.io nor Galaxy need be reachable. The shipped definition is rendered only.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import docker
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent

#: Where the model of a job lies in an execution environment: what is mounted there is the job's project.
MODEL = "/runner/project/model"

#: What differs between two runs of the same job: when, and where its report lies.
OF_THIS_RUN = ("at", "path", "url")

#: Two nodes of AWX's mesh: the one that work is submitted to, and the one that does it.
RECEPTOR = """
receptor --node id=control datadir=/tmp/control --log-level level=error \
    --control-service service=control filename=/tmp/control.sock --tcp-listener port=27199 bindaddr=127.0.0.1 &
exec receptor --node id=execution datadir=/tmp/execution --log-level level=error \
    --control-service service=control filename=/tmp/execution.sock --tcp-peer address=127.0.0.1:27199 \
    --work-command worktype=ansible-runner command=ansible-runner params="worker --private-data-dir=/runner --delete"
"""


def output(*words: object, **options: object) -> str:
    """Run a command and return its output; it must succeed."""
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **options).stdout


def test_collection_tells_what_it_needs() -> None:
    """ansible-builder finds what meta/execution-environment.yml names: needs of the controller, vLLM not among them."""
    found = yaml.safe_load(output(BIN / "ansible-builder", "introspect", ROOT / "collections"))
    assert {kind: [line.partition("#")[0].strip() for line in lines] for kind, lines in found.items()} == {
        "python": ["pygal>=3.0"],
        "system": ["openssh-clients [platform:rpm]", "openssh-client [platform:dpkg]"],
    }


def test_shipped_definition_renders(tmp_path) -> None:
    """ansible-builder makes a build context of it, with the whole collection and without what is none of its."""
    output(BIN / "ansible-builder", "create", "--context", tmp_path, "--output-filename", "Containerfile", cwd=ROOT)
    text = (tmp_path / "Containerfile").read_text(encoding="utf-8")
    assert "FROM base AS final" in text
    copied = tmp_path / "_build" / "myia.vllm"
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["build_ignore"]
    tracked = [
        name
        for name in output("git", "ls-files", cwd=ROOT).splitlines()
        if (ROOT / name).is_file()
        and name.split("/")[0] in ("galaxy.yml", "meta", "playbooks", "plugins", "roles", "templates")
    ]
    assert [name for name in tracked if not (copied / name).exists()] == []
    assert not [name for name in ignored if (copied / name).exists()]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """This machine's engine."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(paths) -> str:
    """The image that tools/images has built; told anew in case something has changed since."""
    output(ROOT / "tools" / "images", "ee")
    return paths["ee_image"]


def test_image_holds_what_was_asked_for(engine, image) -> None:
    """The build has installed the ranges of the definition, the collections, and what these need."""
    definition = yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))["dependencies"]
    script = (
        "ansible --version | head -n 1; ansible-runner --version; ansible-galaxy collection list 2>/dev/null; "
        "python3 -c 'import pygal' && echo pygal; ssh -V 2>&1; command -v vllm || echo no vLLM"
    )
    command = ["sh", "-c", script]
    said = engine.containers.run(image, command, remove=True, network_mode="none", user="root").decode()
    assert definition["ansible_core"]["package_pip"] == "ansible-core>=2.19,<2.20"
    assert "ansible [core 2.19." in said
    assert re.search(r"^2\.\d+\.\d+$", said, re.MULTILINE)
    for name in ("myia.vllm", "community.docker", "community.general"):
        assert re.search(r"^%s\s+\d" % re.escape(name), said, re.MULTILINE), said
    assert "\npygal\n" in said
    assert "OpenSSH_" in said
    assert "no vLLM" in said


@pytest.fixture(scope="module")
def answers(service) -> dict:
    """The service whose model is a folder of the job's project; no registry answers without a network."""
    return {**service, "vllm_model": MODEL, "vllm_preflight_skip": ["registry"]}


@pytest.fixture
def start(make_job, paths):
    """Return a function that makes a job with its model."""

    def make(**given: object):
        job = make_job(**given)
        shutil.copytree(paths["model"], job.project / "model")
        return job

    return make


@pytest.fixture(scope="module")
def submit(engine, image) -> Iterator[list[str]]:
    """A control node and an execution node of receptor, in one container; the command that submits work to them."""
    container = engine.containers.run(
        image,
        ["sh", "-c", RECEPTOR],
        detach=True,
        entrypoint="",
        network_mode="none",
        user="root",
        # the worker removes its private data directory, where it would be otherwise
        working_dir="/",
    )
    client = ["receptorctl", "--socket", "/tmp/control.sock"]
    work = ["work", "submit", "ansible-runner", "--node", "execution", "--payload", "-", "--follow", "--rm"]
    try:
        until = time.monotonic() + 60
        while container.exec_run([*client, "ping", "--count", "1", "execution"]).exit_code:
            assert time.monotonic() < until, "the execution node does not answer: " + container.logs().decode()
            time.sleep(0.5)
        # the payload goes in by standard input, which the SDK has no plain way for
        yield ["docker", "exec", "--interactive", container.id, *client, *work]
    finally:
        container.remove(force=True)


def told(result) -> list[tuple]:
    """What a job's events tell, whatever the order in which two hosts did a task."""
    return sorted(
        (item["event"], item["event_data"].get("task", ""), item["event_data"].get("host", ""))
        for item in result.events
    )


def test_plan_in_the_execution_environment_and_through_receptor(start, image, submit, answers) -> None:
    """The same green job twice: started by this machine's engine, and transmitted to an execution node."""
    here = start(playbook="plan_medium.yml", survey=answers, job_id=51).run(image=image)
    assert (here.status, here.rc) == ("successful", 0), here.stdout
    assert "/runner/project/collections" in str(here.events)
    there = start(playbook="plan_medium.yml", survey=answers, job_id=52).run_by_receptor(submit)
    assert (there.status, there.rc) == ("successful", 0), there.stdout
    assert told(there) == told(here)
    assert sum(event["event"] == "runner_on_ok" for event in there.events) >= 8


def test_refusal_in_the_execution_environment_and_through_receptor(start, image, submit, answers) -> None:
    """A doomed deployment fails with its reason and its artifacts on both ways."""
    doomed = {**answers, "vllm_preflight_min_free_gib": 10**6}
    here = start(survey=doomed, check=True, diff=True, job_id=53).run(image=image)
    there = start(survey=doomed, check=True, diff=True, job_id=54).run_by_receptor(submit)
    for result in (here, there):
        assert (result.status, result.rc) == ("failed", 2)
        assert "needed 1000000.0 GiB" in result.flat
        assert sorted(result.artifacts["vllm_reports"]) == ["box1", "box2"]
    assert told(there) == told(here)
    reports = [
        {host: {key: report[key] for key in report if key not in OF_THIS_RUN} for host, report in reports.items()}
        for reports in (here.artifacts["vllm_reports"], there.artifacts["vllm_reports"])
    ]
    assert reports[0] == reports[1]


def test_cancelled_container_is_gone(engine, start, image, answers) -> None:
    """Cancelling a job stops its container, and with it whatever ran in it."""
    job = start(survey=answers, check=True, job_id=55)
    result = job.run(image=image, cancel=lambda events: any(event["event"] == "runner_on_start" for event in events))
    assert result.status == "canceled"
    assert engine.containers.list(all=True, filters={"name": "ansible_runner_55"}) == []
