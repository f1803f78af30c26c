# SPDX-License-Identifier: GPL-3.0-or-later
"""The role docker_engine on a bare Debian 12 and 13."""

from __future__ import annotations

import json

import pytest


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


def test_stopped_engine_is_started(host, play, stopped_engine) -> None:
    """An engine that is there but stopped is started again."""
    run = play("--limit", host.backend.host)
    assert run.status == 0, run.output
    assert host.service("docker").is_running


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

    @pytest.mark.full
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

    @pytest.mark.full
    def test_swarm(self, host, configure, daemon_json, sleeper) -> None:
        """A swarm excludes live-restore: refused, with that reason."""
        host.check_output("docker swarm init --advertise-addr 127.0.0.1")
        try:
            run = configure({"log-level": "warn"})
        finally:
            host.check_output("docker swarm leave --force")
        assert run.status != 0
        assert "part of a swarm" in run.flat

    @pytest.mark.full
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
