# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences, against a STAND-IN for Alertmanager's API v2."""

from __future__ import annotations

import http.server
import json
import threading
import typing

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.monitoring import silences

LABELS = {"host": "h1", "service": "medium"}


class StandIn(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted, as Alertmanager does."""

    kept: typing.ClassVar[list[dict]] = []
    headers_seen: typing.ClassVar[list[str]] = []

    def _answer(self, code: int, body: object) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self) -> None:
        """List the silences."""
        self.headers_seen.append(self.headers.get("Authorization", ""))
        self._answer(200, self.kept)

    def do_POST(self) -> None:
        """Keep one."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["endsAt"] <= body["startsAt"]:
            self._answer(400, "endsAt")
            return
        self.kept[:] = [item for item in self.kept if item["id"] != body.get("id")]
        self.kept.append({**body, "id": body.get("id") or "s%d" % len(self.kept), "status": {"state": "active"}})
        self._answer(200, {"silenceID": self.kept[-1]["id"]})

    def log_message(self, *_arguments) -> None:
        """Say nothing."""


@pytest.fixture
def manager():
    """A client of the stand-in."""
    StandIn.kept, StandIn.headers_seen = [], []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield silences.Alertmanager("http://127.0.0.1:%d/" % server.server_port, "u", "p")
    server.shutdown()


def test_one_silence_of_a_service(manager) -> None:
    """A second run gives it another end, and others' are left alone."""
    first = manager.put("myia.vllm", LABELS, "why", 60)
    assert manager.ours("myia.vllm", {"host": "h1"}) == []
    assert manager.ours("somebody", LABELS) == []
    (there,) = manager.ours("myia.vllm", LABELS)
    assert manager.put("myia.vllm", LABELS, "why", 600, there["id"]) == first
    (after,) = manager.ours("myia.vllm", LABELS)
    assert after["endsAt"] > there["endsAt"]
    StandIn.kept[0]["status"]["state"] = "expired"
    assert manager.ours("myia.vllm", LABELS) == []
    assert set(StandIn.headers_seen) == {"Basic dTpw"}


def test_one_of_several_values(manager) -> None:
    """A list is a choice, with nothing in it that a regular expression would read."""
    labels = {"scope": "gateway", "server": ["gpu.1", "gpu.1-medium"]}
    manager.put("myia.vllm", labels, "why", 60)
    assert StandIn.kept[0]["matchers"] == [
        {"name": "scope", "value": "gateway", "isRegex": False, "isEqual": True},
        {"name": "server", "value": "gpu\\.1|gpu\\.1\\-medium", "isRegex": True, "isEqual": True},
    ]
    assert len(manager.ours("myia.vllm", labels)) == 1
    assert manager.ours("myia.vllm", {**labels, "server": "gpu\\.1|gpu\\.1\\-medium"}) == []


def test_problems_are_told(manager) -> None:
    """What it refuses, and one that does not answer."""
    with pytest.raises(silences.SilenceError, match="answers 400"):
        manager.put("myia.vllm", LABELS, "why", -60)
    with pytest.raises(silences.SilenceError, match="does not answer"):
        silences.Alertmanager("http://127.0.0.1:9").ours("a", {})


def test_what_answers_is_no_alertmanager(no_http) -> None:
    """No deployment ends for it."""
    with pytest.raises(silences.SilenceError, match="does not answer"):
        silences.Alertmanager(no_http).ours("a", {})


def test_stamp() -> None:
    """As the API wants it, in UTC."""
    assert silences.stamp(1000000000.25) == "2001-09-09T01:46:40.250Z"
