# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_health on a real vLLM: a start that is watched, attached to, and silent."""

from __future__ import annotations

import json
import re

import pytest
from replays import NAME


def test_healthy(host) -> None:
    """/health answers 200, and the release remembers how long each phase of its start took."""
    assert host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"
    start = json.loads(host.file("/opt/vllm/medium/current/release.json").content_string)["start"]
    phases = [step["phase"] for step in start["phases"]]
    assert phases[0] == "container_up"
    assert {"config", "engine", "load", "memory", "ready"} <= set(phases)
    assert sum(step["duration_s"] for step in start["phases"]) <= start["total_s"]
    assert start["facts"]["kv_cache_tokens"] > 100_000


def test_alone_on_a_running_service(host, play) -> None:
    """The role can be run by itself, asks the model for a token, and changes nothing."""
    run = play(roles=["myia.vllm.vllm_health"])
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0


@pytest.mark.full
def test_attached_to_a_start(host, watch) -> None:
    """A start that somebody else began is shown phase by phase, each once, with the time that it took last time."""
    host.check_output("docker restart --time 1 %s" % NAME)
    run = watch()
    assert run.end() == 0, run.output
    lines = [line for line in run.output.splitlines() if NAME + " | [" in line]
    phases = [re.search(r"\[(\w+)\]", line)[1] for line in lines]
    assert phases[0] == "container_up"
    assert phases[-1] == "serving"
    assert phases == sorted(phases, key=["container_up", "config", "engine", "distributed", "load", "memory", "ready",
                                         "serving"].index)  # fmt: skip
    assert re.search(r"about .* left", lines[0]), lines
    assert len(lines) <= 12, lines
    assert "tiny-qwen3 answers on" in run.output


@pytest.mark.full
def test_killed_engine(host, watch, play) -> None:
    """An engine that is killed when ready: Docker starts the service again, and that start can be watched."""
    before = host.check_output("docker inspect -f '{{.RestartCount}}' %s" % NAME)
    host.check_output("pkill -9 '^VLLM::EngineCor'")
    restarts = "docker inspect -f '{{.RestartCount}}' %s" % NAME
    host.check_output("for i in $(seq 60); do [ $(%s) != %s ] && exit 0; sleep 0.5; done; exit 1" % (restarts, before))
    run = watch()
    assert run.end() == 0, run.output
    assert "[serving] answers after" in run.output
    # long after that a diagnosis still names what happened
    diagnosed = play(playbook="diagnose_medium.yml")
    assert re.search(r"Docker restarted it (once|\d+ times) .* it had ended of engine-died: ", diagnosed.flat)


@pytest.mark.full
def test_silent(host, play) -> None:
    """A service that stays silent: the time limit's variable is named."""
    host.check_output("docker pause %s" % NAME)
    try:
        run = play("-e", "vllm_health_timeout_s=4", roles=["myia.vllm.vllm_health"])
    finally:
        host.check_output("docker unpause %s" % NAME)
    assert run.status != 0
    assert "does not answer" in run.flat
    assert "vllm_health_timeout_s" in run.flat


def test_wrong_model_name(host, play) -> None:
    """A service that serves another model than expected is not taken for healthy."""
    run = play("-e", "vllm_served_model_name=another", roles=["myia.vllm.vllm_health"])
    assert run.status != 0
    assert "/v1/models knows tiny-qwen3; expected another" in run.flat
