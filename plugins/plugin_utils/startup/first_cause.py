# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose of all that was collected from a start the first cause of its failure. What decides, strongest first:

1. a line that names a cause (``patterns`` of the catalogue); the first one wins, unless an entry is over it,
2. hints of a start that failed or hangs,
3. symptoms,
4. a traceback that no entry knows: ``unknown``, with its last lines,
5. what a warning named before somebody stopped a start that waited,
6. echoes,
7. wrappers: ``unknown``, as the cause is not in this text.

A service that was ready and was then asked to stop did not fail, whatever its parts say of each other while they end.
What comes after the first cause (other workers, the engine, the front end) is its echo. A container that ended is
evidence like a line.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.failure_catalogue import Catalogue, Failure
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.matches import WARNINGS, Match, Matches
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.tracebacks import Paragraph, Traceback

#: The entry of a service that somebody stopped.
STOPPED = "interrupted-by-signal"

#: States of Docker in which a container has ended.
ENDED = ("exited", "dead")

_INTERRUPTS = re.compile(r"KeyboardInterrupt|CancelledError|SystemExit")


@dataclasses.dataclass
class Cause:
    """What a start failed of, when it did.

    ``match`` is the entry that names it. ``traceback`` is the first one that no entry knows: the failure itself when
    nothing names it, and more evidence of a weak match. ``stopped``: it was ready, and somebody stopped it.
    """

    failed: bool
    match: Match | None = None
    traceback: Traceback | None = None
    stopped: bool = False


def find(matches: Matches, evidence: dict, hangs: bool) -> Cause:
    """Return the first cause.

    Args:
        matches: what was collected from the log.
        evidence: of ``StartupLog.diagnose``.
        hangs: whether the start waits for longer than it may.
    """
    ended = _ended(evidence)
    stop = _stop(matches, evidence)
    if stop:
        return Cause(False, stop, stopped=True)
    unknown = _unknown_traceback(matches, ended)
    match = _best(matches, evidence, ended, hangs, unknown)
    if match and not (unknown and _weaker(match, unknown)):
        weak = match.strength in ("hints", WARNINGS, "echoes")
        return Cause(True, match, _unknown_traceback(matches, ended=True) if weak else None)
    wrapped = bool(matches.wrappers) and not matches.ready
    return Cause(bool(ended or unknown or wrapped or evidence.get("stalled")), traceback=unknown)


def _ended(evidence: dict) -> bool:
    """Tell whether the container has ended, or was never started."""
    return bool(
        evidence.get("docker_error")
        or evidence.get("oom_killed")
        or evidence.get("state") in ENDED
        or evidence.get("exit_code")
    )


def _stop(matches: Matches, evidence: dict) -> Match | None:
    """Return what shows that a service which was ready was asked to stop, when nothing else ended it before."""
    if not matches.ready or evidence.get("oom_killed"):
        return None
    entry = next(entry for entry in matches.catalogue.failures if entry.id == STOPPED)
    found = [matches.found[strength].get(STOPPED) for strength in ("hints", "echoes")]
    asked = min((match for match in found if match and match.ready), key=lambda m: m.number, default=None)
    ends = [
        match
        for strength in ("patterns", "symptoms", "echoes")
        for match in matches.found[strength].values()
        if match.ready and match.entry.after_ready and match.entry.id != STOPPED
    ]
    if asked:
        return None if any(match.number < asked.number for match in ends) else asked
    if ends or evidence.get("state") not in ENDED or evidence.get("exit_code") not in entry.exit_codes:
        return None
    return None if _first(matches, "patterns", True) else _by_exit_code(matches, evidence["exit_code"], echoes=True)


def _best(matches: Matches, evidence: dict, ended: bool, hangs: bool, unknown: Traceback | None) -> Match | None:
    """Return the match that names the failure best, if anything does."""
    if evidence.get("oom_killed"):
        entry = next(entry for entry in matches.catalogue.failures if entry.oom_killed)
        return _by_evidence(matches, entry, "the kernel killed the container for lack of memory")
    code = evidence.get("exit_code")
    return (
        _first(matches, "patterns", ended)
        or (_first(matches, "hints", ended) if ended or hangs or unknown or matches.failing else None)
        or (_by_phase(matches) if hangs else None)
        or _first(matches, "symptoms", ended)
        or (_warned(matches, code, ended) if not unknown else None)
        or (None if unknown or not ended else _by_exit_code(matches, code, echoes=False))
        or _first(matches, "echoes", ended)
        or (None if unknown or not ended else _by_exit_code(matches, code, echoes=True))
    )


def _warned(matches: Matches, code: int | None, ended: bool) -> Match | None:
    """Return what a warning named, when somebody or a time limit then stopped the start."""
    entry = next(entry for entry in matches.catalogue.failures if entry.id == STOPPED)
    stopped = entry.id in matches.found["echoes"] or entry.id in matches.found["hints"]
    return _first(matches, WARNINGS, ended) if stopped or (ended and code in {*entry.exit_codes, 137} - {0}) else None


def _first(matches: Matches, strength: str, ended: bool) -> Match | None:
    """Return the first match of this strength that no other entry is over; entries of users come first."""
    found = [match for match in matches.found[strength].values() if _counts(matches, match, ended)]
    beaten = {name for match in found for name in match.entry.over}
    found = [match for match in found if not beaten & {match.entry.id, match.entry.ref}] or found
    order = matches.catalogue.failures.index
    return min(found, key=lambda m: (m.entry.rank, m.number, order(m.entry)), default=None)


def _counts(matches: Matches, match: Match, ended: bool) -> bool:
    """A service that is ready survives most errors of single requests: only those count that ended it."""
    if matches.ready and match.entry.id == STOPPED:
        return False  # something else ended it before, see _stop
    if not matches.ready or match.entry.after_ready:
        return True
    return match.ready and (ended or bool(matches.found["echoes"]))


def _by_phase(matches: Matches) -> Match | None:
    phase = matches.phases.phase
    entry = next((entry for entry in matches.catalogue.failures if phase in entry.stalled), None)
    return _by_evidence(matches, entry, "nothing moved in the phase %s" % phase) if entry else None


def _by_exit_code(matches: Matches, code: int | None, echoes: bool) -> Match | None:
    """Return the entry of an exit code; one that is known by ``echoes`` is as weak as these."""
    entries = [entry for entry in matches.catalogue.failures if bool(entry.echoes) == echoes]
    entry = next((entry for entry in entries if code in entry.exit_codes), None)
    return _by_evidence(matches, entry, "the container ended with exit code %s" % code) if entry else None


def _by_evidence(matches: Matches, entry: Failure, text: str) -> Match:
    """Return the match of an entry that ``text`` shows, not a line; its line when there is one too."""
    for found in matches.found.values():
        if entry.id in found:
            return found[entry.id]
    return Match(entry, "evidence", 0, text, matches.phases.phase, matches.ready, Paragraph("", []), None)


def _unknown_traceback(matches: Matches, ended: bool) -> Traceback | None:
    """Return the first traceback that no entry knows and that nothing went on after."""
    if matches.ready and not ended and not matches.found["echoes"]:
        return None
    went_on = not (matches.wrappers or ended)
    for traceback in matches.tracebacks.kept:
        text = " ".join(traceback.lines)
        known = any(other.known for other in matches.tracebacks.chain(traceback))
        if not text or known or _is_echo(matches.catalogue, text) or _INTERRUPTS.search(text):
            continue
        if not went_on or PHASES.index(matches.phases.phase) <= traceback.entered:
            return traceback
    # one whose exception never came shows at least where it was
    cut_off = (t for t in matches.tracebacks.kept if t.where and not t.lines and (ended or not t.open))
    return next((t for t in cut_off if t.gone or not went_on), None)


def _is_echo(catalogue: Catalogue, text: str) -> bool:
    """Return whether the text of an exception only points to another; a check of the configuration says more."""
    lower = text.lower()
    return any(w.cls != "configuration" and w.pattern.search(text, lower) for w in catalogue.wrappers)


def _weaker(match: Match, unknown: Traceback) -> bool:
    """Return whether the match may be the wake of a traceback that came before it and that no entry knows."""
    if match.strength == "echoes" and match.ready:
        return False  # that the engine died is the news; the traceback is its evidence
    return match.strength in ("symptoms", "echoes") and unknown.number < match.number
