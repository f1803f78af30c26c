# SPDX-License-Identifier: GPL-3.0-or-later
"""The role docker_engine on a bare Debian 12 and 13."""

from __future__ import annotations

import json

STANDIN = """#!/bin/sh
# STAND-IN: answers as the docker client of Docker Desktop does
case "$1 $2" in
"info --format") echo '{"ServerVersion": "28.3.0", "OperatingSystem": "Docker Desktop", "Runtimes": {"runc": {}}}' ;;
"compose version") echo 2.38.2-desktop.1 ;;
*) exit 1 ;;
esac
"""


def test_engine_answers(host) -> None:
    """A real engine runs, is enabled at boot, and Compose v2 is recent enough."""
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))
    assert tuple(map(int, info["ServerVersion"].split(".")[:2])) >= (20, 10)
    compose = host.check_output("docker compose version --short").lstrip("v")
    assert tuple(map(int, compose.split("-")[0].split("+")[0].split(".")[:2])) >= (2, 22)


def test_extra_source_gives_nothing_else(host) -> None:
    """On Debian 12 only docker-compose came from Debian 13, and nothing else ever can."""
    if host.system_info.codename != "bookworm":
        assert not host.file("/etc/apt/sources.list.d/docker-engine-extra.sources").exists
        return
    policy = host.check_output("apt-cache policy bash docker-compose")
    bash, compose = policy.split("docker-compose:")
    assert "-10" in bash.partition("trixie")[0].splitlines()[-1]
    assert host.package("bash").version == host.check_output("apt-cache policy bash | sed -n 's/.*Candidate: //p'")
    assert "600" in compose
    assert host.package("docker-compose").version.startswith("2.")
    assert host.package("docker.io").version.startswith("20.10")


def test_docker_desktop_is_left_alone(host, play, untouched) -> None:
    """Docker Desktop (a stand-in client): nothing is installed or changed, and the role says why."""
    name = host.backend.host
    quoted = STANDIN.replace("'", "'\\''")
    host.run("printf '%%s' '%s' > /usr/local/bin/docker && chmod 0755 /usr/local/bin/docker" % quoted)
    host.check_output("touch /tmp/myia-mark; sleep 1.1")
    try:
        run = play("--limit", name)
    finally:
        host.run("rm -f /usr/local/bin/docker")
    assert run.status == 0, run.output
    assert "Docker Desktop runs the engine in a virtual machine of its own" in run.flat
    assert run.recap["changed"] == 0
    assert untouched() in ([], ["/usr/local/bin"])


def test_wsl_is_left_alone(host, play, untouched) -> None:
    """WSL (what the role sees there, given by hand): nothing is installed, and it says why."""
    engine = {
        "installed": True,
        "answering": True,
        "error": "",
        "version": "28.3.0",
        "compose_version": "2.38.2",
        "desktop": False,
        "wsl": True,
        "engine_sufficient": True,
        "compose_sufficient": False,
    }
    run = play("--limit", host.backend.host, "-e", json.dumps({"docker_engine_result": {"engine": engine}}))
    assert "This is a Windows Subsystem for Linux" in run.flat
    assert "installs and changes nothing" in run.flat
    # what is too old there stays a failure, with the fix
    assert run.status != 0
    assert "Upgrade them" in run.flat
    assert untouched() == []


def test_no_engine_and_not_allowed_to_install(host, play, untouched) -> None:
    """Without an engine and with docker_engine_install false: the variable is named and nothing is touched."""
    name = host.backend.host
    host.check_output("systemctl stop docker.socket docker.service")
    try:
        run = play("--limit", name, "-e", "docker_engine_install=false")
        assert run.status != 0
        assert "docker_engine_install is false" in run.flat
        assert "Nothing was changed" in run.flat
        assert untouched() == []
        # a stopped engine is started again where the role may
        again = play("--limit", name)
        assert again.status == 0, again.output
        assert host.service("docker").is_running
    finally:
        host.run("systemctl start docker.service")


def test_no_way_to_start_one(host, play, untouched) -> None:
    """No engine and no systemd (facts of such a host given by hand): said before anything is installed."""
    name = host.backend.host
    host.check_output("systemctl stop docker.socket docker.service")
    try:
        facts = {
            "ansible_facts": {
                "pkg_mgr": "apt",
                "os_family": "Debian",
                "distribution": "Debian",
                "distribution_major_version": "13",
                "distribution_version": "13",
                "distribution_release": "trixie",
                "architecture": "x86_64",
                "service_mgr": "sysvinit",
            }
        }
        run = play("--limit", name, "-e", json.dumps(facts))
    finally:
        host.run("systemctl start docker.service")
    assert run.status != 0
    assert "no systemd to start one" in run.flat
    assert untouched() == []


def test_unsupported_system(host, play, untouched) -> None:
    """A system without packages: refused with what to do."""
    name = host.backend.host
    host.check_output("systemctl stop docker.socket docker.service")
    try:
        facts = {
            "ansible_facts": {
                "pkg_mgr": "apk",
                "os_family": "Alpine",
                "distribution": "Alpine",
                "distribution_major_version": "3",
                "distribution_version": "3.22",
                "distribution_release": "",
                "architecture": "x86_64",
                "service_mgr": "openrc",
            }
        }
        run = play("--limit", name, "-e", json.dumps(facts))
    finally:
        host.run("systemctl start docker.service")
    assert run.status != 0
    assert "Install Docker Engine and Compose v2 yourself" in run.flat
    assert untouched() == []
