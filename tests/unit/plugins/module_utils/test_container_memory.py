# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine says of a container's memory, asked at a real socket."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading

import pytest

from ansible_collections.myia.vllm.plugins.module_utils import container_memory

#: Memory of a container as engines tell it, cut: control groups v1, v2.
V1 = {"memory_stats": {"usage": 5000, "stats": {"total_inactive_file": 1000, "inactive_file": 7}}}
V2 = {"memory_stats": {"usage": 5000, "stats": {"inactive_file": 2000}}}


@pytest.mark.parametrize(
    ("stats", "found"),
    [
        (V1, 4000),
        (V2, 3000),
        ({"memory_stats": {"usage": 5000, "stats": {"inactive_file": 6000}}}, 5000),
        ({"memory_stats": {"usage": 5000}}, 5000),
        ({"memory_stats": {}}, None),
        ({}, None),
        ([], None),
    ],
)
def test_used(stats, found) -> None:
    """As docker stats counts it."""
    assert container_memory.used(stats) == found


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A STAND-IN for an engine on a socket; returns what it answers, as (status, body), and what it was asked."""
    answer, asked = [200, json.dumps(V2)], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1].encode())

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_args: object) -> None:
            """Stay silent."""

    server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "docker.sock"), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", "unix://%s" % (tmp_path / "docker.sock"))
    yield answer, asked
    server.shutdown()
    server.server_close()


def test_ask(engine) -> None:
    """One look is asked for."""
    _answer, asked = engine
    assert container_memory.ask("4f1d", 5) == 3000
    assert asked == ["/v1.41/containers/4f1d/stats?stream=false&one-shot=true"]


@pytest.mark.parametrize("wrong", [[404, "{}"], [200, "no JSON"], [500, ""]])
def test_no_answer_of_use(engine, wrong) -> None:
    """Then the client has to be asked."""
    engine[0][:] = wrong
    assert container_memory.ask("4f1d", 5) is None


@pytest.mark.parametrize("where", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "ssh://somewhere"])
def test_engine_elsewhere(monkeypatch, where) -> None:
    """So with an engine that is not behind a socket of this host."""
    monkeypatch.setenv("DOCKER_HOST", where)
    assert container_memory.ask("4f1d", 5) is None
