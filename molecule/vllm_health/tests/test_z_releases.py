# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling back, losing the lock, and a first deployment that fails. The service is the STAND-IN for vLLM."""

from __future__ import annotations

import json
import pathlib

import pytest
from replays import NAME, RECORDINGS, ROOT, replayed, worker_dies

HEALTHY = (RECORDINGS / "healthy-eager.log").read_text(encoding="utf-8").splitlines()
ROLLBACK = str(ROOT / "rollback_medium.yml")
REMOVE = str(ROOT / "remove_medium.yml")


def current(host) -> str:
    """Return the name of the current release."""
    return pathlib.PurePath(host.check_output("readlink /opt/vllm/medium/current")).name


def test_roll_back(host, standin, standin_host, play) -> None:
    """To the release before this one, and by a part of its name to any other that is kept."""
    first = current(host)
    run = play("-e", json.dumps(replayed(standin_host, "second", HEALTHY, then="serve")))
    assert run.status == 0, run.output
    second = current(host)
    assert second != first
    run = play("--check", playbook=ROLLBACK)
    assert run.status == 0, run.output
    assert current(host) == second
    run = play(playbook=ROLLBACK)
    assert run.status == 0, run.output
    assert current(host) == first
    run = play("-e", "vllm_service_rollback_to=%s" % second[-8:], playbook=ROLLBACK)
    assert run.status == 0, run.output
    assert current(host) == second
    again = play("-e", "vllm_service_rollback_to=%s" % second[-8:], playbook=ROLLBACK)
    assert again.status == 0, again.output
    assert again.recap["changed"] == 0


def test_roll_back_to_nothing(host, standin, play) -> None:
    """A name that no release has: the ones that there are are listed, and nothing is touched."""
    before = host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % NAME)
    run = play("-e", "vllm_service_rollback_to=nothing", playbook=ROLLBACK)
    assert run.status != 0
    assert "vllm_service_rollback_to" in run.flat
    assert current(host) in run.output
    assert host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % NAME) == before


@pytest.mark.full
def test_roll_back_to_a_broken_one(host, standin, standin_host, play) -> None:
    """A kept release that does not start any more: the one of before comes back."""
    before = current(host)
    run = play("-e", json.dumps(replayed(standin_host, "third", HEALTHY, then="serve")))
    assert run.status == 0, run.output
    third = current(host)
    host.check_output("echo 'ValueError: No available memory for the cache blocks. Try.' > /srv/standin/third.log")
    run = play(playbook=ROLLBACK)
    assert run.status == 0, run.output
    assert current(host) == before
    host.check_output(
        "sed -i \"s/REPLAY_THEN='serve'/REPLAY_THEN='exit 1'/\" /opt/vllm/medium/releases/%s/.env" % third
    )
    run = play("-e", "vllm_service_rollback_to=%s" % third, playbook=ROLLBACK)
    assert run.status != 0
    assert "no-memory-for-kv-cache" in run.flat
    assert "release %s serves again" % before in run.flat
    assert current(host) == before


@pytest.mark.full
def test_lock_that_was_lost(host, standin, standin_host, watch) -> None:
    """A run whose lock somebody else has taken meanwhile stops, and does not touch the service any more."""
    variables = replayed(standin_host, "lost", HEALTHY, then="serve", seconds=20)
    run = watch("-e", json.dumps(variables), playbook="molecule/vllm_health/converge.yml")
    run.until(r"\| \[")
    lock = {"token": "x:1:2:3", "who": "bob", "since": "2026-01-01 00:00:00 UTC",
            "boot_id": host.check_output("cat /proc/sys/kernel/random/boot_id")}  # fmt: skip
    host.check_output("echo '%s' > /opt/vllm/medium/deployment.lock" % json.dumps(lock))
    container = host.check_output("docker inspect -f '{{.Id}}' %s" % NAME)
    assert run.end() != 0
    assert "was taken over by bob" in run.output
    assert "serves again" not in run.output
    assert host.check_output("docker inspect -f '{{.Id}}' %s" % NAME) == container
    assert "bob" in host.file("/opt/vllm/medium/deployment.lock").content_string
    host.check_output("rm /opt/vllm/medium/deployment.lock")


@pytest.mark.full
def test_first_deployment_fails(host, standin, standin_host, play) -> None:
    """Without a release to go back to nothing is left half up, and the next deployment succeeds."""
    assert play(playbook=REMOVE).status == 0
    lines = worker_dies("load", "ValueError: No available memory for the cache blocks. Try increasing.")
    run = play("-e", json.dumps(replayed(standin_host, "first", lines)))
    assert run.status != 0
    assert "nothing is half up" in run.flat
    assert "no-memory-for-kv-cache" in run.flat
    assert host.check_output("docker ps --all --quiet") == ""
    assert not host.file("/opt/vllm/medium/current").exists
    assert not host.file("/opt/vllm/medium/deployment.lock").exists
    run = play("-e", json.dumps(standin))
    assert run.status == 0, run.output
    assert play("-e", json.dumps(standin)).recap["changed"] == 0
