# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that stream through a gateway without a pause, and what became of each request.

A stream that ends with ``finish_reason: abort`` counts as cut: vLLM ends so what it gives up, with [DONE] behind it.
"""

from __future__ import annotations

import collections
import dataclasses
import http.client
import json
import pathlib
import ssl
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: Keys of the scenario vllm_gateway: of three clients, and vLLM's own.
ALICE, BOB, CAROL = "PLANTED-alice-key-4f1d0c99", "PLANTED-bob-key-77aa01cc", "PLANTED-carol-key-91bb2e00"
VLLM_KEY = "PLANTED-vllm-key-2b9c71"


@dataclasses.dataclass
class Gateway:
    """Where a gateway is, and with which key it is asked."""

    address: str
    port: int = 443
    key: str = ""
    tls: bool = True

    def ask(self, method: str, path: str, body=None, key: str | None = None, timeout_s: float = 60, more=None):
        """Return status, headers and the connection's answer, which is not read yet."""
        context = ssl._create_unverified_context()
        link = (
            http.client.HTTPSConnection(self.address, self.port, timeout=timeout_s, context=context)
            if self.tls
            else http.client.HTTPConnection(self.address, self.port, timeout=timeout_s)
        )
        key = self.key if key is None else key
        headers = {
            "Content-Type": "application/json",
            **({"Authorization": "Bearer " + key} if key else {}),
            **(more or {}),
        }
        link.request(method, path, None if body is None else json.dumps(body), headers)
        return link.getresponse()

    def status(self, method: str, path: str, body=None, key: str | None = None) -> tuple[int, str]:
        """Return status and text of an answer."""
        answer = self.ask(method, path, body, key)
        return answer.status, answer.read().decode("utf-8", "replace")


class Load:
    """Clients in threads; ``outcomes`` counts ok, cut, refused and statuses, ``longest_s`` the longest request."""

    def __init__(
        self, gateway: Gateway, clients: int, tokens: int, model: str = "tiny-qwen3", once: bool = False
    ) -> None:
        self.gateway, self.tokens, self.model, self.once = gateway, tokens, model, once
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.longest_s, self.open, self.failures = 0.0, 0, []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        while True:
            begin_s = time.monotonic()
            outcome, wait_s = self._request()
            with self._lock:
                self.outcomes[outcome] += 1
                self.longest_s = max(self.longest_s, time.monotonic() - begin_s)
            time.sleep(wait_s)
            if self.once or self._stop.is_set():
                return

    def _request(self) -> tuple[str, float]:
        """Ask once; return what became of it and how long to wait."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "count"}],
            "stream": True,
            "max_tokens": self.tokens,
            "min_tokens": self.tokens,
            "ignore_eos": True,
        }
        try:
            answer = self.gateway.ask("POST", "/v1/chat/completions", body, timeout_s=300)
            if answer.status != 200:
                answer.read()
                wait_s = float(answer.headers.get("Retry-After") or -1)
                return "%d%s" % (answer.status, "" if wait_s >= 0 else " without Retry-After"), max(wait_s, 0.2)
        except (OSError, http.client.HTTPException) as error:
            self.failures.append("%s: %s" % (type(error).__name__, error))
            return "refused", 0.2
        with self._lock:
            self.open += 1
        try:
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self.failures.append("%s: %s" % (type(error).__name__, error))
            return "cut", 0.2
        finally:
            with self._lock:
                self.open -= 1
        if not text.rstrip().endswith("data: [DONE]") or '"finish_reason":"abort"' in text:
            self.failures.append(text[-300:])
            return "cut", 0.2
        return "ok", 0.0

    def wait_open(self, number: int, timeout_s: float = 60) -> None:
        """Wait until so many streams have begun."""
        end_s = time.monotonic() + timeout_s
        while self.open < number:
            assert time.monotonic() < end_s, "%d of %d streams: %s" % (self.open, number, self.outcomes)
            time.sleep(0.05)

    def end(self, timeout_s: float = 300) -> dict[str, int]:
        """Let each client end its request; return the outcomes."""
        self._stop.set()
        end_s = time.monotonic() + timeout_s
        for thread in self.threads:
            thread.join(max(0.1, end_s - time.monotonic()))
        assert not any(thread.is_alive() for thread in self.threads), "a client still waits"
        return dict(self.outcomes)
