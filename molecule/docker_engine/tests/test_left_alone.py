# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts on which the role installs and changes nothing, and how it says so.

None of it depends on the system, so one host is enough.
"""

from __future__ import annotations

import json

import pytest

testinfra_hosts = ["ansible://engine-trixie"]

STANDIN = """#!/bin/sh
# STAND-IN: answers as the docker client of Docker Desktop does
case "$1 $2" in
"info --format") echo '{"ServerVersion": "28.3.0", "OperatingSystem": "Docker Desktop", "Runtimes": {"runc": {}}}' ;;
"compose version") echo 2.38.2-desktop.1 ;;
*) exit 1 ;;
esac
"""


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


@pytest.mark.full
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


def test_no_engine_and_not_allowed_to_install(host, play, stopped_engine, untouched) -> None:
    """Without an engine and with docker_engine_install false: the variable is named and nothing is touched."""
    run = play("--limit", host.backend.host, "-e", "docker_engine_install=false")
    assert run.status != 0
    assert "docker_engine_install is false" in run.flat
    assert "Nothing was changed" in run.flat
    assert untouched() == []


#: facts of hosts that the test bed has not, given by hand; what the role must say of them
OTHER_HOSTS = {
    "no systemd": ({"pkg_mgr": "apt", "service_mgr": "sysvinit"}, "no systemd to start one"),
    "no packages": (
        {"pkg_mgr": "apk", "service_mgr": "openrc", "os_family": "Alpine", "distribution": "Alpine"},
        "Install Docker Engine and Compose v2 yourself",
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("case", OTHER_HOSTS)
def test_host_on_which_no_engine_can_be_had(host, play, stopped_engine, untouched, case: str) -> None:
    """It is said before anything is installed."""
    facts, said = OTHER_HOSTS[case]
    debian = {
        "os_family": "Debian",
        "distribution": "Debian",
        "distribution_major_version": "13",
        "distribution_version": "13",
        "distribution_release": "trixie",
        "architecture": "x86_64",
    }
    run = play("--limit", host.backend.host, "-e", json.dumps({"ansible_facts": {**debian, **facts}}))
    assert run.status != 0
    assert said in run.flat
    assert untouched() == []
