# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request from the controller: whatever becomes of it is an answer."""

from __future__ import annotations

import http.server
import threading

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.updates import fetch


@pytest.fixture
def address():
    """A server that answers, refuses, and breaks an answer off."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/refused": 404}.get(self.path, 200))
            self.send_header("X-Name", "value")
            self.send_header("Content-Length", "100" if self.path == "/cut" else "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "http://127.0.0.1:%d" % server.server_port
        server.shutdown()


@pytest.mark.parametrize(("path", "status", "body"), [("/", 200, "{}"), ("/refused", 404, "{}")])
def test_answers(path, status, body, address) -> None:
    """With their headers in lower case, also of one that refuses."""
    found = fetch.fetch(address + path, {})
    assert (found[0], found[1]["x-name"], found[2]) == (status, "value", body)


def test_an_answer_that_breaks_off(address) -> None:
    """As none, with why."""
    status, headers, why = fetch.fetch(address + "/cut", {})
    assert (status, headers) == (0, {}) and why


def test_what_answers_is_no_http(no_http) -> None:
    """As none, with why."""
    assert fetch.fetch(no_http, {})[0] == 0
