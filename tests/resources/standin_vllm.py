# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for vLLM's API server: it streams, and tells which host answered and with which headers it was asked."""

from __future__ import annotations

import http.server
import json
import threading
import time


class StandinVllm:
    """Listens on a port of its own; ``healthy``, ``gap_s`` and ``key`` are changed by tests while it runs.

    Without a key it takes every one; as of vLLM, it guards what is below /v1.
    """

    def __init__(self, name: str) -> None:
        self.name, self.healthy, self.gap_s, self.chunks, self.frozen = name, True, 0.02, 5, False
        self.seen: list[dict] = []
        self.key = ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self) -> None:
                if self.is_refused():
                    return
                self.reply(200 if outer.healthy else 503, {"ok": outer.healthy})

            def is_refused(self) -> bool:
                given = self.headers.get("Authorization")
                if not outer.key or not self.path.startswith("/v1/") or given == "Bearer " + outer.key:
                    return False
                self.reply(401, {"error": "Unauthorized"})
                return True

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding"):
                    body = b""
                    while True:
                        size = int(self.rfile.readline(), 16)
                        body += self.rfile.read(size)
                        self.rfile.readline()
                        if not size:
                            break
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.is_refused():
                    return
                asked = json.loads(body)
                while outer.frozen:
                    time.sleep(0.1)
                outer.seen.append({"path": self.path, "headers": dict(self.headers), "size": len(body)})
                usage = {"prompt_tokens": 7, "completion_tokens": outer.chunks, "total_tokens": 7 + outer.chunks}
                if not asked.get("stream"):
                    time.sleep(outer.gap_s)
                    self.reply(200, {"model": asked["model"], "host": outer.name, "usage": usage})
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for number in range(outer.chunks):
                    self.chunk({"host": outer.name, "n": number})
                    time.sleep(outer.gap_s)
                self.chunk({"usage": usage})
                self.chunk("[DONE]")
                self.wfile.write(b"0\r\n\r\n")

            def chunk(self, value: object) -> None:
                text = b"data: %s\n\n" % (value if isinstance(value, str) else json.dumps(value)).encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
                self.wfile.flush()

            def reply(self, status: int, value: dict) -> None:
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_args: object) -> None:
                """Stay silent."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_args: object) -> None:
                """A client that goes away is no error of the test."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
