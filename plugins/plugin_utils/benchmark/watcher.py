# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow a benchmark to its end, and print how far it is.

``Watch`` is handed a function that asks the host, and a clock, so that it can be tried without either.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration

#: Seconds between two looks.
POLL_S = 2.0


class NotMeasured(Exception):
    """Nothing was measured; the text says why."""


class Watch:
    """One benchmark on one host."""

    def __init__(
        self,
        profile: str,
        runs: list[dict],
        ask: Callable[[str, list[str]], dict],
        is_over: Callable[[str], bool],
        lines: ProgressLines,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow the ``runs`` of ``profile``.

        Args:
            profile: its name.
            runs: see benchmark_profiles.
            ask: function of (look, start or finish; tokens of runs that are over) that returns the answer of the module
                benchmark_step.
            is_over: whether the run of a token is known to be over.
            lines: where progress goes.
            sleep: waits for so many seconds.
            clock: a clock that only goes forward, in seconds.
        """
        self._profile, self._runs, self._query, self._is_over = profile, runs, ask, is_over
        self._lines, self._sleep, self._clock = lines, sleep, clock

    def run(self) -> dict:
        """Return the last answer of the host, of ``finish``.

        Raises:
            NotMeasured: it was not begun.
        """
        answer = self._query("start", [])
        other = answer["other"]
        if answer["state"] == "other" and self._is_over(other["token"]):
            answer = self._query("start", [other["token"]])
        if answer["note"]:
            self._say(answer["note"])
        if answer["state"] == "other":
            other = answer["other"]
            raise NotMeasured(
                "A benchmark of this service runs already, of %s since %s; it was looked at %d s ago. Wait until it is "
                "over. One that nobody looks at any more ends by itself after five minutes."
                % (other["who"], other["at"], other["silent_s"])
            )
        if answer["state"] == "refused":
            raise NotMeasured(answer["problem"])
        while answer["state"] == "running":
            if answer["begun"]:
                self._show(answer)
            self._sleep(POLL_S)
            answer = self._query("inspect", [])
        lines = answer["lines"]
        answer = self._query("finish", [])
        if answer["state"] == "absent":
            raise NotMeasured("The benchmark vanished while it ran: it was removed, or the host was restarted.")
        for run in answer["result"]["runs"] if answer["begun"] else []:
            self._say(self._figures(run))
        if answer["result"]["problem"] and lines:
            self._say("the last lines of vllm bench serve:\n%s" % "\n".join("    " + line for line in lines[-12:]))
        return answer

    def _say(self, text: str) -> None:
        self._lines.say(text, self._clock())

    def _show(self, answer: dict) -> None:
        index = answer["index"]
        run = self._runs[index]
        self._lines.show(
            (index, bool(answer["x"])),
            "%s: run %d of %d (%s), " % (self._profile, index + 1, len(self._runs), run["name"])
            + ("%d of %d requests" % (answer["x"], run["num_prompts"]) if answer["x"] else "begins"),
            self._clock(),
        )

    def _figures(self, run: dict) -> str:
        head = "%s: %s: " % (self._profile, run["name"])
        if not run["completed"]:
            return head + (run["problem"] or "nothing measured")
        if run["output_tokens"] is None:
            values = (run["completed"], run["num_prompts"], duration(run["duration_s"]), run["request_throughput"],
                      run["total_token_throughput"], run["input_tokens"], run["e2el_ms"]["p50"])  # fmt: skip
            told = "%d of %d requests in %s, %.2f requests/s, %.1f tokens/s, a request of %d tokens in %.1f ms" % values
            return head + told + ("" if run["ok"] else "; " + run["problem"])
        figures = (
            "%d of %d requests in %s, %.2f requests/s, %.1f tokens/s, first token after %.1f ms, then %.1f ms a token"
        )
        values = (run["completed"], run["num_prompts"], duration(run["duration_s"]), run["request_throughput"],
                  run["output_throughput"], run["ttft_ms"]["p50"], run["tpot_ms"]["p50"])  # fmt: skip
        return head + figures % values + ("" if run["ok"] else "; " + run["problem"])
