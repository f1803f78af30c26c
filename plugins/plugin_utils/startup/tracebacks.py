# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the first few tracebacks of a start, of each process its own, and the text of the exception that comes in.

Memory is bounded: of each traceback the place where it ended and the first lines of its exception are kept.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES, Phases

#: Lines after an exception that may still belong to its text (people paste logs wrapped over up to eight lines).
PARAGRAPH = 8

#: Tracebacks kept, and lines kept of an exception's text.
TRACEBACKS, EXCEPTION_LINES = 4, 6

_HEADER = "Traceback (most recent call last)"
_CHAINED = re.compile(r"^\s*(The above exception was the direct cause|During handling of the above exception)")
_FRAME = re.compile(r'^\s*File "[^"]+", line \d+(?:, in (\w+))?')
_EXCEPTION = re.compile(
    r"^\s*(?:[`*>#]+\s*)?(?:(?:\w+\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception|Failed|Interrupt|Timeout|Exit)|nccl\w+Error)"
    r"(?:\(\w+\))?(?::|$)"
)
_RAISE = re.compile(r"^\s*raise\b")
#: What a function in a traceback says of the phase, where the log's own lines may be missing: vllm v1/worker.
_FUNCTION_PHASES = {
    "init_device": "distributed",
    "init_worker_distributed_environment": "distributed",
    "load_model": "load",
    "profile_run": "memory",
    "determine_available_memory": "memory",
    "determine_num_available_blocks": "memory",
    "_initialize_kv_caches": "memory",
    "capture_model": "graphs",
    "capture_begin": "graphs",
    "capture_end": "graphs",
}
_PARAGRAPH_START = re.compile(
    r"(?:^|[\s`*\"'(])(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception)\b:?|Value error,|error:|"
    r"Error response from daemon|^docker:"
)


def is_frame(text: str) -> bool:
    """Tell whether a line is a place in a traceback."""
    return bool(_FRAME.match(text))


@dataclasses.dataclass
class Paragraph:
    """The text of one exception as it comes in, which a terminal or a collector may have wrapped."""

    process: str
    lines: list[str]

    def grown(self, line: Line) -> Paragraph:
        """Return the paragraph that a line belongs to: this one, longer, or one that it begins."""
        text = line.text.strip()
        if _PARAGRAPH_START.search(text) or self.process != line.process:
            return Paragraph(line.process, [text])
        if len(self.lines) <= PARAGRAPH and text and _HEADER not in text:
            self.lines.append(text)
        return self


@dataclasses.dataclass
class Traceback:
    """One traceback, or an exception without one.

    ``entered`` is the phase of the log when it began, ``phase`` what its frames say; ``chain`` numbers tracebacks that
    caused each other.
    """

    process: str
    number: int
    level: str
    phase: int
    entered: int
    at_s: float | None
    where: str = ""
    lines: list[str] = dataclasses.field(default_factory=list)
    open: bool = True
    known: bool = False
    chain: int = 0


class Tracebacks:
    """The first few tracebacks of a start."""

    def __init__(self, phases: Phases) -> None:
        """Take the phase and the time of each from ``phases`` of the same start."""
        self._phases = phases
        self._chain = 0
        self._chained = False
        self.kept: list[Traceback] = []

    def take(self, line: Line, number: int, harmless: bool) -> None:
        """Take in a line that is no ordinary message.

        Args:
            line: of ``log_lines``.
            number: its place in the log.
            harmless: whether the catalogue knows it as something that a start goes on after.
        """
        text = line.text
        current = self.of(line.process)
        if _HEADER in text:
            if current:
                current.open = False
            self._begin(line, number)
        elif _CHAINED.match(text):
            self._chained = True
            if current:
                current.open = False
        elif current and not current.lines and _FRAME.match(text):
            current.where = text.strip()
            phase = _FUNCTION_PHASES.get(_FRAME.match(text)[1])
            # compiling is a part of profiling
            if phase and (PHASES[current.entered], phase) != ("compile", "memory"):
                current.phase = PHASES.index(phase)
        elif _EXCEPTION.match(text):
            if current is None or current.lines:
                if current:
                    current.open = False
                current = self._begin(line, number)
            if current:
                current.lines.append(text.strip())
                current.known = current.known or harmless
        elif current and current.lines and line.level == current.level and text.strip():
            current.lines.append(text.strip())
            current.open = len(current.lines) < EXCEPTION_LINES

    def _begin(self, line: Line, number: int) -> Traceback | None:
        if not self._chained:
            self._chain += 1
        self._chained = False
        if len(self.kept) >= TRACEBACKS:
            return None
        phase = PHASES.index(self._phases.phase)
        traceback = Traceback(line.process, number, line.level, phase, phase, self._phases.now_s, chain=self._chain)
        self.kept.append(traceback)
        return traceback

    def of(self, process: str) -> Traceback | None:
        """Return the traceback that a process still writes; None without one."""
        return next((t for t in reversed(self.kept) if t.open and t.process == process), None)

    def shows_source(self, line: Line) -> bool:
        """Tell whether a line is among frames, which show source text that may hold any message."""
        current = self.of(line.process)
        return bool((current and not current.lines) or _RAISE.match(line.text))

    def explain(self, process: str) -> None:
        """Say that an entry of the catalogue knows what a process writes right now."""
        for traceback in self.kept:
            traceback.known = traceback.known or (traceback.process == process and traceback.open)

    def chain(self, traceback: Traceback) -> list[Traceback]:
        """Return the tracebacks that caused each other, of which this is one."""
        return [other for other in self.kept if other.chain == traceback.chain]

    def last_lines(self, traceback: Traceback) -> list[str]:
        """Return where the first traceback of a chain ended and what it said, and what the chain ended with."""
        chain = [other for other in self.chain(traceback) if other.lines]
        process = "(%s) " % traceback.process if traceback.process else ""
        lines = [process + traceback.where] if traceback.where else []
        lines += [process + text for text in traceback.lines]
        if chain[-1] is not traceback:
            lines.append(process + chain[-1].lines[0])
        return lines
