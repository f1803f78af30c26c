# SPDX-License-Identifier: GPL-3.0-or-later
"""The health check of one of several hosts, on loopback addresses of this machine; nothing is ever ended by it here."""

from __future__ import annotations

import contextlib
import http.server
import os
import pathlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "templates" / "node_health.py"


@pytest.fixture
def ended(monkeypatch) -> list[int]:
    """The processes that the program would have ended."""
    found: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _signal: found.append(pid))
    return found


@pytest.fixture
def look(tmp_path, monkeypatch, ended) -> Callable[..., str]:
    """Run the program once; what it says, empty when it is content."""
    text = PROGRAM.read_text(encoding="utf-8")
    assert text.count('"/tmp/.vllm-nodes"') == 1
    code = compile(text.replace('"/tmp/.vllm-nodes"', repr(str(tmp_path / "mark"))), str(PROGRAM), "exec")

    def run(rank: int, port: int, api_port: int = 1, count: int = 2, shape: str = "pipeline", api=None) -> str:
        has_api = int(rank == 0 if api is None else api)
        arguments = ["-c", *map(str, (rank, count, "127.0.0.1", port, api_port, 2, shape, has_api))]
        monkeypatch.setattr(sys, "argv", arguments)
        try:
            exec(code, {"__name__": "__main__"})
        except SystemExit as end:
            return str(end.code)
        return ""

    return run


@contextlib.contextmanager
def joined(port: int, *others: str) -> Iterator[None]:
    """A rendezvous on 127.0.0.1 with connections from other addresses, each of which is a host that answers."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        for address in others:
            stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=(address, 0)))
            stack.enter_context(server.accept()[0])
        yield


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def api() -> Iterator[int]:
    """An API that is healthy."""

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_args) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_head_with_its_node(look, port, api, ended) -> None:
    """All are there, and the API answers."""
    with joined(port, "127.0.0.2"):
        assert look(0, port, api) == ""
    assert ended == []


def test_head_whose_api_is_silent(look, port) -> None:
    """What is joined is not yet healthy."""
    with joined(port, "127.0.0.2"), pytest.raises(OSError, match="refused"):
        look(0, port)


def test_before_all_have_joined_nothing_is_ended(look, port, api, ended) -> None:
    """A node that is late is waited for, however often one looks."""
    with joined(port):
        assert all("have joined yet" in look(0, port, api) for _time in range(4))
    assert ended == []


def test_third_host_counts(look, port, api) -> None:
    """Two connections of one host are one host."""
    with joined(port, "127.0.0.2", "127.0.0.2"):
        assert "have joined yet" in look(0, port, api, count=3)
    with joined(port, "127.0.0.2", "127.0.0.3"):
        assert look(0, port, api, count=3) == ""


@pytest.mark.parametrize("rank", [0, 1])
def test_lost_host_ends_the_workers_at_the_second_look(rank, look, port, api, ended) -> None:
    """One look may be bad luck; process 1 and the program itself stay."""
    with joined(port, "127.0.0.2"):
        assert look(rank, port, api) == ""
    with joined(port) if rank == 0 else contextlib.nullcontext():
        assert "missing" in look(rank, port, api)
        assert ended == []
        assert "was lost" in look(rank, port, api)
    assert ended
    assert not {1, os.getpid()} & set(ended)


def test_one_bad_look_is_forgiven(look, port, api, ended) -> None:
    """What is back counts from the beginning again."""
    for _time in range(3):
        with joined(port, "127.0.0.2"):
            assert look(0, port, api) == ""
        with joined(port):
            assert "missing" in look(0, port, api)
    assert ended == []


def test_mark_of_a_run_before_does_not_count(look, port, api, ended, tmp_path) -> None:
    """After a restart the others are waited for."""
    with joined(port, "127.0.0.2"):
        assert look(0, port, api) == ""
    (tmp_path / "mark").write_text("12345 1", encoding="ascii")
    with joined(port):
        assert "have joined yet" in look(0, port, api)
    assert ended == []


@pytest.fixture
def rendezvous(port) -> int:
    """Where replicas met when they started: closed since then, as vLLM closes it."""
    return port


@pytest.fixture
def picked() -> int:
    """A port that vLLM has picked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("rank", [0, 1])
def test_replicas_are_seen_at_ports_that_vllm_picks(rank, look, rendezvous, picked, api, ended) -> None:
    """Nobody is connected to the rendezvous after the start; a host that is lost ends the workers all the same."""
    with joined(picked, "127.0.0.2"):
        assert look(rank, rendezvous, api, shape="data") == ""
    with joined(picked) if rank == 0 else contextlib.nullcontext():
        assert "missing" in look(rank, rendezvous, api, shape="data")
        assert ended == []
        assert "was lost" in look(rank, rendezvous, api, shape="data")
    assert ended


@pytest.mark.parametrize("rank", [0, 1])
def test_clients_of_the_api_are_no_replicas(rank, look, rendezvous, picked) -> None:
    """A gateway, or a monitoring host, on one of the others."""
    with joined(picked, "127.0.0.2"):
        assert "have joined yet" in look(rank, rendezvous, picked, shape="data", api=False)


def test_whom_vllm_calls_is_no_replica(look, rendezvous, picked, api) -> None:
    """A connection that the head has opened itself, to a hub for example."""
    server = socket.create_server(("127.0.0.3", picked))
    with socket.create_connection(("127.0.0.3", picked)), server.accept()[0]:
        # the other end's port is nobody's who listens here
        server.close()
        assert "have joined yet" in look(0, rendezvous, api, shape="data")


@pytest.mark.parametrize("rank", [0, 1])
def test_connections_of_others_on_the_host_do_not_count(rank, look, rendezvous, picked, api, monkeypatch) -> None:
    """In the host's network a container sees everybody's: those of an SSH session, for example."""
    monkeypatch.setattr(os, "readlink", lambda _path: "/dev/null")
    with joined(picked, "127.0.0.2"):
        assert "have joined yet" in look(rank, rendezvous, api, shape="data")


def test_replica_with_an_api_of_its_own_is_asked(look, rendezvous, picked, api) -> None:
    """Where vLLM balances within a host only, each has to be healthy."""
    with joined(picked, "127.0.0.2"):
        assert look(1, rendezvous, api, shape="data", api=True) == ""
        with pytest.raises(OSError, match="refused"):
            look(1, rendezvous, rendezvous, shape="data", api=True)
