# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_service with a real vLLM: recreate once, keep, prune, remove."""

from __future__ import annotations

import json
import os
import pathlib
import re

import pytest
import testinfra
from replays import container_of

NAME = "myia-vllm-medium-qwen3"
RELEASES = "/opt/vllm/medium/releases"
ROLLBACK = str(pathlib.Path(__file__).resolve().parent.parent.parent.parent / "rollback_medium.yml")
DEPLOY = str(pathlib.Path(__file__).resolve().parent.parent.parent.parent / "deploy_medium.yml")
REMOVE = str(pathlib.Path(__file__).resolve().parent.parent.parent.parent / "remove_medium.yml")


def container(host) -> str:
    """Return id and start time of the container."""
    return host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % NAME)


@pytest.fixture(scope="module", autouse=True)
def as_converged(play) -> None:
    """Begin with the scenario's own release alone, whatever the faults before have left."""
    host = testinfra.get_host("ansible://service-trixie", ansible_inventory=os.environ["MOLECULE_INVENTORY_FILE"])
    done = play()
    assert done.status == 0, done.output
    host.check_output(
        'cd %s && ls -1 | grep -v "$(basename "$(readlink -f ../current)")" | xargs -r rm -rf --' % RELEASES
    )


def test_host_has_python_alone(host) -> None:
    """No library beside Python's own, such as the one that community.docker's modules want: no role may need it."""
    assert host.run("python3 -c 'import json'").rc == 0
    assert host.run("python3 -c 'import requests'").rc != 0


def test_running_and_kept(host) -> None:
    """The container runs, will survive a reboot, and its release is marked good."""
    assert host.check_output("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' %s" % NAME) == "unless-stopped"
    assert json.loads(host.file("/opt/vllm/medium/current/release.json").content_string)["good_since"]


def test_published_on_loopback_only(host) -> None:
    """Without an API key nobody outside the host can reach it."""
    assert host.check_output("docker port %s" % NAME) == "5002/tcp -> 127.0.0.1:5002"


def test_second_run_changes_nothing(host, play) -> None:
    """Neither release nor container is new after a re-run, and check mode agrees."""
    before = container(host)
    for arguments in ([], ["--check"]):
        run = play(*arguments)
        assert run.status == 0, run.output
        assert run.recap["changed"] == 0
    assert container(host) == before


def test_check_mode_predicts_a_change(host, play, untouched) -> None:
    """--check with another value predicts it and changes nothing."""
    before = container(host)
    run = play("--check", "-e", "vllm_max_model_len=1024")
    assert run.status == 0, run.output
    assert run.recap["changed"] > 0
    assert re.search(r"\.env: \+MAX_MODEL_LEN=\W*1024", run.flat), run.flat
    assert untouched() == []
    assert container(host) == before


def test_one_changed_tunable_recreates_once(host, play) -> None:
    """A new value stands in .env only (compose.yml is the same), and the container is recreated, once."""
    before, compose = container(host), host.file("/opt/vllm/medium/current/compose.yml").content_string
    run = play("-e", "vllm_max_model_len=1024")
    assert run.status == 0, run.output
    after = container(host)
    assert after.split()[0] != before.split()[0]
    assert host.file("/opt/vllm/medium/current/compose.yml").content_string == compose
    assert json.loads(host.check_output("curl -fsS 127.0.0.1:5002/v1/models"))["data"][0]["max_model_len"] == 1024
    again = play("-e", "vllm_max_model_len=1024")
    assert again.recap["changed"] == 0
    assert container(host) == after
    # those that failed in other tests are kept apart from the good ones
    assert host.check_output('grep -lE \'"good_since": *"2\' %s/*/release.json | wc -l' % RELEASES) == "2"


@pytest.mark.full
def test_env_edited_on_the_host_is_put_right(host, play) -> None:
    """A value somebody edited in .env on the host: the next run restores the defined one and recreates once.

    Two releases are kept here, so the oldest goes, secrets with it.
    """
    host.check_output("sed -i \"s/^MAX_MODEL_LEN=.*/MAX_MODEL_LEN='512'/\" /opt/vllm/medium/current/.env")
    before, oldest = container(host), host.check_output("ls -1 %s | head -n 1" % RELEASES)
    run = play("-e", "vllm_max_model_len=1024")
    assert run.status == 0, run.output
    names = host.check_output("ls -1 %s" % RELEASES).split()
    assert len(names) == 2
    assert oldest not in names
    # the container was started with 1024 and still runs with it: nothing to recreate
    assert json.loads(host.check_output("curl -fsS 127.0.0.1:5002/v1/models"))["data"][0]["max_model_len"] == 1024
    assert container(host) == before


@pytest.mark.full
def test_container_somebody_removed(host, play) -> None:
    """A container that was removed by hand comes back; the release stays the same."""
    current = host.check_output("readlink /opt/vllm/medium/current")
    host.check_output("docker rm -f %s" % NAME)
    run = play("-e", "vllm_max_model_len=1024")
    assert run.status == 0, run.output
    assert host.check_output("readlink /opt/vllm/medium/current") == current
    assert host.check_output("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' %s" % NAME) == "unless-stopped"


def healthy_within(host, seconds: int) -> bool:
    """Wait until /health answers 200, without Ansible."""
    probe = "curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health"
    return (
        host.run("for i in $(seq %d); do [ $(%s) = 200 ] && exit 0; sleep 1; done; exit 1" % (seconds, probe)).rc == 0
    )


@pytest.mark.full
def test_survives_a_restart_of_docker(host) -> None:
    """Once healthy, the service comes back by itself when the engine is restarted."""
    before = container(host)
    host.check_output("systemctl restart docker")
    assert healthy_within(host, 300)
    after = container(host)
    assert after.split()[0] == before.split()[0]
    assert after != before


@pytest.mark.full
def test_survives_a_reboot(host, play) -> None:
    """The same when the host boots; and nothing is to be done afterwards."""
    container_of(host).restart()
    host.check_output("for i in $(seq 120); do systemctl is-active -q docker && exit 0; sleep 1; done; exit 1")
    assert healthy_within(host, 300)
    run = play("-e", "vllm_max_model_len=1024")
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0


@pytest.mark.full
def test_caches_outlive_releases(host, play) -> None:
    """What lies in the caches, and whose it is, stays over releases; so does a rollback."""
    volume = "/var/lib/docker/volumes/vllm-compile-cache/_data"
    host.check_output("touch %s/mine && chown 1234:5678 %s/mine" % (volume, volume))
    before = host.check_output("readlink /opt/vllm/medium/current")
    run = play("-e", "vllm_max_model_len=512")
    assert run.status == 0, run.output
    assert host.check_output("stat -c %%u:%%g %s/mine" % volume) == "1234:5678"
    run = play(playbook=ROLLBACK)
    assert run.status == 0, run.output
    assert "answers on" in run.output
    assert host.check_output("readlink /opt/vllm/medium/current") == before
    assert json.loads(host.check_output("curl -fsS 127.0.0.1:5002/v1/models"))["data"][0]["max_model_len"] == 1024
    assert host.check_output("stat -c %%u:%%g %s/mine" % volume) == "1234:5678"


@pytest.mark.full
def test_start_after_an_interrupted_compose(host, play, leave_behind, only_the_service) -> None:
    """What a Compose left that was killed is removed before the next one would trip over it."""
    leave_behind()
    run = play("-e", "vllm_max_num_seqs=63")
    assert run.status == 0, run.output
    assert "Show what was cleared up" in run.output
    only_the_service()


@pytest.mark.full
@pytest.mark.parametrize(
    ("tag", "task"),
    [
        ("service", "vllm_service : Deploy the release"),
        ("verify", "vllm_verify : Check the service"),
        ("benchmark", "vllm_benchmark : Benchmark the service"),
    ],
)
def test_tags(host, play, tag, task) -> None:
    """What needs a release: a new one comes into service by a tag alone, then it is asked and measured by others."""
    current = host.check_output("readlink /opt/vllm/medium/current")
    small = {"name": "small", "num_prompts": 2, "max_concurrency": 1, "input_tokens": 64, "output_tokens": 16}
    values = {
        "vllm_max_num_seqs": 60,
        "vllm_benchmark_profile": "small",
        "vllm_benchmark_extra_profiles": {"small": [small]},
    }
    run = play("--tags", tag, "-e", json.dumps(values), playbook=DEPLOY)
    assert run.status == 0, run.output
    assert "TASK [myia.vllm.%s]" % task in run.output
    assert "vllm_preflight : Inspect the host" not in run.output
    assert (host.check_output("readlink /opt/vllm/medium/current") != current) is (tag == "service")


@pytest.mark.full
def test_a_tag_swallows_no_failure(host, play) -> None:
    """A release that does not start makes a run by its tag fail as any other, with the way back and a report."""
    before = host.check_output("readlink /opt/vllm/medium/current")
    values = {"vllm_extra_options": {"no-such-option": 1}, "vllm_check_options": False}
    run = play("--tags", "service", "-e", json.dumps(values), playbook=DEPLOY)
    assert run.status != 0
    assert "serves again" in run.flat
    assert "TASK [myia.vllm.vllm_report : Write the report]" in run.output
    assert host.check_output("readlink /opt/vllm/medium/current") == before
    assert not host.file("/opt/vllm/medium/deployment.lock").exists


def test_remove(host, play) -> None:
    """remove_medium.yml leaves no container, no release and no secret; a second run changes nothing."""
    run = play(playbook=REMOVE)
    assert run.status == 0, run.output
    assert host.check_output("docker ps -aq") == ""
    assert not host.file("/opt/vllm/medium").exists
    assert "vllm-hf-cache" in host.check_output("docker volume ls -q")
    again = play(playbook=REMOVE)
    assert again.recap["changed"] == 0
