# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Docker command line's answers are taken for."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli

#: Shortened answers of `docker info --format '{{json .}}'`.
DEBIAN_20 = {
    "ServerVersion": "20.10.24+dfsg1",
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
    "LiveRestoreEnabled": False,
    "CgroupDriver": "systemd",
    "DockerRootDir": "/var/lib/docker",
    "Runtimes": {"runc": {"path": "runc"}, "io.containerd.runc.v2": {"path": "runc"}},
    "DefaultRuntime": "runc",
    "ContainersRunning": 2,
    "ServerErrors": None,
}
ENGINE_26 = {
    **DEBIAN_20,
    "ServerVersion": "26.1.5+dfsg1",
    "LiveRestoreEnabled": True,
    "Runtimes": {"nvidia": {"path": "nvidia-container-runtime"}, "runc": {"path": "runc", "status": {}}},
    "ContainersRunning": 0,
    "CDISpecDirs": [],
}
DESKTOP = {**ENGINE_26, "OperatingSystem": "Docker Desktop", "ServerVersion": "28.2.2"}
ROOTLESS = {
    **ENGINE_26,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
    "DockerRootDir": "/home/u/.local/share/docker",
}
#: A client whose engine does not answer: it fills its own half and exits 0 (20.10) or 1.
DEAD = {"ID": "", "ServerVersion": "", "ServerErrors": ["Cannot connect to the Docker daemon at unix:///x. Is it up?"]}


def runner(status: int, out: str, err: str = "", compose: tuple = (0, "2.26.1\n", "")):
    """Make a ``run`` that answers `docker info` and `docker compose version`."""

    def run(argv: list[str]) -> tuple[int, str, str]:
        assert argv[0] == "docker"
        return compose if argv[1] == "compose" else (status, out, err)

    return run


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            DEBIAN_20,
            {
                "version": "20.10.24+dfsg1",
                "live_restore": False,
                "runtimes": ["io.containerd.runc.v2", "runc"],
                "containers_running": 2,
                "desktop": False,
                "rootless": False,
                "cgroup_driver": "systemd",
                "default_runtime": "runc",
                "root_dir": "/var/lib/docker",
                "operating_system": "Debian GNU/Linux 12 (bookworm)",
            },
            id="20.10",
        ),
        pytest.param(
            ENGINE_26, {"version": "26.1.5+dfsg1", "live_restore": True, "runtimes": ["nvidia", "runc"]}, id="26.1"
        ),
        pytest.param(DESKTOP, {"version": "28.2.2", "desktop": True}, id="desktop"),
        pytest.param(ROOTLESS, {"rootless": True, "root_dir": "/home/u/.local/share/docker"}, id="rootless"),
        pytest.param(
            {"ServerVersion": "26.1.5", "SecurityOptions": None, "Runtimes": None, "ContainersRunning": None},
            {"rootless": False, "runtimes": [], "containers_running": 0},
            id="nulls",
        ),
    ],
)
def test_answering(data, expected) -> None:
    """A living engine's answer is taken apart."""
    info = docker_cli.engine_info(runner(0, json.dumps(data)))
    assert {key: info[key] for key in expected} == expected
    assert (info["installed"], info["answering"], info["error"], info["compose_version"]) == (True, True, "", "2.26.1")


@pytest.mark.parametrize(
    ("status", "out", "err", "words"),
    [
        pytest.param(0, json.dumps(DEAD), "", "Cannot connect", id="dead-exit-0"),
        pytest.param(1, json.dumps(DEAD), "errors pretty printing info", "Cannot connect", id="dead-exit-1"),
        pytest.param(
            0, json.dumps({**DEBIAN_20, **DEAD, "ServerVersion": "20.10"}), "", "Cannot connect", id="half-dead"
        ),
        pytest.param(1, "", "permission denied\n", "permission denied", id="no-permission"),
        pytest.param(0, "", "", "no answer", id="silent"),
        pytest.param(0, "not json", "", "not json", id="no-json"),
        pytest.param(0, "null", "", "null", id="null"),
        pytest.param(1, json.dumps(DEBIAN_20), "odd", "odd", id="answer-but-failed"),
    ],
)
def test_not_answering(status, out, err, words) -> None:
    """The reason is returned, and the client counts as installed."""
    info = docker_cli.engine_info(runner(status, out, err))
    assert (info["installed"], info["answering"], info["version"]) == (True, False, "")
    assert words in info["error"]


def test_no_docker() -> None:
    """Exit status 127: there is no such program."""
    info = docker_cli.engine_info(lambda argv: (127, "", "docker: not found"))
    assert (info["installed"], info["answering"], info["compose_version"]) == (False, False, "")
    assert "not installed" in info["error"]


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        pytest.param((0, "2.26.1-4\n", ""), "2.26.1-4", id="debian"),
        pytest.param((0, "v2.22.0\n", ""), "2.22.0", id="v"),
        pytest.param((1, "", "docker: 'compose' is not a docker command."), "", id="none"),
    ],
)
def test_compose_version(answer, version) -> None:
    """The plugin's version, without its v."""
    assert docker_cli.engine_info(runner(0, json.dumps(DEBIAN_20), compose=answer))["compose_version"] == version


ROW = "%s\t/%s\timage\tt\t%s\t%s\t%s\n"


@pytest.mark.parametrize(
    ("row", "gpu"),
    [
        (("a", "web", "true", "runc", "null"), False),
        (("a", "web", "true", "runc", "[]"), False),
        (("a", "web", "true", "nvidia", "null"), True),
        (("a", "web", "true", "runc", '[{"Driver":"nvidia"}]'), True),
    ],
)
def test_running_containers(row, gpu) -> None:
    """Name, image, start time, and whether it has GPUs by the runtime or by a request."""
    answers = {"ps": (0, "a\n", ""), "inspect": (0, ROW % row, "")}
    found = docker_cli.running_containers(lambda argv: answers[argv[1]])
    assert found == {"a": {"name": "web", "image": "image", "started": "t", "gpu": gpu}}


def test_container_that_ended_meanwhile() -> None:
    """It is left out; the others are there."""
    lists = iter(["a\nb\n", "a\n"])
    row = ROW % ("a", "web", "true", "runc", "null")

    def run(argv):
        return (0, next(lists), "") if argv[1] == "ps" else (1, row, "No such object: b")

    assert list(docker_cli.running_containers(run)) == ["a"]


def test_container_that_cannot_be_seen() -> None:
    """A container that runs and cannot be looked at is no reason to go on."""
    answers = {"ps": (0, "a\n", ""), "inspect": (1, "", "template parsing error")}
    with pytest.raises(RuntimeError, match="template parsing error"):
        docker_cli.running_containers(lambda argv: answers[argv[1]])


@pytest.mark.parametrize(
    ("more", "mirrors", "proxied"),
    [
        pytest.param({}, [], False, id="none"),
        pytest.param({"HttpsProxy": "http://u:PLANTED@p"}, [], True, id="proxy"),
        pytest.param({"RegistryConfig": {"Mirrors": ["https://m/"]}}, ["https://m/"], False, id="mirror"),
        pytest.param({"RegistryConfig": {"Mirrors": None}, "HttpProxy": ""}, [], False, id="empty"),
    ],
)
def test_ways_to_the_registry(more, mirrors, proxied) -> None:
    """Mirrors by their address, a proxy by its presence only."""
    info = docker_cli.engine_info(runner(0, json.dumps({**ENGINE_26, **more})))
    assert (info["registry_mirrors"], info["proxied"]) == (mirrors, proxied)
    assert "PLANTED" not in json.dumps(info)


@pytest.mark.parametrize(
    ("status", "out", "digests"),
    [
        (1, "", None),
        (0, '["sha256:1",[]]\n', ["sha256:1"]),
        (0, '["sha256:1",null]\n', ["sha256:1"]),
        (0, '["sha256:1",["registry:5000/a@sha256:2","b@sha256:3"]]\n', ["sha256:1", "sha256:2", "sha256:3"]),
        # there, and not told by what it is known
        (0, "", []),
    ],
)
def test_image_digests(status, out, digests) -> None:
    """The id, and the digests by which it was pulled; None without the image."""
    assert docker_cli.image_digests(lambda argv: (status, out, ""), "a:1") == digests


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31T12:00:00.123456789Z", 1769860800.1234568),
        ("2026-01-31T12:00:00.5Z", 1769860800.5),
        ("2026-01-31T12:00:00Z", 1769860800.0),
        ("1970-01-01T00:00:01Z", 1.0),
        # Docker's word for never
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
        ("2026-01-31 12:00:00", 0.0),
        ("yesterday", 0.0),
    ],
)
def test_seconds(text, seconds, monkeypatch) -> None:
    """By UTC, whatever the time zone of the host is."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert docker_cli.seconds(text) == pytest.approx(seconds, abs=1e-6)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("out", "err"),
    [
        pytest.param('{"host": {"arch": "amd64"}, "version": {"Version": "5.4.2"}}', "", id="nodocker"),
        pytest.param("", "Emulate Docker CLI using podman. Create /etc/containers/nodocker to\n", id="says-so"),
    ],
)
def test_podman(out, err, tmp_path) -> None:
    """Podman's program of the name docker is no engine, silenced or not, and is named."""
    info = docker_cli.engine_info(runner(0, out, err, (0, "podman-compose 1.3\n", "")), str(tmp_path))
    assert (info["installed"], info["podman"], info["answering"], info["compose_version"]) == (True, True, False, "")
    assert "podman-docker" in info["error"]


def test_engine_that_runs(tmp_path) -> None:
    """A running engine is seen without its command."""
    for pid, name in (("7", "bash"), ("812", "dockerd"), ("self", "dockerd")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_text(name + "\n", encoding="utf-8")
    info = docker_cli.engine_info(lambda _argv: (127, "", "docker: not found"), str(tmp_path))
    assert (info["installed"], info["podman"], info["dockerd_pid"]) == (False, False, 812)
    assert docker_cli.dockerd_pid(str(tmp_path / "none")) == 0
