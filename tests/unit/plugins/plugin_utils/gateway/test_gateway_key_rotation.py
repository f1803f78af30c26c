# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's own key changes host by host behind a real HAProxy, while clients ask all the time."""

from __future__ import annotations

import json
import pathlib
import threading
import time

import pytest
from gateway_cases import ask, service

from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket, upstream_key

OLD, NEW = "PLANTED-old-vllm", "PLANTED-new-vllm"


@pytest.fixture
def gateway(bed):
    """A gateway before two hosts that take the old key."""
    made = bed(
        lambda hosts: [service(name, port=host.port, address="127.0.0.1", api_key=OLD) for name, host in hosts.items()]
    )
    for host in made.hosts.values():
        host.key = OLD
    return made


@pytest.fixture
def turn(gateway, run_module):
    """Run gateway_server for a host of the bed."""

    def call(server: str, state: str, **more) -> dict:
        given = {
            "backend": "vllm_medium",
            "server": [server],
            "state": state,
            "timeout_s": 5,
            "socket": str(gateway.tmp / "admin.sock"),
            "master_socket": str(gateway.tmp / "master.sock"),
            "state_file": str(gateway.tmp / "state"),
            "configuration": str(gateway.real.file),
            "key_map": str(gateway.folder / "upstream.map"),
            **more,
        }
        return run_module("gateway_server", **given)

    return call


class Clients:
    """Ask without a pause, some at a time, until they are told to stop."""

    def __init__(self, gateway, number: int = 6) -> None:
        self.statuses: list[int] = []
        self.done = threading.Event()

        def run() -> None:
            while not self.done.is_set():
                self.statuses.append(ask(gateway)[0])

        self.threads = [threading.Thread(target=run) for _ in range(number)]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()


def shown(gateway) -> str:
    """The key that the file has for the backend."""
    text = pathlib.Path(gateway.folder, "upstream.map").read_text(encoding="utf-8")
    return upstream_key.of_map(text)["vllm_medium"]


def test_no_request_fails(gateway, turn) -> None:
    """Each host is out while it gets the key; the first brings it to the gateway, the second finds it there."""
    with Clients(gateway) as clients:
        turn("node-1", "drained")
        gateway.hosts["node-1"].key = NEW
        first = turn("node-1", "ready", api_key=NEW)
        assert (first["key_changed"], first["taken_out"], shown(gateway)) == (True, ["node-2"], NEW)
        turn("node-2", "drained")
        gateway.hosts["node-2"].key = NEW
        second = turn("node-2", "ready", api_key=NEW)
        assert (second["changed"], second["key_changed"], second["taken_out"]) == (True, False, [])
    assert len(clients.statuses) > 50
    assert set(clients.statuses) == {200}
    assert "PLANTED" not in first["_output"] + second["_output"]
    assert {json.loads(ask(gateway)[2])["host"] for _ in range(6)} == {"node-1", "node-2"}
    again = turn("node-2", "ready", api_key=NEW)
    assert (again["changed"], again["key_changed"]) == (False, False)


def test_one_host_alone(gateway, turn) -> None:
    """What waits while it restarts is let in with the new key, never with the old one."""
    turn("node-2", "drained")
    with Clients(gateway, 30) as clients:
        turn("node-1", "drained")
        gateway.hosts["node-1"].key = NEW
        time.sleep(1)
        turn("node-1", "ready", api_key=NEW)
    assert len(clients.statuses) >= 30
    assert set(clients.statuses) == {200}


def test_a_host_that_went_back_stays_with_the_old_key(gateway, turn) -> None:
    """The new release failed and the old one is back: nothing changes, whatever the inventory has."""
    turn("node-1", "drained")
    back = turn("node-1", "ready", api_key=NEW)
    assert (back["key_changed"], back["usable"], shown(gateway)) == (False, True, OLD)


def test_a_host_that_takes_neither_stays_out(gateway, turn) -> None:
    """It is told, with the variable and without a key."""
    turn("node-1", "drained")
    gateway.hosts["node-1"].key = "PLANTED-another"
    failed = turn("node-1", "ready", api_key=NEW)
    assert "refuses vllm_api_key" in failed["msg"]
    assert "PLANTED" not in failed["_output"]
    runtime = runtime_socket.Runtime(str(gateway.tmp / "admin.sock"))
    assert runtime_socket.servers(runtime)["vllm_medium"]["node-1"]["admin"] == "drain"
    assert shown(gateway) == OLD


def test_a_key_where_there_was_none(gateway, turn) -> None:
    """And none where there was one."""
    for key, admitted in (("", ""), (NEW, NEW)):
        for host in gateway.hosts.values():
            host.key = key
        # without a key a host takes every one, so the gateway goes on showing what it has
        turn("node-1", "ready", api_key=admitted)
        assert {ask(gateway)[0] for _ in range(4)} == {200}
    assert shown(gateway) == NEW


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("# head\nvllm_a 1\nvllm_b 2\n", "3", "# head\nvllm_b 2\nvllm_a 3\n"),
        ("# head\nvllm_b 2\n", "3", "# head\nvllm_b 2\nvllm_a 3\n"),
        ("# head\nvllm_a 1\n", "", "# head\n"),
    ],
)
def test_the_map(text, key, expected) -> None:
    """One line changes."""
    assert upstream_key.with_key(text, "vllm_a", key) == expected
