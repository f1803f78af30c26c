# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a real server on loopback, among them some that misbehave."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import service_http


@pytest.fixture
def server():
    """Return the address of a server that answers by the path, and what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, self.headers.get("Authorization"), body))
            self.send_response(int(self.path[1:4]))
            self.send_header("Content-Length", "9" if self.path.endswith("?cut") else "5")
            self.end_headers()
            self.wfile.write(b"hello")

        do_POST = do_GET

        def log_message(self, *_args: object) -> None:
            """Stay silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "http://127.0.0.1:%d" % server.server_port, asked
    server.shutdown()
    server.server_close()


def test_get(server, monkeypatch) -> None:
    """No proxy of the environment is asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    url, asked = server
    assert service_http.query(url + "/200?a=b", 5, headers={"Authorization": "Bearer x"}) == (200, b"hello", "")
    assert asked == [("GET", "/200?a=b", "Bearer x", b"")]


def test_post(server) -> None:
    """A body is sent."""
    url, asked = server
    assert service_http.query(url + "/200", 5, b"{}")[0] == 200
    assert asked[0][0::3] == ("POST", b"{}")


def test_tls(tls_server) -> None:
    """A certificate of nobody known is taken, since what answers is this host's own; plain HTTP is not."""
    assert service_http.query("https://127.0.0.1:%d/health" % tls_server, 5) == (200, b"ok", "")
    assert service_http.query("http://127.0.0.1:%d/health" % tls_server, 5)[0] != 200


def test_refused(server) -> None:
    """A refusal has its answer."""
    assert service_http.query(server[0] + "/503", 5) == (503, b"hello", "HTTP 503 Service Unavailable")


def test_most_bytes(server) -> None:
    """No more is read than wanted."""
    assert service_http.query(server[0] + "/200", 5, most_bytes=2)[1] == b"he"


def test_broken_off(server) -> None:
    """Half an answer is none."""
    status, text, wrong = service_http.query(server[0] + "/200?cut", 5)
    assert (status, text) == (0, b"")
    assert wrong.startswith("the answer broke off: IncompleteRead")


def test_silence() -> None:
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "http://127.0.0.1:%d/health" % silent.getsockname()[1]
        assert service_http.query(url, 0.2) == (0, b"", "no answer from %s: timed out" % url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/health", "http://", "http://127.0.0.1:nothing/", "http://[::1]:1/"]
)
def test_nobody(url) -> None:
    """Nothing listens, or the address is none."""
    status, _text, wrong = service_http.query(url, 1)
    assert status == 0
    assert wrong.startswith("no answer from " + url)


@pytest.mark.parametrize(
    ("url", "answer", "asked"),
    [
        ("http://127.0.0.1:5002/health", (0, "172.18.0.2 \n", ""), "http://127.0.0.1:5002/health"),
        ("http://My-LLM:8000/health", (0, "172.18.0.2 10.0.0.9 \n", ""), "http://172.18.0.2:8000/health"),
        ("http://My-LLM:8000/health", (0, "\n", ""), "http://0.0.0.0:0/health"),
        ("http://My-LLM:8000/health", (1, "", "No such container"), "http://0.0.0.0:0/health"),
    ],
    ids=["published", "not-published", "stopped", "gone"],
)
def test_seen_from_host(url, answer, asked) -> None:
    """Only a service without a port on the host is looked for at its container's address."""
    commands = []
    found = service_http.seen_from_host(url, "My-LLM", lambda argv: commands.append(argv) or answer)
    assert found == asked
    assert [argv[-1] for argv in commands] == ([] if url == asked else ["My-LLM"])


def test_a_stopped_container_answers_nothing() -> None:
    """What stands in for its address is nobody's."""
    url = service_http.seen_from_host("http://c:80/", "c", lambda _argv: (1, "", ""))
    assert service_http.query(url, 1)[0] == 0
