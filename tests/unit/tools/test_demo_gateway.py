# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo-gateway`` before a STAND-IN of the demo's vLLM: the real HAProxy, as the role configures it."""

from __future__ import annotations

import http.server
import json
import pathlib
import subprocess
import sys
import threading

import installed
from real_haproxy import PROGRAM, free_port

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers as vLLM without a key does, as far as the demo asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The models, and the check."""
        self._reply({"data": [{"id": "tiny-qwen3"}]})

    def do_POST(self) -> None:
        """An answer to anything."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply({"choices": [{"message": {"content": "Paris."}}], "usage": {"prompt_tokens": 7}})

    def _reply(self, value: dict) -> None:
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


def demo(port: int, *words: str) -> subprocess.CompletedProcess:
    """Run the script to its end."""
    command = [sys.executable, str(ROOT / "tools" / "demo_gateway.py"), "--address", "127.0.0.1:%d" % port, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@installed.needs(PROGRAM)
def test_what_a_client_sees(tmp_path) -> None:
    """An answer with a key, and each refusal with its reason; keys and maps do not stay."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = ("--folder", str(tmp_path / "demo"), "--once", "--port", str(free_port()))
        done = demo(server.server_port, *words)
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for words in (
        "the key demo: What is the capital of France? 200 Paris.",
        "without a key 401 ",
        "which is not offered 403 ",
        "a model that nobody serves 404 ",
        "question 4 in a minute 429 ",
    ):
        assert [line for line in lines if words in line], (words, done.stdout)
    (limited,) = [line for line in lines if " 429 " in line]
    assert limited.rpartition("Retry-After: ")[2].isdigit()
    assert not (tmp_path / "demo" / "vllm").exists()
    (told,) = [line.split("'")[1] for line in lines if line.startswith("curl --cacert")]
    logged = (tmp_path / "demo" / "haproxy.log").read_text(encoding="utf-8")
    assert '"key":"guest"' in logged
    assert told.rpartition(" ")[2] not in logged


def test_without_a_service() -> None:
    """It says what to do first."""
    done = demo(free_port())
    assert done.returncode == 1
    assert "Run make demo first" in done.stderr
