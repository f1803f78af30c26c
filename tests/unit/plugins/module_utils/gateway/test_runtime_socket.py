# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime socket of a real HAProxy, where there is one: drain, open requests over a reload, the state file."""

from __future__ import annotations

import http.server
import pathlib
import socket
import threading
import time
import urllib.request

import installed
import pytest
from real_haproxy import PROGRAM, RealHaproxy, free_port

from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket, server_states

pytestmark = installed.needs(PROGRAM)

CONFIGURATION = """
global
  stats socket %(folder)s/admin.sock mode 600 level admin
  server-state-file %(folder)s/state
  hard-stop-after 60s
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 1s
  load-server-state-from-file global
frontend f
  bind 127.0.0.1:%(port)d
  default_backend vllm_medium
backend vllm_medium
  balance leastconn
  server node-1 127.0.0.1:%(server)d
"""


@pytest.fixture
def slow_server():
    """A server that answers after its ``hold`` is set."""
    hold = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hold.wait(20)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_args: object) -> None:
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    server.hold = hold
    yield server
    hold.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def haproxy(tmp_path: pathlib.Path, slow_server):
    """A real HAProxy before it."""
    port = free_port()
    real = RealHaproxy(tmp_path, CONFIGURATION % {"folder": tmp_path, "port": port, "server": slow_server.server_port})
    real.url = "http://127.0.0.1:%d/" % port
    yield real
    real.close()


def until(done, timeout_s: float = 10) -> None:
    """Wait for something."""
    end_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_drain_over_a_reload(haproxy, slow_server, run_module, tmp_path) -> None:
    """An open request is counted before and after a reload, waited for, and the drain outlives the reload."""
    admin, master = str(tmp_path / "admin.sock"), str(tmp_path / "master.sock")
    runtime = runtime_socket.Runtime(admin)
    answers: list[bytes] = []
    asker = threading.Thread(target=lambda: answers.append(urllib.request.urlopen(haproxy.url, timeout=30).read()))
    asker.start()
    until(lambda: runtime_socket.open_requests([runtime], "vllm_medium", "node-1") == 1)

    given = {"backend": "vllm_medium", "server": ["node-1"], "state_file": str(tmp_path / "state")}
    given.update(socket=admin, master_socket=master, timeout_s=0.5)
    first = run_module("gateway_server", state="drained", **given)
    assert (first["changed"], first["open"], first["usable"]) == (True, 1, False)

    haproxy.reload()
    until(lambda: runtime_socket.processes(master)["old"] != [])
    until((tmp_path / "admin.sock").exists)
    assert runtime_socket.servers(runtime)["vllm_medium"]["node-1"]["admin"] == "drain"
    second = run_module("gateway_server", state="drained", **given)
    assert (second["changed"], second["open"]) == (False, 1)
    info = run_module("gateway_info", socket=admin, master_socket=master)
    assert info["backends"]["vllm_medium"]["open"] == 1
    assert info["old_workers"] != []

    slow_server.hold.set()
    asker.join()
    assert answers == [b"ok"]
    third = run_module("gateway_server", state="drained", **{**given, "timeout_s": 8})
    assert third["open"] == 0
    assert run_module("gateway_server", state="ready", **given)["usable"] is True
    assert urllib.request.urlopen(haproxy.url, timeout=5).read() == b"ok"


def test_a_master_that_reloads_is_asked_again(tmp_path) -> None:
    """It drops the connection of who asks meanwhile; what changes something is not said twice."""
    path = str(tmp_path / "master.sock")
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()

        def serve() -> None:
            for answer in (b"", b"one", b""):
                link, _peer = server.accept()
                # closed with something unread, the other side sees a reset
                asked.append(link.recv(64 if answer else 1))
                link.sendall(answer) if answer else None
                link.close()

        thread = threading.Thread(target=serve)
        thread.start()
        runtime = runtime_socket.Runtime(path, timeout_s=3)
        assert runtime.ask("show proc") == "one"
        with pytest.raises(runtime_socket.GatewayError, match="Connection reset"):
            runtime.ask("reload")
        thread.join()
    assert asked == [b"s", b"show proc\n", b"r"]


def test_refusals(haproxy, tmp_path) -> None:
    """HAProxy's own words; nobody there; a state file of nothing."""
    runtime = runtime_socket.Runtime(str(tmp_path / "admin.sock"))
    with pytest.raises(runtime_socket.GatewayError, match="No such server"):
        runtime.order("set server vllm_medium/none state drain")
    with pytest.raises(runtime_socket.NotRunning):
        runtime_socket.servers(runtime_socket.Runtime(str(tmp_path / "none.sock")))
    assert server_states.save(runtime, str(tmp_path / "state")) is True
