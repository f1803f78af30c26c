# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks do by their tags, as ansible-playbook itself sees it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
import yaml
from parsed_yaml import walk

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))

#: One task of each part of a deployment, as it is listed.
TASKS = {
    "preflight": "vllm_preflight : Inspect the host",
    "engine": "docker_engine : Install Docker Engine and Compose",
    "toolkit": "nvidia_container_toolkit : Install or remove the container toolkit",
    "config": "vllm_config : Stage the release",
    "service": "vllm_service : Deploy the release",
    "verify": "Verify the service",
    "benchmark": "Benchmark the service",
}

#: Tags that bring tasks of another part with them.
WITH = {"service": {"config"}}


def run(*arguments: str) -> subprocess.CompletedProcess:
    """Run the deployment on this machine."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    program = str(pathlib.Path(sys.executable).parent / "ansible-playbook")
    return subprocess.run(
        [program, "-i", "inventories/demo", "deploy_medium.yml", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("tag", TASKS)
def test_each_tag_does_its_part(tag) -> None:
    """Its tasks and no others, beside the definition and the look at the engine."""
    listed = run("--tags", tag, "--list-tasks").stdout
    assert "vllm : Check the definition of the service" in listed
    assert "docker_engine : Inspect Docker Engine" in listed
    assert {name for name, task in TASKS.items() if task in listed} == {tag, *WITH.get(tag, ())}


def test_without_tags_nothing_is_asked_twice() -> None:
    """A deployment verifies and measures a release that is new, not on top of that."""
    listed = run("--list-tasks").stdout
    assert {name for name, task in TASKS.items() if task in listed} == {*TASKS} - {"verify", "benchmark"}
    assert "Benchmark a new release" in listed


@pytest.mark.parametrize(
    "arguments", [["--tags", "servcie"], ["--skip-tags", "config"], ["--start-at-task", "Stage the release"]]
)
def test_refused(arguments) -> None:
    """In one message, before the hosts' play begins; nothing ran."""
    done = run(*arguments, "--check")
    assert done.returncode != 0
    assert "%s %s: " % tuple(arguments) in " ".join(done.stdout.split())
    assert done.stdout.count("TASK [") <= 1
    assert "Check the definition" not in done.stdout


def test_a_failure_is_not_swallowed(tmp_path) -> None:
    """By a tag, too, what fails is recorded and reported, and the run ends as a failure."""
    values = ["-e", "vllm_report_dir=%s" % tmp_path, "-e", "vllm_model=/nowhere/a-model"]
    done = run("--tags", "preflight", *values)
    assert done.returncode != 0, done.stdout
    for task in ("Record the failure", "vllm_report : Write the report", "vllm_report : Fail when the run failed"):
        assert "TASK [%s]" % task in done.stdout.replace("myia.vllm.", "")
    assert "model_path" in done.stdout
    assert list(tmp_path.rglob("report.json"))


def test_tag_report(tmp_path) -> None:
    """It reports what is there now and does nothing else."""
    done = run("--tags", "report", "-e", "vllm_report_dir=%s" % tmp_path)
    assert done.returncode == 0, done.stdout
    assert "The service was not touched" in done.stdout
    assert list(tmp_path.rglob("report.json"))


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_what_always_runs(path) -> None:
    """What checks the inventory, what records a failure and what reports, whichever tags were asked for.

    The play on the hosts judges the options itself: a task could be left out by them.
    """
    plays = yaml.safe_load(path.read_text(encoding="utf-8"))
    last = plays[-1]
    judged = ("('myia.vllm.checked_hosts', ", "('myia.vllm.fleet_batches'")
    assert any(word in str(last.get("hosts")) for word in judged) or last.get("ansible.builtin.import_playbook")
    own = path.stem in (
        "prepare", "configure_awx", "deploy", "new_service", "not_released",
        # about what stands on machines, before there is a service of the inventory
        "adopt_medium", "archive_configs",
    )  # fmt: skip
    assert own or plays[0].get("ansible.builtin.import_playbook") == "prepare.yml"
    for node in walk(plays):
        for part in ("rescue", "always"):
            assert [task["name"] for task in node.get(part) or [] if "always" not in task["tags"]] == []
        if "myia.vllm.inventory_ready" in node:
            assert node["tags"] == "always"


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=lambda path: "/".join(path.parts[-3::2]))
def test_tags_within_roles_take_no_cleaning_up_away(path) -> None:
    """What ends a block has no tags of its own: skipping one must not leave it out."""
    for node in walk(yaml.safe_load(path.read_text(encoding="utf-8"))):
        for part in ("rescue", "always"):
            assert [task["name"] for task in walk(node.get(part)) if "tags" in task] == []
