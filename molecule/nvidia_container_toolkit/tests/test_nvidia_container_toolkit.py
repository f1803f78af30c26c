# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nvidia_container_toolkit on Debian 12 and 13. The packages, the runtime and the GPUs are STAND-INS."""

from __future__ import annotations

import json

import pytest

PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
DAEMON_JSON = "/etc/docker/daemon.json"


def test_four_packages_at_one_version(host) -> None:
    """All four are there, at the pinned version."""
    assert {host.package(name).version for name in PACKAGES} == {"1.20.1-1"}


def test_key_is_readable_by_apt(host) -> None:
    """The key has the mode that apt's unprivileged user needs."""
    assert host.file("/etc/apt/keyrings/nvidia-container-toolkit.asc").mode == 0o644


def test_docker_info_shows_the_runtime(host) -> None:
    """The engine that runs knows the runtime, and runc is still the default."""
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))
    assert "nvidia" in info["Runtimes"]
    assert info["DefaultRuntime"] == "runc"


def test_foreign_keys_of_daemon_json_are_kept(host, play) -> None:
    """Keys of others survive the merge, and a repeated run changes nothing."""
    config = json.loads(host.file(DAEMON_JSON).content_string)
    mine = config.pop("runtimes")
    foreign = {"log-opts": {"max-size": "10m"}, "runtimes": {"other": {"path": "/usr/bin/runc"}}}
    host.check_output("printf '%%s' '%s' > %s" % (json.dumps(foreign), DAEMON_JSON))
    first = play("--limit", host.backend.host)
    assert first.status == 0, first.output
    merged = json.loads(host.file(DAEMON_JSON).content_string)
    assert merged == {**foreign, "runtimes": {**foreign["runtimes"], **mine}}
    second = play("--limit", host.backend.host)
    assert second.recap["changed"] == 0


def test_interrupted_before_the_reload(host, play) -> None:
    """A run that died after the merge is mended by the next: the engine decides, not what changed this time."""
    config = host.file(DAEMON_JSON).content_string
    # a reload does not take a runtime away, only a restart does
    host.check_output("echo '{}' > %s && systemctl restart docker" % DAEMON_JSON)
    assert "nvidia" not in json.loads(host.check_output("docker info --format '{{json .Runtimes}}'"))
    host.check_output("printf '%%s' '%s' > %s" % (config, DAEMON_JSON))
    run = play("--limit", host.backend.host)
    assert run.status == 0, run.output
    assert "nvidia" in json.loads(host.check_output("docker info --format '{{json .Runtimes}}'"))


def test_running_container_is_not_disturbed(host, play) -> None:
    """A container keeps its id and start time through merge and reload."""
    host.run("docker image inspect standin-sleeper >/dev/null 2>&1 || tar -C / -c bin lib lib64 usr/bin/sleep "
             "usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib64 2>/dev/null "
             "| docker import - standin-sleeper")  # fmt: skip
    host.check_output(
        "docker rm -f sleeper 2>/dev/null; docker run -d --name sleeper standin-sleeper /usr/bin/sleep 600"
    )
    before = host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Status}}' sleeper")
    host.check_output("echo '{}' > %s && systemctl reload docker && sleep 1" % DAEMON_JSON)
    run = play("--limit", host.backend.host)
    assert run.status == 0, run.output
    after = host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Status}}' sleeper")
    host.run("docker rm -f sleeper")
    assert before.endswith("running")
    assert after == before


# the unit tests have every kind of broken file
@pytest.mark.parametrize("content", ["// comment\n{}", '{"a": 1} x'])
def test_broken_daemon_json_is_left_alone(host, play, content: str) -> None:
    """A file that cannot be merged into is named and stays as it is, byte for byte."""
    good = host.file(DAEMON_JSON).content_string
    host.check_output("printf '%%s' '%s' > %s" % (content, DAEMON_JSON))
    try:
        run = play("--limit", host.backend.host)
        assert run.status != 0
        assert DAEMON_JSON in run.output
        assert "left as it is" in run.flat
        assert host.file(DAEMON_JSON).content_string == content
    finally:
        host.check_output("printf '%%s' '%s' > %s" % (good, DAEMON_JSON))


def test_wrong_fingerprint_stops_before_the_repository(host, play) -> None:
    """A key with another fingerprint is not installed, and the repository is not added."""
    host.check_output(
        "mv /etc/apt/keyrings/nvidia-container-toolkit.asc /tmp/key.asc; "
        "mv /etc/apt/sources.list.d/nvidia-container-toolkit.sources /tmp/source"
    )
    try:
        run = play(
            "--limit", host.backend.host, "-e", "nvidia_container_toolkit_key=http://127.0.0.1:8999/wrong.gpgkey"
        )
        assert run.status != 0
        assert "nvidia_container_toolkit_key_fingerprint" in run.flat
        assert "Nothing was installed" in run.flat
        assert not host.file("/etc/apt/keyrings/nvidia-container-toolkit.asc").exists
        assert not host.file("/etc/apt/sources.list.d/nvidia-container-toolkit.sources").exists
    finally:
        host.check_output(
            "mv /tmp/key.asc /etc/apt/keyrings/nvidia-container-toolkit.asc; "
            "mv /tmp/source /etc/apt/sources.list.d/nvidia-container-toolkit.sources"
        )


def test_cpu_needs_no_toolkit(host, play, untouched) -> None:
    """With vllm_accelerator cpu the role says why it does nothing."""
    run = play("--limit", host.backend.host, "-e", "vllm_accelerator=cpu")
    assert run.status == 0, run.output
    assert "no container toolkit is needed" in run.flat
    assert untouched() == []
