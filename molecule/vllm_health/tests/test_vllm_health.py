# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_health: a real start that got healthy (converge), and real starts that fail."""

from __future__ import annotations

import json

NAME = "myia-vllm-medium-qwen3"


def test_healthy(host) -> None:
    """/health answers 200."""
    assert host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"


def test_alone_on_a_running_service(host, play) -> None:
    """The role can be run by itself, and changes nothing."""
    run = play(roles=["myia.vllm.vllm_health"])
    assert run.status == 0, run.output
    assert run.recap["changed"] == 0


def test_time_limit(host, play) -> None:
    """A service that stays silent: the time limit's variable is named."""
    host.check_output("docker pause %s" % NAME)
    try:
        run = play("-e", "vllm_health_timeout_s=4", roles=["myia.vllm.vllm_health"])
    finally:
        host.check_output("docker unpause %s" % NAME)
    assert run.status != 0
    assert "does not answer" in run.flat
    assert "vllm_health_timeout_s" in run.flat


def test_start_that_cannot_succeed(host, play) -> None:
    """An option that vLLM does not know: the wait ends with the container, shows its log, and nothing restarts it."""
    run = play("-e", json.dumps({"vllm_extra_options": {"no-such-option": 1}, "vllm_check_options": False}))
    assert run.status != 0
    assert "exit code 2" in run.flat
    assert "unrecognized arguments: --no-such-option" in run.flat
    assert "It will not be started again" in run.flat
    state = json.loads(host.check_output("docker inspect %s" % NAME))[0]
    assert state["State"]["Status"] == "exited"
    assert state["RestartCount"] == 0
    assert "good_since" not in json.loads(host.file("/opt/vllm/medium/current/release.json").content_string)


def test_next_deployment_mends_it(host, play) -> None:
    """The same playbook with the option gone brings the service back."""
    run = play()
    assert run.status == 0, run.output
    assert host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"


def test_no_container(host, play) -> None:
    """Without a container the role fails at once instead of waiting."""
    host.check_output("docker rm -f %s" % NAME)
    run = play(roles=["myia.vllm.vllm_health"])
    assert run.status != 0
    assert "container missing" in run.flat
