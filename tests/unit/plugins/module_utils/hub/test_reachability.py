# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking side by side, registries by name, and the clock."""

from __future__ import annotations

import email.utils
import http.server
import threading
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.hub import reachability


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("vllm/vllm-openai:v0.32.0", "registry-1.docker.io"),
        ("debian", "registry-1.docker.io"),
        ("docker.io/vllm/vllm-openai", "registry-1.docker.io"),
        ("ghcr.io/a/b:1", "ghcr.io"),
        ("localhost/a:1", "localhost"),
        ("host:5000/a/b@sha256:0", "host:5000"),
        ("myia-vllm-cpu:0.32.0", "registry-1.docker.io"),
    ],
)
def test_registry_of(image, registry) -> None:
    """As Docker reads an image's name."""
    assert reachability.registry_of(image) == registry


@pytest.mark.parametrize(("status", "ok"), [(200, True), (401, True), (403, False), (404, False), (503, False)])
def test_ask_registry(status, ok) -> None:
    """200 and 401 are a registry's answers; the date of each tells about the clock."""

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/v2/" else 500)
            self.end_headers()

        def log_message(self, *_args) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    skews = []
    answer = reachability.query_registry("127.0.0.1:%d" % server.server_port, skews.append)
    server.shutdown()
    assert answer == {"registry": "127.0.0.1:%d" % server.server_port, "ok": ok, "text": "HTTP %d" % status}
    assert abs(skews[0]) < 5


@pytest.mark.parametrize("registry", ["127.0.0.1:9", "localhost:9", "192.0.2.1.invalid"])
def test_registry_that_is_not_there(registry) -> None:
    """Why it does not answer is said."""
    answer = reachability.query_registry(registry, lambda _skew: None, 0.5)
    assert answer["ok"] is False
    assert answer["text"]


def test_side_by_side(monkeypatch) -> None:
    """What is late or fails is missing, the rest is there, and nobody waits beyond the deadline."""
    monkeypatch.setattr(reachability, "DEADLINE_S", 0.5)
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    start = time.monotonic()
    started = reachability.start(
        {"a": lambda: time.sleep(0.3) or 1, "b": lambda: time.sleep(0.3) or 2, "late": lambda: time.sleep(2),
         "broken": lambda: 1 // 0}
    )  # fmt: skip
    assert reachability.collect(started) == {"a": 1, "b": 2}
    assert time.monotonic() - start < 0.9


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": ""}, {"Date": None}])
def test_no_date(headers) -> None:
    """An answer without a usable date tells nothing."""
    assert reachability.skew_s({"Date": None, **headers}) is None


def test_skew() -> None:
    """Positive when this host is ahead."""
    assert 99 < reachability.skew_s({"Date": email.utils.formatdate(time.time() - 100, usegmt=True)}) < 102
