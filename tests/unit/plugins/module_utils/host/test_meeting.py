# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that try whether they reach each other, on loopback addresses of this machine."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import meeting
from ansible_collections.myia.vllm.plugins.modules import node_meeting


@pytest.fixture
def port() -> int:
    """A port that is free on all addresses of this machine."""
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def test_two_meet(port) -> None:
    """Both call, both are heard, the block comes back whole, and clocks of one machine agree."""
    one, two = meeting.Meeting("one", port, "127.0.0.1"), meeting.Meeting("two", port, "127.0.0.2")
    try:
        end_s = time.monotonic() + 10
        with concurrent.futures.ThreadPoolExecutor() as pool:
            calls = [pool.submit(one.call, "127.0.0.2", end_s), pool.submit(two.call, "127.0.0.1", end_s)]
            found = [call.result() for call in calls]
        one.wait_for(["two"], end_s)
        two.wait_for(["one"], end_s)
    finally:
        one.close()
        two.close()
    assert [(item["connected"], item["whole"], item["error"]) for item in found] == [(True, True, "")] * 2
    assert all(abs(item["offset_s"]) < 2 for item in found)
    assert (one.heard, two.heard) == ({"two"}, {"one"})


def test_nobody_there(port) -> None:
    """Who does not listen is not reached, with the system's own reason."""
    one = meeting.Meeting("one", port, "127.0.0.1")
    try:
        found = one.call("127.0.0.2", time.monotonic() + 0.6)
    finally:
        one.close()
    assert (found["connected"], found["whole"]) == (False, False)
    assert "refused" in found["error"]


def test_late_listener_is_waited_for(port) -> None:
    """Hosts do not begin at the same moment."""
    one = meeting.Meeting("one", port, "127.0.0.1")
    late: list[meeting.Meeting] = []
    timer = threading.Timer(0.8, lambda: late.append(meeting.Meeting("two", port, "127.0.0.2")))
    timer.start()
    try:
        assert one.call("127.0.0.2", time.monotonic() + 10)["whole"]
    finally:
        timer.join()
        for item in (one, *late):
            item.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_another_program(port, answer) -> None:
    """A port on which something else listens connects, and is no meeting."""

    def serve(server: socket.socket) -> None:
        connection, _address = server.accept()
        connection.sendall(answer)
        connection.close()

    with socket.create_server(("127.0.0.2", port)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        one = meeting.Meeting("one", port, "127.0.0.1")
        try:
            found = one.call("127.0.0.2", time.monotonic() + 3)
        finally:
            one.close()
    assert (found["connected"], found["whole"]) == (True, False)
    assert found["error"]


def test_block_that_does_not_come_back(port, monkeypatch) -> None:
    """What an MTU that is too large looks like: a greeting goes through, and full packets do not."""
    monkeypatch.setattr(meeting, "_STEP_S", 0.4)

    def greet_only(server: socket.socket) -> None:
        connection, _address = server.accept()
        meeting._read_greeting(connection)
        meeting._send_greeting(connection, "two")
        time.sleep(1.5)
        connection.close()

    with socket.create_server(("127.0.0.2", port)) as server:
        threading.Thread(target=greet_only, args=(server,), daemon=True).start()
        one = meeting.Meeting("one", port, "127.0.0.1")
        try:
            found = one.call("127.0.0.2", time.monotonic() + 3)
        finally:
            one.close()
    assert (found["connected"], found["whole"]) == (True, False)
    assert found["offset_s"] is not None


def test_taken_port(port) -> None:
    """A port that is taken is said, and nobody is called."""
    with socket.create_server(("127.0.0.1", port)):
        found = node_meeting.meet("one", {"one": "127.0.0.1", "two": "127.0.0.2"}, port, 1.0)
    assert "port %d" % port in found["problem"]
    assert found["calls"] == {}


def test_resolve() -> None:
    """Names become addresses; one that nobody knows has none."""
    assert "127.0.0.1" in meeting.resolve("localhost") or "::1" in meeting.resolve("localhost")
    assert meeting.resolve("no-such-host.invalid") == []
    assert meeting.resolve("no..name") == []


def test_interfaces() -> None:
    """As ``ip -o addr`` lists them; a part of one has the name of the whole behind an at sign."""
    listing = (
        "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n"
        "2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever\n"
        "2: eth0    inet6 fe80::1/64 scope link\\       valid_lft forever\n"
        "3: eth0.5@eth0    inet 10.5.0.1/24 scope global eth0.5\\       valid_lft forever\n"
        "4: tun0    inet 10.8.0.1 peer 10.8.0.2/32 scope global tun0\n"
        "nonsense\n"
    )
    assert meeting.interfaces(listing) == {
        "lo": ["127.0.0.1"],
        "eth0": ["10.0.0.1", "fe80::1"],
        "eth0.5": ["10.5.0.1"],
        "tun0": ["10.8.0.1"],
    }


def test_own_name(monkeypatch) -> None:
    """What the host takes itself for."""
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert meeting.own_name()["name"] == "localhost"
    assert set(meeting.own_name()["addresses"]) <= {"127.0.0.1", "::1"}
    assert meeting.own_name()["addresses"]
