# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow a download before a switch to its end: print how far it is, name what failed, try again what may pass.

``Watch`` is handed a function that asks the host, and a clock, so that it can be tried without either.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration, size
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_report
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import Catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import StartupLog

#: Seconds between two looks, before the first new attempt (each later one waits three times as long), and at most.
POLL_S, _RETRY_S, _RETRY_MAX_S = 1.5, 5.0, 120.0

#: Seconds over which the rate is taken.
_RATE_S = 30.0

#: Last sentence of every failure here.
_UNTOUCHED = "The running service was not touched."

#: The phase that a diagnosis of each step names.
PHASES = {"image": "image", "weights": "download"}

#: Ids of the catalogue for a container that somebody ended.
_KILLED = ("killed-from-outside", "interrupted-by-signal")


class PrefetchError(Exception):
    """The step failed; ``diagnosis`` is as of ``StartupLog.diagnose``, empty when nothing was diagnosed."""

    def __init__(self, lines: list[str], diagnosis: dict | None = None) -> None:
        super().__init__("\n".join([*lines, _UNTOUCHED]))
        self.diagnosis = diagnosis or {}


class _Rate:
    """Bytes a second over the last half minute."""

    def __init__(self) -> None:
        self._seen: collections.deque = collections.deque()

    def texts(self, x: int, y: int, now_s: float) -> list[str]:
        """Take a new state in and return the rate and the time that is left, as far as they are known."""
        if self._seen and x < self._seen[-1][1]:
            self._seen.clear()  # begun anew
        self._seen.append((now_s, x))
        while now_s - self._seen[0][0] > _RATE_S:
            self._seen.popleft()
        passed_s, moved = now_s - self._seen[0][0], x - self._seen[0][1]
        if passed_s <= 0 or moved <= 0:
            return []
        rate = moved / passed_s
        left = ["about %s left" % duration((y - x) / rate)] if y > x else []
        return ["%s/s" % size(rate), *left]


class Watch:
    """One step on one host."""

    def __init__(
        self,
        step: str,
        ask: Callable[[str], dict],
        lines: ProgressLines,
        catalogue: Catalogue,
        *,
        timeout_s: float,
        retries: int,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow ``step`` (image or weights).

        Args:
            step: which.
            ask: function of look, start or clean that returns the answer of the module prefetch_step.
            lines: where progress goes.
            catalogue: what failures are named by.
            timeout_s: longest time for all of it, in seconds; 0 for none.
            retries: how often in a row, without a byte more, a failure that may pass is tried again.
            sleep: waits for so many seconds.
            clock: a clock that only goes forward, in seconds.
        """
        self._step, self._query, self._lines, self._catalogue = step, ask, lines, catalogue
        self._timeout_s, self._retries, self._sleep, self._clock = timeout_s, retries, sleep, clock
        self._rate = _Rate()
        self._begun_s = clock()
        self._tries = 0
        self._most = -1
        self._first: int | None = None

    def run(self) -> dict:
        """Return the last answer of the host, complete or done, with ``seconds`` and ``diagnosis`` (of a failure that
        passed, else empty).

        Raises:
            PrefetchError: it failed, its time is over, or the lock was lost.
        """
        diagnosis: dict = {}
        answer = self._query("start")
        while answer["state"] not in ("complete", "done"):
            if answer["state"] == "lost":
                raise PrefetchError(["This run has to stop: %s." % answer["problem"]])
            if answer["state"] == "running":
                self._show(answer)
                self._check_time(answer)
                self._sleep(POLL_S)
                answer = self._query("inspect")
                continue
            diagnosis = self._diagnose(answer)
            self._wait_for_retry(answer, diagnosis)
            answer = self._query("start")
        seconds = self._clock() - self._begun_s
        if answer["state"] == "done":
            if answer["facts"]["changed"] and self._first is not None:
                # the last attempt counts only its own
                answer["facts"]["bytes"] = max(answer["facts"]["bytes"], answer["x"] - self._first)
            self._lines.say(self._ending(answer, seconds), self._clock())
        self._query("clean")
        return {**answer, "seconds": round(seconds, 1), "diagnosis": diagnosis}

    def _ending(self, answer: dict, seconds: float) -> str:
        count = answer["facts"].get("bytes", 0)
        if not count:
            return "%s: all there" % self._step
        return "%s: %s downloaded in %s" % (self._step, size(count), duration(seconds))

    def _show(self, answer: dict) -> None:
        x, y, now_s = answer["x"], answer["y"], self._clock()
        if self._first is None and y:
            self._first = x
        if x > self._most:
            self._tries = self._tries if self._most < 0 else 0
            self._most = x
        position = "%s: " % self._step
        if y:
            position += "%s of %s (%d %%)" % (size(x), size(y), 100 * x // y)
        else:
            position += size(x) if x else "begun"
        self._lines.show(self._step, position, now_s, answer["detail"], *self._rate.texts(x, y, now_s))

    def _check_time(self, answer: dict) -> None:
        if not self._timeout_s or self._clock() - self._begun_s < self._timeout_s:
            return
        self._give_up()
        there = size(answer["x"]) + (" of %s" % size(answer["y"]) if answer["y"] else "")
        raise PrefetchError(
            [
                "The %s took longer than %s (vllm_service_prefetch_timeout_s); %s were there."
                % (self._step, duration(self._timeout_s), there),
                "What is there is kept: deploy again to go on, with more time or at a better time.",
            ],
            {**self._diagnose(answer, stalled=True)},
        )

    def _give_up(self) -> None:
        if self._step == "weights":
            # its environment holds the token; a pull has none and may go on, for the next run to find it
            self._query("clean")

    def _diagnose(self, answer: dict, stalled: bool = False) -> dict:
        log = StartupLog(self._catalogue)
        text = "\n".join(answer["log"]) + "\n"
        if answer["state"] == "absent":
            text = "It vanished while it ran: somebody removed it, or the host was restarted.\n"
        evidence: dict = {"stalled": True} if stalled else {"docker_error": text}
        if self._step == "weights" and answer["exit_code"] is not None:
            log.feed(text)
            log.close()
            evidence = {"exit_code": answer["exit_code"]}
        found = log.diagnose(evidence)
        if found["id"] == "unknown" and (answer["state"] == "absent" or answer["exit_code"] is None) and not stalled:
            found["class"] = "transient"
        if self._step == "weights" and found["id"] in _KILLED:
            # their texts are about vLLM
            found["cause"] = "The container that downloads was killed."
        return {**found, "phase": PHASES[self._step]}

    def _wait_for_retry(self, answer: dict, diagnosis: dict) -> None:
        """Wait before the next attempt, or raise when there is none."""
        allowed = {"transient": self._retries, "once": min(1, self._retries)}.get(diagnosis["class"], 0)
        if self._tries >= allowed:
            self._query("clean")
            tried = ["It was tried %d times." % (self._tries + 1)] if self._tries else []
            raise PrefetchError([*failure_report.lines(diagnosis), *tried], diagnosis)
        wait_s = min(_RETRY_S * 3**self._tries, _RETRY_MAX_S)
        self._tries += 1
        self._lines.say(
            "%s: %s" % (self._step, diagnosis["cause"]),
            self._clock(),
            diagnosis["evidence"][0] if diagnosis["evidence"] else "",
            "attempt %d of %d in %s" % (self._tries + 1, allowed + 1, duration(wait_s)),
        )
        self._sleep(wait_s)
        self._check_time(answer)


def facts(step: str, answer: dict) -> dict:
    """Return what a task returns of a step that is over; ``bytes`` are those downloaded now."""
    found = answer["facts"]
    about = {"models": found["models"]} if step == "weights" else {"name": found["image"], "id": found["id"]}
    return {
        "changed": found["changed"],
        "step": step,
        step: about,
        "bytes": found["bytes"],
        "seconds": answer["seconds"],
        "warnings": [redact(text) for text in found.get("warnings", [])],
        "diagnosis": answer["diagnosis"],
    }
