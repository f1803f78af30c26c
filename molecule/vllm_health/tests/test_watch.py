# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching, while the world does not hold still. The service is the STAND-IN for vLLM, which takes its time as told."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time

import pytest
from replays import NAME, RECORDINGS, container_of, replayed


@pytest.fixture(scope="module")
def slow(standin_host, standin, play):
    """Let a start of the service take 20 seconds."""
    lines = (RECORDINGS / "healthy-tensor-parallel-2.log").read_text(encoding="utf-8").splitlines()
    run = play("-e", json.dumps(replayed(standin_host, "slow", lines, then="serve", seconds=20)))
    assert run.status == 0, run.output


@pytest.mark.full
def test_container_is_replaced(host, slow, watch) -> None:
    """The new container is followed from its own beginning."""
    host.check_output("docker restart --time 0 %s" % NAME)
    run = watch()
    run.until(r"\| \[")
    host.check_output("docker rm -f %s && cd /opt/vllm/medium/current && docker compose -p vllm-medium up -d" % NAME)
    assert run.end() == 0, run.output
    assert "the container was replaced by another one" in run.output


@pytest.mark.full
def test_container_is_removed(host, slow, watch) -> None:
    """A container that does not come back is missed."""
    host.check_output("docker restart --time 0 %s" % NAME)
    run = watch()
    run.until(r"\| \[")
    host.check_output("docker rm -f %s" % NAME)
    assert run.end() != 0
    assert "the container is gone" in run.output
    host.check_output("cd /opt/vllm/medium/current && docker compose -p vllm-medium up -d")


def test_no_container(host, play) -> None:
    """Without a container the role fails at once instead of waiting."""
    run = play("-e", "vllm_container_name=nothing-here", roles=["myia.vllm.vllm_health"])
    assert run.status != 0
    assert "There is no container nothing-here on this host" in run.flat


@pytest.fixture(scope="module")
def ssh(standin_host, tmp_path_factory):
    """Let the test host be reached by ssh; returns the arguments of ansible-playbook for that."""
    folder = tmp_path_factory.mktemp("ssh")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = pathlib.Path("%s.pub" % key).read_text(encoding="utf-8").strip()
    standin_host.check_output(
        "command -v sshd || { apt-get update && apt-get install --yes openssh-server; } >/dev/null 2>&1; "
        "mkdir -p /root/.ssh && echo '%s' >> /root/.ssh/authorized_keys && systemctl start ssh" % public
    )
    address = next(iter(container_of(standin_host).attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3"
    return ["-e", json.dumps({
        "ansible_connection": "ssh", "ansible_host": address, "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key), "ansible_ssh_common_args": options,
    })]  # fmt: skip


@pytest.mark.full
def test_connection_drops(host, slow, watch, ssh) -> None:
    """The host is out of reach for some seconds, and every connection is cut: the watch takes the start up again."""
    host.check_output("docker restart --time 0 %s" % NAME)
    run = watch(*ssh)
    run.until(r"\| \[")
    host.run("systemctl stop ssh ssh.socket; pkill -9 '^sshd'")
    try:
        run.until("connection lost, trying again")
        time.sleep(4)
    finally:
        host.check_output("systemctl start ssh")
    assert run.end() == 0, run.output
    assert "[serving] answers after" in run.output


@pytest.mark.full
def test_connection_stays_away(host, slow, watch, ssh) -> None:
    """A host that does not come back in time is reported as unreachable, with what to do."""
    host.check_output("docker restart --time 0 %s" % NAME)
    run = watch(*ssh, "-e", "vllm_health_connection_timeout_s=3")
    run.until(r"\| \[")
    host.run("systemctl stop ssh ssh.socket; pkill -9 '^sshd'")
    try:
        assert run.end() == 4, run.output  # ansible-playbook's status for unreachable hosts
    finally:
        host.check_output("systemctl start ssh")
    assert "vllm_health_connection_timeout_s" in run.output


@pytest.mark.full
def test_very_long_log(host, standin, play, standin_host) -> None:
    """A log of 9 MB, read in pieces: what matters is found in the midst of it, and its two ends are kept."""
    line = "(EngineCore pid=24) INFO 11-24 23:26:14 [core.py:1] line %d of many " + "x" * 250
    lines = [line % number for number in range(30_000)]
    lines.insert(15_000, "ValueError: No available memory for the cache blocks. Try increasing x.")
    variables = replayed(standin_host, "long", lines, then="exit 1", seconds=0)
    run = play("-e", json.dumps(variables))
    assert run.status != 0
    assert "no-memory-for-kv-cache" in run.flat
    size = int(host.check_output("stat -c %s /opt/vllm/medium/releases/*/failed-start.log | sort -n | tail -n 1"))
    assert size < 5 * 1024 * 1024
