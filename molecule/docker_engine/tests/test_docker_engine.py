# SPDX-License-Identifier: GPL-3.0-or-later
"""The role docker_engine on a bare Debian 12 and 13."""

from __future__ import annotations

import json

import pytest

STANDIN = """#!/bin/sh
# STAND-IN: answers as the docker client of Docker Desktop does
case "$1 $2" in
"info --format") echo '{"ServerVersion": "28.3.0", "OperatingSystem": "Docker Desktop", "Runtimes": {"runc": {}}}' ;;
"compose version") echo 2.38.2-desktop.1 ;;
*) exit 1 ;;
esac
"""


@pytest.fixture
def stopped_engine(host, untouched):
    """Stop the engine for the time of one test."""
    # systemd refuses a service that is started too often in a minute, unless its counter is reset
    host.check_output("systemctl stop docker.socket docker.service; systemctl reset-failed docker.service || true")
    host.check_output("touch /tmp/myia-mark; sleep 1.1")
    yield
    host.check_output("systemctl reset-failed docker.service; systemctl start docker.service")


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
        assert not host.file("/etc/apt/preferences.d/docker-engine-extra.pref").exists
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


def test_no_engine_and_not_allowed_to_install(host, play, stopped_engine, untouched) -> None:
    """Without an engine and with docker_engine_install false: the variable is named and nothing is touched."""
    run = play("--limit", host.backend.host, "-e", "docker_engine_install=false")
    assert run.status != 0
    assert "docker_engine_install is false" in run.flat
    assert "Nothing was changed" in run.flat
    assert untouched() == []


def test_stopped_engine_is_started(host, play, stopped_engine) -> None:
    """An engine that is there but stopped is started again."""
    run = play("--limit", host.backend.host)
    assert run.status == 0, run.output
    assert host.service("docker").is_running


#: facts of hosts that the test bed has not, given by hand; what the role must say of them
OTHER_HOSTS = {
    "no systemd": ({"pkg_mgr": "apt", "service_mgr": "sysvinit"}, "no systemd to start one"),
    "no packages": (
        {"pkg_mgr": "apk", "service_mgr": "openrc", "os_family": "Alpine", "distribution": "Alpine"},
        "Install Docker Engine and Compose v2 yourself",
    ),
}


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


@pytest.fixture
def configure(host, play):
    """Run the role on this host with settings for daemon.json."""

    def run(config: dict, *arguments: str, **variables: object):
        return play(
            "--limit",
            host.backend.host,
            "-e",
            json.dumps({"docker_engine_daemon_config": config, **variables}),
            *arguments,
        )

    return run


def engine(host) -> str:
    """What tells one start of the engine from another."""
    return host.check_output("systemctl show --property MainPID,ExecMainStartTimestampMonotonic docker.service")


class TestRestartSafety:
    """daemon.json and the engine, on a host where containers run."""

    def test_nothing_needed(self, host, configure, daemon_json, sleeper) -> None:
        """Values that are there already: no write, no reload, no restart."""
        daemon_json.write('{"shutdown-timeout":20}', "systemctl reload docker")
        before, text = engine(host), daemon_json.text()
        run = configure({"shutdown-timeout": 20})
        assert run.status == 0, run.output
        assert run.recap["changed"] == 0
        assert (engine(host), daemon_json.text()) == (before, text)

    def test_reload(self, host, configure, daemon_json, sleeper) -> None:
        """What a reload brings is brought by a reload: same engine process, same container."""
        before, container = engine(host), sleeper()
        run = configure({"debug": True})
        assert run.status == 0, run.output
        assert host.check_output("docker info --format '{{.Debug}}'") == "true"
        assert engine(host) == before
        assert sleeper() == container
        assert configure({"debug": True}).recap["changed"] == 0

    def test_restart_keeps_containers(self, host, configure, daemon_json, sleeper) -> None:
        """live-restore is turned on first, so that the container keeps its id and start time through the restart."""
        before, container = engine(host), sleeper()
        predicted = configure({"log-level": "warn"}, "--check", "--diff")
        assert predicted.status == 0, predicted.output
        assert '"log-level": "warn"' in predicted.output
        assert engine(host) == before
        run = configure({"log-level": "warn"})
        assert run.status == 0, run.output
        assert engine(host) != before
        assert sleeper() == container
        assert host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"
        assert configure({"log-level": "warn"}).recap["changed"] == 0

    @pytest.mark.parametrize(
        ("file", "variables", "words"),
        [
            pytest.param(
                "{}", {"docker_engine_live_restore": False}, "docker_engine_live_restore is false", id="variable"
            ),
            pytest.param('{"live-restore": false}', {}, "daemon.json turns it off", id="file"),
        ],
    )
    def test_restart_refused(self, host, configure, daemon_json, sleeper, file, variables, words) -> None:
        """Where live-restore is impossible nothing is restarted, and the containers are listed."""
        daemon_json.write(file, "systemctl restart docker && docker start sleeper")
        before, container = engine(host), sleeper()
        run = configure({"log-level": "warn"}, **variables)
        assert run.status != 0
        assert "would stop 1 running container: sleeper (standin-sleeper)" in run.flat
        assert words in run.flat
        assert (engine(host), sleeper()) == (before, container)
        # what was refused is not forgotten: the file is right by now, and the engine was not told
        again = configure({"log-level": "warn"}, **variables)
        assert again.status != 0
        assert engine(host) == before
        # allowed, it is done
        allowed = configure({"log-level": "warn"}, docker_engine_allow_container_restart=True, **variables)
        assert allowed.status == 0, allowed.output
        assert engine(host) != before

    def test_swarm(self, host, configure, daemon_json, sleeper) -> None:
        """A swarm excludes live-restore: refused, with that reason."""
        host.check_output("docker swarm init --advertise-addr 127.0.0.1")
        try:
            run = configure({"log-level": "warn"})
        finally:
            host.check_output("docker swarm leave --force")
        assert run.status != 0
        assert "part of a swarm" in run.flat

    def test_engine_that_does_not_start(self, host, configure, daemon_json, sleeper) -> None:
        """The file of before comes back, and with it the engine."""
        before, container = daemon_json.text(), sleeper()
        run = configure({"storage-driver": "nonsense"})
        assert run.status != 0
        assert "nonsense" in run.flat
        assert "is as it was before but for live-restore, and Docker runs with it again" in run.flat
        assert before is None
        assert json.loads(daemon_json.text()) == {"live-restore": True}
        assert host.run("docker info").rc == 0
        assert sleeper() == container
