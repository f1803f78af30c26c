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
    r"^\s*(?:[`*>#]+\s*)?(?:(?:\w+\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception|Failed|Interrupt|Timeout|Exit)|nccl\w+Error|Exception)"
    r"(?:\(\w+\))?(?::|$)"
)
_RAISE = re.compile(r"^\s*raise\b")
#: What a shell, or Python's fault handler, says of a process that is gone: no traceback goes on after it.
_GONE = re.compile(
    r"^\s*(?:Killed|Terminated|Aborted|Segmentation fault|Bus error|Fatal Python error:.*)(?: \(core dumped\))?\s*$"
)
#: Under a line of code: marks, and lines that Python 3.13 leaves out.
_MARKS = re.compile(r"^\s*(?:[~^]+[~^ ]*|\.\.\.<\d+ lines>\.\.\.)\s*$")
#: Lines of its process that say something else, after which a traceback without an exception was cut off: threads of
#: one process write in turns, but not for long.
_OTHERS = 6
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
    caused each other. ``indent`` is how far its head is indented, ``flat`` says that a collector cut its indentation
    off, ``code_next`` that a line of code is due; ``doubtful``: what ended it does not look like an exception;
    ``others`` counts what its process said in between; ``gone``: its process was killed in the middle of it.
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
    indent: int = 0
    flat: bool = False
    code_next: bool = False
    doubtful: bool = False
    others: int = 0
    gone: bool = False

    @property
    def pending(self) -> bool:
        """Whether its exception is still to come."""
        return self.open and not self.lines


class Tracebacks:
    """The first few tracebacks of a start."""

    def __init__(self, phases: Phases) -> None:
        """Take the phase and the time of each from ``phases`` of the same start."""
        self._phases = phases
        self._chain = 0
        self._chained = False
        self._touched: Traceback | None = None
        self.kept: list[Traceback] = []

    def take(self, line: Line, number: int, harmless: bool) -> bool:
        """Take in a line that is no ordinary message; return whether it is a place or code, which may hold any message.

        Args:
            line: of ``log_lines``.
            number: its place in the log.
            harmless: whether the catalogue knows it as something that a start goes on after.
        """
        text = line.text
        current = self.of(line.process)
        self._touched = None
        if _HEADER in text:
            if current:
                current.open = False
            self._begin(line, number)
        elif _CHAINED.match(text):
            self._chained = True
            if current:
                current.open = False
        elif _GONE.match(text):
            for traceback in self.kept:
                traceback.gone = traceback.gone or traceback.pending
                traceback.open = False
        elif current and (current.pending or (current.doubtful and _FRAME.match(text))):
            return self._inside(current, line, harmless)
        elif _EXCEPTION.match(text):
            if current:
                current.open = False
            self._ends(self._begin(line, number), text, harmless)
        elif current and line.level == current.level and text.strip():
            current.lines.append(text.strip())
            current.open = len(current.lines) < EXCEPTION_LINES
            self._touched = current
        return bool(_RAISE.match(text))

    def _inside(self, current: Traceback, line: Line, harmless: bool) -> bool:
        """Take in a line of a traceback whose exception is still to come; return whether it is a place or code."""
        text, frame = line.text, _FRAME.match(line.text)
        indent = len(text) - len(text.lstrip())
        if frame:
            current.lines, current.doubtful, current.others = [], False, 0
            current.where, current.code_next = text.strip(), True
            current.flat = indent <= current.indent
            phase = _FUNCTION_PHASES.get(frame[1])
            # compiling is a part of profiling
            if phase and (PHASES[current.entered], phase) != ("compile", "memory"):
                current.phase = PHASES.index(phase)
            return True
        due, current.code_next = current.code_next, False
        if not text.strip():
            return False
        if _MARKS.match(text) or (indent > current.indent and not current.flat) or (due and current.flat):
            return True
        if _EXCEPTION.match(text):
            self._ends(current, text, harmless)
        elif current.where and not current.flat and not _RAISE.match(text):
            # an exception has no indentation, whatever its name is; a terminal that wraps long lines does that too
            self._ends(current, text, harmless)
            current.doubtful = True
        else:
            self.other(line)
        return bool(_RAISE.match(text))

    def _ends(self, traceback: Traceback | None, text: str, harmless: bool) -> None:
        """Take in the first line of an exception."""
        self._touched = traceback
        if traceback:
            traceback.lines.append(text.strip())
            traceback.known = traceback.known or harmless

    def other(self, line: Line) -> None:
        """Take in that a process said something that belongs to no traceback: one that it left open was cut off."""
        current = self.of(line.process)
        if current and current.pending:
            current.others += 1
            current.open = current.others < _OTHERS

    def _begin(self, line: Line, number: int) -> Traceback | None:
        if not self._chained:
            self._chain += 1
        self._chained = False
        if len(self.kept) >= TRACEBACKS:
            return None
        phase = PHASES.index(self._phases.phase)
        traceback = Traceback(line.process, number, line.level, phase, phase, self._phases.now_s, chain=self._chain)
        traceback.indent = len(line.text) - len(line.text.lstrip())
        self.kept.append(traceback)
        return traceback

    def of(self, process: str) -> Traceback | None:
        """Return the traceback that a process still writes; None without one."""
        return next((t for t in reversed(self.kept) if t.open and t.process == process), None)

    @property
    def pending(self) -> bool:
        """Whether an exception is still to come."""
        return any(traceback.pending for traceback in self.kept)

    def explain(self) -> None:
        """Say that an entry of the catalogue knows the text of an exception that was taken in last."""
        if self._touched:
            self._touched.known = True

    def chain(self, traceback: Traceback) -> list[Traceback]:
        """Return the tracebacks that caused each other, of which this is one."""
        return [other for other in self.kept if other.chain == traceback.chain]

    def last_lines(self, traceback: Traceback) -> list[str]:
        """Return where the first traceback of a chain ended and what it said, and what the chain ended with."""
        chain = [other for other in self.chain(traceback) if other.lines] or [traceback]
        process = "(%s) " % traceback.process if traceback.process else ""
        lines = [process + traceback.where] if traceback.where else []
        lines += [process + text for text in traceback.lines]
        if chain[-1] is not traceback:
            lines.append(process + chain[-1].lines[0])
        return lines
