# SPDX-License-Identifier: GPL-3.0-or-later
"""Say from the log of a start whether it failed, of what, and how far it came.

``classify`` judges a whole text, ``StartupLog`` one that still grows. What decides, strongest first:

1. a line that names a cause (``patterns`` of the catalogue); the first one wins, unless an entry is over it,
2. hints of a start that failed or hangs,
3. symptoms,
4. a traceback that no entry knows: ``unknown``, with its last lines,
5. echoes,
6. wrappers: ``unknown``, as the cause is not in this text.

What comes after the first cause (other workers, the engine, the front end) is its echo. A container that ended, or
Docker's own error text, is evidence like a line. Memory is bounded: of each entry and of a few tracebacks the first few
lines are kept.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import Catalogue, Failure, Wrapper
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line, LineReader
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES, Phases

#: Lines after an exception that may still belong to its text (people paste logs wrapped over up to eight lines).
PARAGRAPH = 8

#: Tracebacks kept, and lines kept of an exception's text.
TRACEBACKS, EXCEPTION_LINES = 4, 6

#: Longest line of evidence, in characters.
EVIDENCE_CHARS = 600

#: A start that waits in the phase distributed for this long hangs, in seconds; vLLM itself reports every 60.
HANG_S = 180

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
_WAITING = re.compile(r"No available shared memory broadcast block found in (\d+) second")
_NEW_START = re.compile(r"vLLM API server version|non-default args:")
_ENDED = ("exited", "dead")
_INTERRUPTS = re.compile(r"KeyboardInterrupt|CancelledError|SystemExit")

#: Text of a failure that no entry names.
UNKNOWN = "No entry of the failure catalogue knows this failure."
UNKNOWN_FIX = (
    "Read the evidence, which is where it went wrong first. docs/troubleshooting.md says how to add an entry of your "
    "own."
)
NOT_IN_TEXT = "vLLM only reports that a part of it failed; the cause itself is not in this text."
NOT_IN_TEXT_FIX = (
    "Look at the whole log since the container's start, at its exit code, and at dmesg for oom-kill and Xid lines."
)


@dataclasses.dataclass
class _Paragraph:
    """The text of one exception as it comes in."""

    process: str
    lines: list[str]


@dataclasses.dataclass
class _Match:
    """The first place where an entry was found with this strength."""

    entry: Failure
    strength: str
    number: int
    shown: str
    phase: str
    ready: bool
    paragraph: _Paragraph
    at_s: float | None


@dataclasses.dataclass
class _Traceback:
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
        self._begin()

    def _begin(self) -> None:
        """Forget what an earlier start of the same container said."""
        self.phases = Phases()
        self._early = True
        self._vllm_spoke = False
        self._found: dict[str, dict[str, _Match]] = {"patterns": {}, "hints": {}, "symptoms": {}, "echoes": {}}
        self._groups: dict[tuple[str, int], set[int]] = {}
        self._wrappers: list[tuple[Wrapper, int, str]] = []
        self._tracebacks: list[_Traceback] = []
        self._chain = 0
        self._chained = False
        self._paragraph = _Paragraph("", [])
        self._waited_s = 0
        self._ready_at: int | None = None

    # ------------------------------------------------------------------ reading

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
        self._begin()

    def progress(self) -> dict:
        """Return ``{phase, x, y, percent, detail, elapsed_s, phase_s}``; None for what is not known."""
        return self.phases.progress()

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

    def _line(self, line: Line, now_s: float | None) -> None:
        self.lines += 1
        if line.level == "INFO" and _NEW_START.search(line.text):
            if self._ready_at is not None or (self._failing() and (self._vllm_spoke or not self._early)):
                self.begin_again()
            # what comes before the banner is of the same start: libraries speak while they are imported
            self._early = self._failing()
        # the lines around the banner are INFO
        self._vllm_spoke = self._vllm_spoke or bool(line.process and line.level != "INFO")
        self.phases.tick(self._time(line, now_s))
        if self.phases.see(line):
            self._waited_s = 0
            if PHASES.index(self.phases.phase) >= PHASES.index("distributed"):
                # a start that found its GPUs and went on did not fail of what it waited for
                self._found["hints"].clear()
        if self._ready_at is None and self.phases.phase == "serving":
            self._ready_at = self.lines
            self._tracebacks.clear()  # it survived them
            self._wrappers.clear()
        if _WAITING.search(line.text):
            self._waited_s += int(_WAITING.search(line.text)[1])
        if line.level in ("DEBUG", "INFO", "WARNING"):
            # vLLM goes on after these
            self._match(line, line.text, ordinary=True)
            return
        lower = line.text.lower()
        harmless = any(expression.search(line.text, lower) for expression in self._catalogue.harmless)
        self._traceback(line, harmless)
        if harmless:
            self._match(line, line.text, ordinary=True)
            return
        current = self._open_traceback(line.process)
        if (current and not current.lines) or _RAISE.match(line.text):
            # frames show source text, which may hold any message; functions can still hint
            if _FRAME.match(line.text):
                self._match(line, line.text, ordinary=True)
            return
        self._grow_paragraph(line)
        if self._match(line, line.text):
            return
        if len(self._paragraph.lines) > 1 and self._paragraph.process == line.process:
            self._match(line, " ".join(self._paragraph.lines))
        for wrapper in self._catalogue.wrappers:
            if len(self._wrappers) < EXCEPTION_LINES and wrapper.pattern.search(line.text, lower):
                self._wrappers.append((wrapper, self.lines, line.shown()))
                break

    def _grow_paragraph(self, line: Line) -> None:
        text = line.text.strip()
        if _PARAGRAPH_START.search(text) or self._paragraph.process != line.process:
            self._paragraph = _Paragraph(line.process, [text])
        elif len(self._paragraph.lines) <= PARAGRAPH and text and _HEADER not in text:
            self._paragraph.lines.append(text)

    def _match(self, line: Line, text: str, ordinary: bool = False) -> bool:
        """Note each entry that knows this text for the first time; return whether one does."""
        known = False
        for sign in self._catalogue.signs_in(text, ordinary):
            if sign.group >= 0:
                seen = self._groups.setdefault((sign.entry.id, sign.group), set())
                seen.add(sign.member)
                if len(seen) < len(sign.entry.all_of[sign.group]):
                    continue
            known = known or sign.strength in ("patterns", "symptoms")
            self._note(sign.entry, sign.strength, line, text)
        if known:
            for traceback in self._tracebacks:
                traceback.known = traceback.known or (traceback.process == line.process and traceback.open)
        return known

    def _note(self, entry: Failure, strength: str, line: Line, text: str) -> None:
        if entry.id in self._found[strength]:
            return
        paragraph = self._paragraph if line.text.strip() in self._paragraph.lines else _Paragraph("", [text])
        shown = line.shown() if text == line.text else text
        traceback = self._open_traceback(line.process)
        phase = PHASES[traceback.phase] if traceback else self.phases.phase
        ready = self._ready_at is not None
        if ready and strength == "echoes":
            self._tracebacks.clear()  # those of single requests; the one that ended the engine comes now
        self._found[strength][entry.id] = _Match(
            entry, strength, self.lines, shown, phase, ready, paragraph, self.phases.now_s
        )

    def _traceback(self, line: Line, harmless: bool) -> None:
        """Keep the last lines of the first few tracebacks, of each process its own."""
        text = line.text
        current = self._open_traceback(line.process)
        if _HEADER in text:
            if current:
                current.open = False
            self._start_traceback(line)
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
                current = self._start_traceback(line)
            if current:
                current.lines.append(text.strip())
                current.known = current.known or harmless
        elif current and current.lines and line.level == current.level and text.strip():
            current.lines.append(text.strip())
            current.open = len(current.lines) < EXCEPTION_LINES

    def _open_traceback(self, process: str) -> _Traceback | None:
        return next((t for t in reversed(self._tracebacks) if t.open and t.process == process), None)

    def _start_traceback(self, line: Line) -> _Traceback | None:
        if not self._chained:
            self._chain += 1
        self._chained = False
        if len(self._tracebacks) >= TRACEBACKS:
            return None
        phase = PHASES.index(self.phases.phase)
        traceback = _Traceback(line.process, self.lines, line.level, phase, phase, self.phases.now_s, chain=self._chain)
        self._tracebacks.append(traceback)
        return traceback

    # ------------------------------------------------------------------ judging

    def _failing(self) -> bool:
        """Return whether the log itself says that this start failed, and the service never became ready."""
        return self._ready_at is None and bool(self._found["patterns"] or self._found["symptoms"] or self._wrappers)

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
        known = dict(evidence or {})
        if known.get("docker_error"):
            for line in str(known["docker_error"]).splitlines():
                self._line(Line(line, process="docker"), None)
        ended = self._ended(known)
        hangs = bool(known.get("stalled")) or (
            self._waited_s >= HANG_S and self.phases.phase in ("engine", "distributed")
        )
        match = self._best(known, ended, hangs)
        unknown = self._unknown(ended)
        if match and unknown and self._weaker(match, unknown):
            match = None
        if match:
            return self._failed(match, known)
        if ended or unknown or (self._wrappers and self._ready_at is None):
            return self._failed_unknown(unknown, known)
        if known.get("stalled"):
            return self._failed_unknown(None, known)
        outcome = "healthy" if self._ready_at is not None else "starting"
        return self._answer(outcome=outcome)

    @staticmethod
    def _ended(known: dict) -> bool:
        return bool(
            known.get("docker_error")
            or known.get("oom_killed")
            or known.get("state") in _ENDED
            or known.get("exit_code")
        )

    def _best(self, known: dict, ended: bool, hangs: bool) -> _Match | None:
        """Return the match that names the failure best, if anything does."""
        unknown = self._unknown(ended)
        if known.get("oom_killed"):
            entry = next(entry for entry in self._catalogue.failures if entry.oom_killed)
            return self._by_evidence(entry, "the kernel killed the container for lack of memory")
        return (
            self._first("patterns", ended)
            or (self._first("hints", ended) if ended or hangs or unknown or self._failing() else None)
            or (self._by_phase() if hangs else None)
            or self._first("symptoms", ended)
            or (None if unknown or not ended else self._by_exit_code(known.get("exit_code"), echoes=False))
            or self._first("echoes", ended)
            or (None if unknown or not ended else self._by_exit_code(known.get("exit_code"), echoes=True))
        )

    def _first(self, strength: str, ended: bool) -> _Match | None:
        """Return the first match of this strength that no other entry is over; entries of users come first."""
        matches = [match for match in self._found[strength].values() if self._counts(match, ended)]
        beaten = {name for match in matches for name in match.entry.over}
        matches = [match for match in matches if not beaten & {match.entry.id, match.entry.ref}] or matches
        order = self._catalogue.failures.index
        return min(matches, key=lambda m: (m.entry.rank, m.number, order(m.entry)), default=None)

    def _by_phase(self) -> _Match | None:
        phase = self.phases.phase
        entry = next((entry for entry in self._catalogue.failures if phase in entry.stalled), None)
        return self._by_evidence(entry, "nothing moved in the phase %s" % phase) if entry else None

    def _by_exit_code(self, code: int | None, echoes: bool) -> _Match | None:
        """Return the entry of an exit code; one that is known by ``echoes`` is as weak as these."""
        entries = [entry for entry in self._catalogue.failures if bool(entry.echoes) == echoes]
        entry = next((entry for entry in entries if code in entry.exit_codes), None)
        return self._by_evidence(entry, "the container ended with exit code %s" % code) if entry else None

    def _by_evidence(self, entry: Failure, text: str) -> _Match:
        for matches in self._found.values():
            if entry.id in matches:
                return matches[entry.id]
        ready = self._ready_at is not None
        return _Match(entry, "evidence", self.lines, text, self.phases.phase, ready, _Paragraph("", []), None)

    def _counts(self, match: _Match, ended: bool) -> bool:
        """A service that is ready survives most errors of single requests: only those count that ended it."""
        if self._ready_at is None or match.entry.after_ready:
            return True
        return match.ready and (ended or bool(self._found["echoes"]))

    def _unknown(self, ended: bool) -> _Traceback | None:
        """Return the first traceback that no entry knows and that nothing went on after."""
        if self._ready_at is not None and not ended and not self._found["echoes"]:
            return None
        for traceback in self._tracebacks:
            text = " ".join(traceback.lines)
            echo = any(
                w.cls != "configuration" and w.pattern.search(text, text.lower()) for w in self._catalogue.wrappers
            )
            known = any(other.known for other in self._tracebacks if other.chain == traceback.chain)
            if not text or known or echo or _INTERRUPTS.search(text):
                continue
            if self._wrappers or ended or PHASES.index(self.phases.phase) <= traceback.entered:
                return traceback
        return None

    def _is_echo(self, text: str) -> bool:
        """Return whether the text of an exception only points to another; a check of the configuration says more."""
        wrappers = [wrapper for wrapper in self._catalogue.wrappers if wrapper.cls != "configuration"]
        return any(wrapper.pattern.search(text, text.lower()) for wrapper in wrappers)

    def _weaker(self, match: _Match, unknown: _Traceback) -> bool:
        """Return whether the match may be the wake of a traceback that came before it and that no entry knows."""
        if match.strength == "echoes" and match.ready:
            return False  # that the engine died is the news; the traceback is its evidence
        return match.strength in ("symptoms", "echoes") and unknown.number < match.number

    # ------------------------------------------------------------------ answering

    def _failed(self, match: _Match, known: dict) -> dict:
        entry = match.entry
        inside = any(line in match.shown for line in match.paragraph.lines)
        text = " ".join(match.paragraph.lines if inside else [match.shown, *match.paragraph.lines])
        values = {}
        for pattern in entry.values:
            found = pattern.pattern.search(text)
            values.update({k: v for k, v in (found.groupdict() if found else {}).items() if v})
        fix = _filled(entry.fix_by_phase.get(match.phase, entry.fix), entry.suggest, values)
        evidence = [match.shown]
        if match.strength in ("hints", "echoes"):
            unknown = self._unknown(True)
            evidence += self._last_lines(unknown) if unknown else []
        return self._answer(
            outcome="failed",
            id=entry.id,
            ref=entry.ref,
            cause=_filled(entry.cause, entry.found, values),
            fix=fix,
            cls=entry.cls,
            evidence=evidence + self._outside(known),
            phase=match.phase,
            values=values,
            certain=match.strength in ("patterns", "evidence"),
            at_s=match.at_s,
        )

    def _failed_unknown(self, unknown: _Traceback | None, known: dict) -> dict:
        wrapper = self._wrappers[0] if self._wrappers else None
        wrapped_class = next((w.cls for w, _number, _shown in self._wrappers if w.cls != "once"), "once")
        if unknown:
            phase = PHASES[unknown.phase]
            evidence, ref = self._last_lines(unknown), ""
        else:
            phase = self.phases.phase
            evidence, ref = ([wrapper[2]], wrapper[0].ref) if wrapper else ([], "")
        outside = self._outside(known)
        if not evidence and known.get("docker_error"):
            evidence = [line.strip() for line in str(known["docker_error"]).splitlines() if line.strip()][-3:]
        silent = not unknown and bool(wrapper)
        return self._answer(
            outcome="failed",
            id="unknown",
            ref=ref,
            cause=NOT_IN_TEXT if silent else UNKNOWN,
            fix=NOT_IN_TEXT_FIX if silent else UNKNOWN_FIX,
            cls=wrapped_class,
            evidence=evidence + outside,
            phase=phase,
            at_s=unknown.at_s if unknown else None,
        )

    def _last_lines(self, traceback: _Traceback) -> list[str]:
        """Return where the first traceback of a chain ended and what it said, and what the chain ended with."""
        chain = [t for t in self._tracebacks if t.chain == traceback.chain and t.lines]
        process = "(%s) " % traceback.process if traceback.process else ""
        lines = [process + traceback.where] if traceback.where else []
        lines += [process + text for text in traceback.lines]
        if chain[-1] is not traceback:
            lines.append(process + chain[-1].lines[0])
        return lines

    @staticmethod
    def _outside(known: dict) -> list[str]:
        """Return as evidence what was known besides the log."""
        lines = []
        if known.get("exit_code") or known.get("state") in _ENDED:
            lines.append("exit code %s" % known.get("exit_code", "unknown"))
        if known.get("oom_killed"):
            lines.append("OOMKilled")
        if known.get("stalled"):
            lines.append("a time limit ran out")
        return lines

    def _answer(
        self,
        outcome,
        id="",
        ref="",
        cause="",
        fix="",
        cls="",
        evidence=(),
        phase="",
        values=None,
        certain=False,
        at_s=None,
    ) -> dict:
        cut = [redact(text, self._secrets)[:EVIDENCE_CHARS] for text in evidence]
        others = {m.entry.id for strength in ("patterns", "symptoms") for m in self._found[strength].values()}
        return {
            "outcome": outcome,
            "id": id,
            "ref": ref,
            "cause": redact(cause, self._secrets),
            "fix": redact(fix, self._secrets),
            "class": cls,
            "evidence": list(dict.fromkeys(cut)),
            "phase": phase or self.phases.phase,
            "numbers": {key: redact(value, self._secrets) for key, value in (values or {}).items()},
            "at_s": at_s,
            "certain": certain or outcome != "failed",
            "also": sorted(others - {id}) if outcome == "failed" else [],
        }


def _filled(text: str, template: str, values: dict) -> str:
    """Return ``text`` with ``template`` behind it when all that it shows is known."""
    try:
        more = template.format_map(values)
    except KeyError:
        more = ""
    return (text + " " + more).strip() if more else text


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
    return reader.diagnose(evidence)
