# SPDX-License-Identifier: GPL-3.0-or-later
"""The module host_info, run as a program with stand-ins for docker and nvidia-smi."""

from __future__ import annotations

import json
import os
import socket

import pytest

INFO = {"ServerVersion": "26.1.5", "OperatingSystem": "Debian", "DockerRootDir": "/"}
DOCKER = """case "$1 $2" in
"compose version") echo 2.26.1 ;;
"info --format") cat <<'END'
%s
END
;;
"ps --filter") printf 'myia\\tvllm-medium\\t"127.0.0.1:5002->5002/tcp"\\n' ;;
"ps --all") echo myia ;;
*) echo "unexpected: $*" >&2; exit 99 ;;
esac""" % json.dumps(INFO)
SMI = "echo '0, GPU-a, RTX 4090, 24564, 580.95.05'"


@pytest.fixture
def run(run_module, tools, bare_path):
    """Run the module with stand-ins."""

    def call(docker: str = DOCKER, smi: str = SMI, **more):
        folder = tools("docker", docker)
        tools("nvidia-smi", smi)
        args = {"port": 5002, "project": "vllm-medium", "search": "%s:%s" % (folder, bare_path), **more}
        return run_module("host_info", **args)["host"]

    return call


def test_everything(run, tmp_path, documentation) -> None:
    """One call reads all, under the documented keys."""
    host = run(paths=[str(tmp_path / "not" / "yet")])
    assert set(host) == set(documentation("host_info", "RETURN")["host"]["contains"])
    assert host["uid"] == os.geteuid()
    assert host["os"]["id"]
    assert host["docker"]["version"] == "26.1.5"
    assert host["gpu"] == {
        "gpus": [
            {
                "index": 0,
                "uuid": "GPU-a",
                "name": "RTX 4090",
                "memory_total_mib": 24564,
                "driver_version": "580.95.05",
            }
        ],
        "error": "",
    }
    assert host["port"]["containers"] == [{"name": "myia", "project": "vllm-medium"}]
    assert host["own_containers"] == ["myia"]
    assert set(host["free_gib"]) == {str(tmp_path / "not" / "yet"), "/"}
    assert all(free > 0 for free in host["free_gib"].values())
    assert host["model_present"] is False


def test_port_with_its_owner(run) -> None:
    """A listening socket of this process is seen, with the process."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert run(port=port)["port"]["listening"] is False
        sock.listen()
        found = run(port=port)["port"]
    assert found["listening"] is True
    assert found["owner"]["pid"] == os.getpid()


def test_without_gpus(run) -> None:
    """Not asked for: no key, and nvidia-smi is not run."""
    assert "gpu" not in run(gpus=False, smi="exit 99")


def test_broken_driver(run) -> None:
    """nvidia-smi's complaint is handed on."""
    gpu = run(smi="echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")["gpu"]
    assert gpu == {"gpus": [], "error": "Failed to initialize NVML: Driver/library version mismatch"}


def test_dead_engine(run) -> None:
    """Without an engine no containers are asked for."""
    host = run(docker='[ "$1" = info ] && { echo "Cannot connect" >&2; exit 1; }\n' + DOCKER)
    assert (host["docker"]["answering"], host["own_containers"], host["port"]["containers"]) == (False, [], [])
    assert "/var/lib/docker" in host["free_gib"]


def test_bare_host(run_module, bare_path) -> None:
    """Neither Docker nor nvidia-smi: an answer, no failure."""
    host = run_module("host_info", port=5002, project="p", search=bare_path)["host"]
    assert host["docker"]["installed"] is False
    assert "not installed" in host["gpu"]["error"]


@pytest.mark.parametrize("there", [True, False])
def test_local_model(there, run, tmp_path) -> None:
    """A model folder is one with a config.json in it."""
    if there:
        (tmp_path / "config.json").write_text("{}")
    assert run(model_path=str(tmp_path))["model_present"] is there
