# SPDX-License-Identifier: GPL-3.0-or-later
"""Say from the log of a start whether it failed, of what, and how far it came.

``classify`` judges a whole text, ``StartupLog`` one that still grows. Each line goes one way: ``log_lines`` cut it out,
``phases`` see how far the start is, ``matches`` collect what may be a cause; ``first_cause`` chooses, and ``diagnosis``
words the answer. Docker's own error text is evidence like a line.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import diagnosis, first_cause
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import Catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line, LineReader
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.matches import Matches
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES, Phases

#: A start that waits in the phase distributed for this long hangs, in seconds; vLLM itself reports every 60.
_HANG_S = 180

#: Failed runs of one container after which a log that is handed in whole, and a watch, call it a loop.
LOOP = 3

#: The last line of a log that was kept of a failed start: module_utils/docker/container_log.py.
_SAW = re.compile(r"myia\.vllm saw: (.+)")

_WAITING = re.compile(r"No available shared memory broadcast block found in (\d+) second")
_NEW_START = re.compile(r"vLLM API server version|non-default args:")


class StartupLog:
    """Follow the log of one container as it grows."""

    def __init__(self, catalogue: Catalogue, secrets: Iterable[str] = ()) -> None:
        """Compare with ``catalogue``; ``secrets`` are values that must not appear in evidence."""
        self._catalogue = catalogue
        self._secrets = tuple(secrets)
        self._reader = LineReader()
        self._clock = ""
        self.lines = 0
        self.previous: dict | None = None
        self._failed_runs = 0
        self._begin()

    def _begin(self) -> None:
        """Forget what an earlier start of the same container said."""
        self.phases = Phases()
        self._matches = Matches(self._catalogue, self.phases)
        self._early = True
        self._vllm_spoke = False
        self._waited_s = 0
        self._saw: dict = {}

    def feed(self, text: str, now_s: float | None = None) -> dict:
        """Take more of the log in and return ``progress()``.

        Args:
            text: what came since the last call, cut anywhere.
            now_s: the watcher's clock in seconds; not needed for a log with Docker's or vLLM's time stamps.
        """
        for line in self._reader.feed(text):
            self._line(line, now_s)
        return self.progress()

    def close(self) -> None:
        """Say that nothing more will come."""
        for line in self._reader.close():
            self._line(line, None)

    def begin_again(self) -> None:
        """Say that the same container was started anew; what the log said of a failure is kept as ``previous``."""
        found = self.diagnose()
        if found["outcome"] == "failed":
            self.previous = found
            self._failed_runs += 1
        elif found["outcome"] != "starting":
            self._failed_runs = 0
        self._begin()

    def progress(self) -> dict:
        """Return ``{phase, x, y, percent, detail, elapsed_s, phase_s}``; None for what is not known."""
        return self.phases.progress()

    def diagnose(self, evidence: dict | None = None) -> dict:
        """Return ``{outcome, id, ref, cause, fix, class, evidence, phase, numbers, at_s, certain, also}``.

        Args:
            evidence: what is known besides the log, each key may be missing: ``exit_code``, ``oom_killed``, ``state``
                (Docker's), ``docker_error`` (text), ``stalled`` (a time limit ran out).

        Returns:
            ``outcome`` is failed, healthy or starting; ``id`` is empty unless it failed, unknown when no entry knows
            the failure; ``evidence`` holds the lines that show it; ``numbers`` what the lines say in numbers;
            ``at_s`` the time of the line that shows it by the log's clock, None without one;
            ``certain`` is false while a line that is still to come may name the failure better; ``also`` the ids of
            other entries that were found.
        """
        told = {key: value for key, value in (evidence or {}).items() if value is not None and value is not False}
        known = {**self._saw, **told}
        for line in str(known.get("docker_error") or "").splitlines():
            self._line(Line(line, process="docker"), None)
        waits = self._waited_s >= _HANG_S and self.phases.phase in ("engine", "distributed")
        cause = first_cause.find(self._matches, known, hangs=waits or bool(known.get("stalled")))
        return diagnosis.worded(cause, self._matches, known, self._secrets)

    def settled(self, evidence: dict | None = None) -> dict:
        """Return ``diagnose()`` of a log that is handed in whole.

        A container that failed again and again failed, however far its newest run has come.
        """
        found = self.diagnose(evidence)
        loops = self.previous and self._failed_runs >= LOOP
        return self.previous if loops and found["outcome"] == "starting" else found

    def _line(self, line: Line, now_s: float | None) -> None:
        self.lines += 1
        saw = _SAW.fullmatch(line.text)
        if saw:
            self._saw = _seen(saw[1])
            return
        if line.level in ("INFO", "") and _NEW_START.search(line.text):
            if self._matches.ready or (self._matches.failing and (self._vllm_spoke or not self._early)):
                self.begin_again()
            # what comes before the banner is of the same start: libraries speak while they are imported
            self._early = self._matches.failing
        # the lines around the banner are INFO
        self._vllm_spoke = self._vllm_spoke or bool(line.process and line.level != "INFO")
        self.phases.tick(self._time(line, now_s))
        if self.phases.see(line):
            self._waited_s = 0
            if PHASES.index(self.phases.phase) >= PHASES.index("distributed"):
                self._matches.went_on()
        if not self._matches.ready and self.phases.phase == "serving":
            self._matches.became_ready()
        waiting = _WAITING.search(line.text)
        self._waited_s += int(waiting[1]) if waiting else 0
        self._matches.take(line)

    def _time(self, line: Line, now_s: float | None) -> float | None:
        """Return the time of a line by one and the same clock: Docker's, else the watcher's, else vLLM's."""
        if not self._clock:
            self._clock = (
                "time_s" if line.time_s is not None
                else "now" if now_s is not None
                else "log_time_s" if line.log_time_s is not None
                else ""
            )  # fmt: skip
        return now_s if self._clock == "now" else getattr(line, self._clock) if self._clock else None


def _seen(text: str) -> dict:
    """Return as evidence what was known beside a log that was kept."""
    code = re.search(r"exit code (-?\d+)", text)
    seen: dict = {"state": "exited"} if "exit code" in text else {}
    seen.update({"exit_code": int(code[1])} if code else {})
    if "OOMKilled" in text:
        seen.update(oom_killed=True, state="exited")
    return {**seen, "stalled": True} if "time limit" in text else seen


def classify(log: str | Iterable[str], catalogue: Catalogue, evidence: dict | None = None, secrets=()) -> dict:
    """Return the diagnosis of a whole log; see ``StartupLog.diagnose``.

    Args:
        log: the text, or pieces of it cut anywhere (for a file too large for memory).
        catalogue: of ``failure_catalogue.load``.
        evidence: see ``StartupLog.diagnose``.
        secrets: values that must not appear in the answer.
    """
    reader = StartupLog(catalogue, secrets)
    for piece in [log] if isinstance(log, str) else log:
        reader.feed(piece)
    reader.close()
    return reader.settled(evidence)
