# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway_server and gateway_info against a stand-in for HAProxy's sockets."""

from __future__ import annotations

import pathlib
import threading
import time

import pytest
from fake_haproxy import FakeHaproxy


@pytest.fixture
def haproxy(tmp_path):
    """A stand-in that listens."""
    fake = FakeHaproxy(tmp_path)
    yield fake
    fake.close()


@pytest.fixture
def server(run_module, tmp_path):
    """Run gateway_server for node-1 of vllm_medium."""

    def call(state: str, **more) -> dict:
        given = {
            "backend": "vllm_medium",
            "server": ["node-1"],
            "state": state,
            "timeout_s": 3,
            "socket": str(tmp_path / "admin.sock"),
            "master_socket": str(tmp_path / "master.sock"),
            "state_file": str(tmp_path / "state"),
            **more,
        }
        return run_module("gateway_server", **given)

    return call


def test_drained_and_ready(haproxy, server, tmp_path) -> None:
    """Both ways, each a change once; the file has the state, the other server is counted."""
    first = server("drained")
    assert (first["changed"], first["before"], first["usable"], first["others"]) == (True, "ready", False, 1)
    assert haproxy.servers["vllm_medium"]["node-1"][0] == "drain"
    state = tmp_path / "state"
    assert " node-1 192.0.2.1 2 8 " in state.read_text(encoding="utf-8")
    assert state.stat().st_mode & 0o777 == 0o640
    assert server("drained")["changed"] is False
    back = server("ready")
    assert (back["changed"], back["before"], back["usable"]) == (True, "drain", True)
    assert " node-1 192.0.2.1 2 0 " in state.read_text(encoding="utf-8")


def test_waits_for_open_requests_of_all_workers(haproxy, server) -> None:
    """Those of a worker of before a reload count, too."""
    haproxy.servers["vllm_medium"]["node-1"][2] = 2
    haproxy.old = {77: {"node-1": 1}}

    def end() -> None:
        time.sleep(0.6)
        haproxy.servers["vllm_medium"]["node-1"][2] = 0
        time.sleep(0.6)
        haproxy.old = {}

    ender = threading.Thread(target=end)
    ender.start()
    done = server("drained")
    ender.join()
    assert done["open"] == 0
    assert 1.0 <= done["waited_s"] < 3
    assert "@!77 set server vllm_medium/node-1 state drain" in haproxy.said


def test_a_wait_is_bounded(haproxy, server) -> None:
    """What is left is told, and no failure."""
    haproxy.servers["vllm_medium"]["node-1"][2] = 2
    done = server("drained", timeout_s=0.6)
    assert done["open"] == 2
    assert 0.6 <= done["waited_s"] < 2


def test_ready_waits_for_the_check(haproxy, server) -> None:
    """A server whose own check fails is let in, and told as not usable."""
    haproxy.servers["vllm_medium"]["node-1"] = ["ready", "DOWN", 0]
    done = server("ready", timeout_s=0.6)
    assert (done["changed"], done["known"], done["usable"]) == (False, True, False)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"backend": "vllm_other"}, (False, True, False)),
        ({"server": ["node-9"]}, (False, True, False)),
        ({"server": ["node-9", "node-2"]}, (True, True, True)),
        ({"socket": "/nowhere/admin.sock"}, (False, False, False)),
    ],
    ids=["other-backend", "other-server", "second-name", "no-haproxy"],
)
def test_what_is_not_there(haproxy, server, options, expected) -> None:
    """A gateway that does not run or know the host is left alone; the first name that is there is taken."""
    done = server("drained", **options)
    assert (done["changed"], done["running"], done["known"]) == expected


def test_check_mode(haproxy, server, tmp_path) -> None:
    """It tells and changes nothing."""
    assert server("drained", check=True)["changed"] is True
    assert haproxy.servers["vllm_medium"]["node-1"][0] == "ready"
    assert not (tmp_path / "state").exists()


def test_a_refusal_is_a_failure(haproxy, server) -> None:
    """HAProxy's own words are told."""
    haproxy.refused = "set server"
    done = server("drained")
    assert done["failed"]
    assert "Permission denied" in done["msg"]


def test_state_file_that_cannot_be_written(haproxy, server, tmp_path) -> None:
    """The server is drained, and the reason told: a reload would forget it."""
    done = server("drained", state_file=str(tmp_path / "nowhere" / "state"))
    assert done["failed"]
    assert "state_file" in done["msg"]


def test_info(haproxy, run_module, tmp_path) -> None:
    """Servers with the open requests of all workers, and those that wait."""
    haproxy.servers["vllm_medium"]["node-1"] = ["drain", "DRAIN", 2]
    haproxy.old = {77: {"node-1": 1}}
    sockets = {"socket": str(tmp_path / "admin.sock"), "master_socket": str(tmp_path / "master.sock")}
    found = run_module("gateway_info", **sockets)
    backend = found["backends"]["vllm_medium"]
    assert (backend["usable"], backend["open"], backend["held"]) == (1, 3, 3)
    assert backend["servers"]["node-1"] == {
        "admin": "drain", "status": "DRAIN", "open": 3, "queued": 0, "usable": False
    }  # fmt: skip
    assert (found["running"], found["worker"], found["old_workers"], found["reloads"]) == (True, 101, [77], 1)
    nobody = run_module("gateway_info", socket=str(pathlib.Path(tmp_path) / "none"), master_socket=str(tmp_path / "no"))
    assert (nobody["running"], nobody["backends"], nobody["reloads"]) == (False, {}, None)
