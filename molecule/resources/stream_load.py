# SPDX-License-Identifier: GPL-3.0-or-later
"""A constant load of streamed requests, that tells what became of each of them.

Usage: ``python stream_load.py URL MODEL [--streams N] [--tokens N] [--seconds S] [--key KEY]``; it prints a summary.

It counts what other load tools take for success: a stream that ends with ``finish_reason`` ``abort`` and ``[DONE]``,
which is what a vLLM sends that was stopped, counts as cut. An answer 503 with Retry-After is obeyed, as clients do, and
counted; the request fails only when its patience is over.

Python standard library only.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import statistics
import threading
import time
import urllib.parse

#: Longest time for a request with all that it was told to wait, in seconds; the default of the openai client.
PATIENCE_S = 600.0


@dataclasses.dataclass
class Request:
    """What became of one request."""

    begin_s: float
    end_s: float
    outcome: str  # ok, failed or cut
    why: str
    told_to_wait: int
    first_token_s: float | None
    tokens: int

    @property
    def took_s(self) -> float:
        """From the first attempt to the end."""
        return self.end_s - self.begin_s


class Load:
    """Keeps ``streams`` requests open until it is stopped, each ``pause_s`` after the one before it."""

    def __init__(
        self, url: str, model: str, streams: int = 4, tokens: int = 40, key: str = "", pause_s: float = 0.0
    ) -> None:
        self.url, self.model, self.tokens, self.key = urllib.parse.urlsplit(url), model, tokens, key
        # hosts, load and controller may share processors: what takes all of them measures that alone
        self.pause_s = pause_s
        self.requests: list[Request] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(streams)]

    def __enter__(self) -> Load:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Begin no more requests, and wait for those that are open."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            self.requests.append(self._one("Request %d of stream %d: count from one to a hundred." % (count, number)))
            self._stop.wait(self.pause_s)

    def _one(self, prompt: str) -> Request:
        body = json.dumps(
            {"model": self.model, "prompt": prompt, "max_tokens": self.tokens, "ignore_eos": True, "stream": True}
        )
        request = Request(time.time(), 0.0, "failed", "", 0, None, 0)
        while True:
            wait_s = self._attempt(body, request)
            request.end_s = time.time()
            if wait_s is None or request.took_s + wait_s > PATIENCE_S:
                return request
            request.told_to_wait += 1
            # not for the end of the load: who was told to wait has to be served
            time.sleep(wait_s)

    def _attempt(self, body: str, request: Request) -> float | None:
        """Send it once; return how long to wait for the next attempt, None for no other."""
        headers = {"Content-Type": "application/json", "Connection": "close"}
        headers |= {"Authorization": "Bearer " + self.key} if self.key else {}
        connection = http.client.HTTPConnection(self.url.hostname or "", self.url.port or 80, timeout=PATIENCE_S)
        begun = False
        try:
            connection.request("POST", "/v1/completions", body, headers)
            answer = connection.getresponse()
            if answer.status != 200:
                text = answer.read().decode("utf-8", "replace")[:200]
                request.outcome, request.why = "failed", "%d %s" % (answer.status, text)
                after = answer.headers.get("Retry-After", "")
                return float(after) if answer.status == 503 and after.isdigit() else None
            begun = True
            request.outcome, request.why = self._read(answer, request)
        except (OSError, http.client.HTTPException) as error:
            request.outcome, request.why = "cut" if begun else "failed", repr(error)[:200]
        finally:
            connection.close()
        return None

    def _read(self, answer: http.client.HTTPResponse, request: Request) -> tuple[str, str]:
        """Read a stream to its end; return its outcome and why it is none that counts."""
        reason, done, request.tokens = None, False, 0
        for line in answer:
            text = line.decode("utf-8", "replace").strip()
            if text == "data: [DONE]":
                done = True
                continue
            if not text.startswith("data: "):
                continue
            event = json.loads(text[6:])
            if "error" in event:
                return "cut", "an error in the stream: %s" % json.dumps(event["error"])[:200]
            for choice in event.get("choices") or []:
                if request.first_token_s is None:
                    request.first_token_s = time.time() - request.begin_s
                request.tokens += 1
                reason = choice.get("finish_reason") or reason
        if not done:
            return "cut", "no [DONE] after %d events" % request.tokens
        if reason != "length":
            return "cut", "finish_reason %s after %d events" % (reason, request.tokens)
        return "ok", ""

    def wait_for(self, count: int, timeout_s: float = 120.0) -> None:
        """Wait until so many requests more have ended; raises TimeoutError when they do not."""
        wanted, until = len(self.requests) + count, time.monotonic() + timeout_s
        while len(self.requests) < wanted:
            if time.monotonic() > until:
                raise TimeoutError("%d of %d requests in %g s" % (len(self.requests), wanted, timeout_s))
            time.sleep(0.1)

    def summary(self, since_s: float = 0.0, until_s: float = float("inf")) -> dict:
        """Return counts, and percentiles in seconds of the good ones, of the requests that began in a span of time."""
        own = [item for item in list(self.requests) if since_s <= item.begin_s < until_s]
        good = sorted(item.took_s for item in own if item.outcome == "ok")
        return {
            "requests": len(own),
            **{name: sum(item.outcome == name for item in own) for name in ("ok", "failed", "cut")},
            "told_to_wait": sum(item.told_to_wait > 0 for item in own),
            "p50_s": round(statistics.median(good), 3) if good else None,
            "p99_s": round(good[min(len(good) - 1, len(good) * 99 // 100)], 3) if good else None,
            "longest_s": round(good[-1], 3) if good else None,
            "why": sorted({item.why for item in own if item.outcome != "ok"})[:5],
        }


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--key", default="")
    parser.add_argument("--pause-s", type=float, default=0.0)
    args = parser.parse_args()
    with Load(args.url, args.model, args.streams, args.tokens, args.key, args.pause_s) as load:
        time.sleep(args.seconds)
    print(json.dumps(load.summary(), indent=2))


if __name__ == "__main__":
    main()
