# SPDX-License-Identifier: GPL-3.0-or-later
"""Collect from the lines of one start what may have made it fail: entries of the catalogue, wrappers, tracebacks.

Nothing is judged here: ``first_cause`` chooses. Memory is bounded: of each entry the first place is kept.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import (
    STRENGTHS,
    Catalogue,
    Failure,
    Wrapper,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES, Phases
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.tracebacks import (
    EXCEPTION_LINES,
    Paragraph,
    Tracebacks,
    is_frame,
)

#: Strength of what a warning named, beside those of the catalogue.
WARNINGS = "warnings"


@dataclasses.dataclass
class Match:
    """The first place where an entry was found with this strength."""

    entry: Failure
    strength: str
    number: int
    shown: str
    phase: str
    ready: bool
    paragraph: Paragraph
    at_s: float | None


class Matches:
    """What the catalogue knows of one start.

    ``found`` holds matches by strength and id; ``wrappers`` those found as (wrapper, line as it is shown);
    ``ready`` whether the service ever answered.
    """

    def __init__(self, catalogue: Catalogue, phases: Phases) -> None:
        """Compare with ``catalogue``; ``phases`` are those of the same start."""
        self.catalogue = catalogue
        self.phases = phases
        self.tracebacks = Tracebacks(phases)
        self.found: dict[str, dict[str, Match]] = {strength: {} for strength in (*STRENGTHS, WARNINGS)}
        self.wrappers: list[tuple[Wrapper, str]] = []
        self.ready = False
        self._groups: dict[tuple[str, int], set[int]] = {}
        self._paragraph = Paragraph("", [])
        self._number = 0

    @property
    def failing(self) -> bool:
        """Whether the log itself says that this start failed, and the service never became ready."""
        return not self.ready and bool(self.found["patterns"] or self.found["symptoms"] or self.wrappers)

    def went_on(self) -> None:
        """Say that the start found its GPUs and went on: it did not fail of what it waited for."""
        self.found["hints"].clear()
        self.found[WARNINGS].clear()

    def became_ready(self) -> None:
        """Say that the service answers: it survived what was seen so far."""
        self.ready = True
        self.tracebacks.kept.clear()
        self.found[WARNINGS].clear()
        self.wrappers.clear()

    def take(self, line: Line) -> None:
        """Take in the next line."""
        self._number += 1
        lower = line.text.lower()
        if line.level in ("DEBUG", "INFO", "WARNING"):
            # vLLM goes on after these
            self.tracebacks.other(line)
            self._match(line, line.text, ordinary=True)
            if line.level == "WARNING" and not self._harmless(line.text, lower):
                self._warned(line)
            return
        harmless = self._harmless(line.text, lower)
        source = self.tracebacks.take(line, self._number, harmless)
        if harmless:
            self._match(line, line.text, ordinary=True)
            self._wrapped(line, lower)
            return
        if source:
            # functions can still hint
            if is_frame(line.text):
                self._match(line, line.text, ordinary=True)
            return
        self._paragraph = self._paragraph.grown(line)
        if self._match(line, line.text):
            return
        if len(self._paragraph.lines) > 1 and self._paragraph.process == line.process:
            self._match(line, " ".join(self._paragraph.lines))
        self._wrapped(line, lower)

    def _wrapped(self, line: Line, lower: str) -> None:
        """Note a line that only says that something failed."""
        for wrapper in self.catalogue.wrappers:
            if len(self.wrappers) < EXCEPTION_LINES and wrapper.pattern.search(line.text, lower):
                self.wrappers.append((wrapper, line.shown()))
                break

    def _harmless(self, text: str, lower: str) -> bool:
        return any(expression.search(text, lower) for expression in self.catalogue.harmless)

    def _warned(self, line: Line) -> None:
        """Note what a warning names: vLLM went on, but when somebody then stopped it, that is what it waited for."""
        for sign in self.catalogue.signs_in(line.text):
            if sign.strength in ("patterns", "symptoms") and sign.group < 0 and not self.ready:
                self._note(sign.entry, WARNINGS, line, line.text)

    def _match(self, line: Line, text: str, ordinary: bool = False) -> bool:
        """Note each entry that knows this text for the first time; return whether one does."""
        known = False
        for sign in self.catalogue.signs_in(text, ordinary):
            if sign.group >= 0:
                seen = self._groups.setdefault((sign.entry.id, sign.group), set())
                seen.add(sign.member)
                if len(seen) < len(sign.entry.all_of[sign.group]):
                    continue
            known = known or sign.strength in ("patterns", "symptoms")
            self._note(sign.entry, sign.strength, line, text)
        if known:
            self.tracebacks.explain()
        return known

    def _note(self, entry: Failure, strength: str, line: Line, text: str) -> None:
        if entry.id in self.found[strength]:
            return
        paragraph = self._paragraph if line.text.strip() in self._paragraph.lines else Paragraph("", [text])
        shown = line.shown() if text == line.text else text
        traceback = self.tracebacks.of(line.process)
        phase = PHASES[traceback.phase] if traceback else self.phases.phase
        if self.ready and strength == "echoes":
            self.tracebacks.kept.clear()  # those of single requests; the one that ended the engine comes now
        self.found[strength][entry.id] = Match(
            entry, strength, self._number, shown, phase, self.ready, paragraph, self.phases.now_s
        )
