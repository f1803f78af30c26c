# SPDX-License-Identifier: GPL-3.0-or-later
"""A workflow of AWX on the deployed service, its jobs run as AWX runs them; GPUs and toolkit packages are STAND-INS."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Callable

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from awx_job import AwxJob, JobResult

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
NAME = "myia-vllm-medium-qwen3"
PREFIXES = ("vllm_", "docker_engine_", "nvidia_container_toolkit_")
LOCK = "/opt/vllm/medium/deployment.lock"


@pytest.fixture(scope="module")
def variables(inventory: str) -> dict:
    """The variables of the host, the vaulted ones opened, as a team keeps them in AWX; expressions by their values."""
    vault = "medium@%s" % (ROOT / "molecule/resources/vault-password")
    options = ["-i", inventory, "--vault-id", vault]

    def said(*words: str) -> str:
        environment = {
            **os.environ,
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        }
        return subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout

    found = json.loads(said("ansible-inventory", *options, "--host", "gpu-host-1"))
    found = {name: value for name, value in found.items() if name.startswith(("ansible_", *PREFIXES))}
    for name in [name for name, value in found.items() if "{{" in json.dumps(value)]:
        told = said("ansible", *options, "gpu-host-1", "-m", "ansible.builtin.debug", "-a", "var=%s" % name)
        found[name] = json.loads(told)["plays"][0]["tasks"][0]["hosts"]["gpu-host-1"][name]
    return found


@pytest.fixture
def job(tmp_path_factory, variables: dict) -> Callable[..., JobResult]:
    """Return a function that makes and runs a job, and looks that no event of it holds a secret."""
    numbers = iter(range(1, 100))

    def run(cancel: Callable[[list[dict]], bool] = lambda events: False, **settings: object) -> JobResult:
        made = AwxJob(
            tmp_path_factory.mktemp("job"),
            ROOT,
            {"medium": {"gpu-host-1": variables}},
            job_id=next(numbers),
            **settings,
        )
        result = made.run(cancel=cancel)
        events = json.dumps(result.events)
        for name in ("vllm_api_key", "vllm_hf_token"):
            assert variables[name] not in events, name
        return result

    return run


@pytest.fixture(scope="module")
def form(variables: dict) -> dict:
    """The answers that AWX sends when somebody launches a template and leaves its form as it is."""
    surveys = ROOT / "awx" / "surveys.yml"
    questions = yaml.safe_load(surveys.read_text(encoding="utf-8"))["vllm_awx_service_questions"]
    values = {name: value for name, value in variables.items() if name.startswith("vllm_")}
    expression = "{{ %s | myia.vllm.survey_spec(%s) }}" % (json.dumps(questions), json.dumps(values))
    init_plugin_loader([str(ROOT / "collections")])
    survey = Templar(loader=DataLoader()).template(trust_as_template(expression))
    return {item["variable"]: item["default"] for item in survey["spec"]}


def verdict(result: JobResult) -> str:
    """What the artifact of a job says of the host."""
    return result.artifacts["vllm_reports"]["gpu-host-1"]["verdict"]


def health(host) -> str:
    """The status of /health."""
    return host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health")


@pytest.mark.full
def test_workflow(host, job, form) -> None:
    """Check, a deployment that somebody cancels, the same once more, and a verification; each gets what was before."""
    check = job(check=True, diff=True, survey=form, workflow_job_id=7)
    assert check.status == "successful", check.stdout
    assert verdict(check) == "would_not_change", "a form that was left as it is changes nothing"

    def loading(events: list[dict]) -> bool:
        return any("%s | [" % NAME in event.get("stdout", "") for event in events)

    cancelled = job(cancel=loading, survey={**form, "vllm_max_num_seqs": 30, **check.artifacts}, workflow_job_id=7)
    assert cancelled.status == "canceled", cancelled.stdout
    assert "gpu-host-1: %s | [" % NAME in cancelled.stdout, "the progress is shown, a line a phase"
    assert host.file(LOCK).exists

    deploy = job(survey={**form, **check.artifacts}, workflow_job_id=7)
    assert deploy.status == "successful", deploy.stdout
    assert verdict(deploy) == "deployed"
    assert not host.file(LOCK).exists
    assert health(host) == "200"

    verify = job(playbook="verify_medium.yml", survey={**form, **deploy.artifacts}, workflow_job_id=7)
    assert verify.status == "successful", verify.stdout
    assert verdict(verify) == "verified"


@pytest.mark.full
def test_diagnosis(host, job) -> None:
    """Of a service that works, and of one that somebody has stopped."""
    good = job(playbook="diagnose_medium.yml")
    assert good.status == "successful", good.stdout
    assert verdict(good) == "healthy"
    host.check_output("docker stop --time 1 %s" % NAME)
    try:
        bad = job(playbook="diagnose_medium.yml")
        assert (bad.status, verdict(bad)) == ("failed", "serves_nothing")
        assert "deploy_medium.yml" in bad.flat or "stopped" in bad.flat, bad.stdout
    finally:
        host.check_output("docker start %s" % NAME)
        host.check_output("timeout 300 sh -c 'until curl -fs 127.0.0.1:5002/health >/dev/null; do sleep 2; done'")
