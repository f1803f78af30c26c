# SPDX-License-Identifier: GPL-3.0-or-later
"""Word the diagnosis of a start: cause and fix with the numbers that the log says, and the lines that show it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.first_cause import ENDED, Cause
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.matches import Match, Matches
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.tracebacks import Traceback

#: Longest line of evidence, in characters.
_EVIDENCE_CHARS = 600

#: Text of a failure that no entry names.
_UNKNOWN = "No entry of the failure catalogue knows this failure."
_UNKNOWN_FIX = (
    "Read the evidence, which is where it went wrong first. docs/troubleshooting.md says how to add an entry of your "
    "own."
)
NOT_IN_TEXT = "vLLM only reports that a part of it failed; the cause itself is not in this text."
_NOT_IN_TEXT_FIX = (
    "Look at the whole log since the container's start, at its exit code, and at dmesg for oom-kill and Xid lines."
)


def worded(cause: Cause, matches: Matches, evidence: dict, secrets: tuple[str, ...]) -> dict:
    """Return the diagnosis; see ``StartupLog.diagnose``.

    Args:
        cause: of ``first_cause.find``.
        matches: what was collected from the log.
        evidence: what is known besides the log.
        secrets: values that must not appear.
    """
    if cause.stopped:
        return _answer(matches, secrets, outcome="stopped", **_named(cause.match, _outside(evidence)))
    if not cause.failed:
        return _answer(matches, secrets, outcome="healthy" if matches.ready else "starting")
    if cause.match:
        more = matches.tracebacks.last_lines(cause.traceback) if cause.traceback else []
        fields = _named(cause.match, _hinted(cause.match, matches) + more + _outside(evidence))
    else:
        fields = _unnamed(cause.traceback, matches, evidence)
    return _answer(matches, secrets, outcome="failed", **fields)


def _hinted(match: Match, matches: Matches) -> list[str]:
    """Return the line that hinted at the same entry before, such as what a compiler printed."""
    hint = matches.found["hints"].get(match.entry.id)
    return [hint.shown] if hint and match.strength != "hints" else []


def _named(match: Match, more: list[str]) -> dict:
    """Return what an entry says of its failure; ``more`` is evidence beside its line."""
    entry = match.entry
    inside = any(line in match.shown for line in match.paragraph.lines)
    text = " ".join(match.paragraph.lines if inside else [match.shown, *match.paragraph.lines])
    values = {}
    for pattern in entry.values:
        found = pattern.pattern.search(text)
        values.update({k: v for k, v in (found.groupdict() if found else {}).items() if v})
    return {
        "id": entry.id,
        "ref": entry.ref,
        "cause": _filled(entry.cause, entry.found, values),
        "fix": _filled(entry.fix_by_phase.get(match.phase, entry.fix), entry.suggest, values),
        "cls": entry.cls,
        "evidence": [match.shown, *more],
        "phase": match.phase,
        "numbers": values,
        "certain": match.strength in ("patterns", "evidence"),
        "at_s": match.at_s,
    }


def _unnamed(traceback: Traceback | None, matches: Matches, evidence: dict) -> dict:
    """Return what there is of a failure that no entry names: a traceback, or only a wrapper, or not even that."""
    wrapper, shown = matches.wrappers[0] if matches.wrappers else (None, "")
    silent = bool(wrapper) and not traceback
    lines = matches.tracebacks.last_lines(traceback) if traceback else [shown] if silent else []
    if not lines and evidence.get("docker_error"):
        lines = [line.strip() for line in str(evidence["docker_error"]).splitlines() if line.strip()][-3:]
    return {
        "id": "unknown",
        "ref": wrapper.ref if silent else "",
        "cause": NOT_IN_TEXT if silent else _UNKNOWN,
        "fix": _NOT_IN_TEXT_FIX if silent else _UNKNOWN_FIX,
        "cls": next((w.cls for w, _shown in matches.wrappers if w.cls != "once"), "once"),
        "evidence": lines + _outside(evidence),
        "phase": PHASES[traceback.phase] if traceback else matches.phases.phase,
        "at_s": traceback.at_s if traceback else None,
    }


def _outside(evidence: dict) -> list[str]:
    """Return as lines what was known besides the log."""
    lines = []
    if evidence.get("exit_code") or evidence.get("state") in ENDED:
        lines.append("exit code %s" % evidence.get("exit_code", "unknown"))
    if evidence.get("oom_killed"):
        lines.append("OOMKilled")
    if evidence.get("stalled"):
        lines.append("a time limit ran out")
    return lines


def _answer(
    matches, secrets, outcome, id="", ref="", cause="", fix="", cls="", evidence=(), phase="", numbers=None,
    certain=False, at_s=None,
) -> dict:  # fmt: skip
    """Return all keys of a diagnosis, without secrets."""
    cut = [redact(text, secrets)[:_EVIDENCE_CHARS] for text in evidence]
    others = {m.entry.id for strength in ("patterns", "symptoms") for m in matches.found[strength].values()}
    return {
        "outcome": outcome,
        "id": id,
        "ref": ref,
        "cause": redact(cause, secrets),
        "fix": redact(fix, secrets),
        "class": cls,
        "evidence": list(dict.fromkeys(cut)),
        "phase": phase or matches.phases.phase,
        "numbers": {key: redact(value, secrets) for key, value in (numbers or {}).items()},
        "at_s": at_s,
        # an exception that is still to come can change everything
        "certain": (certain or outcome != "failed") and not matches.tracebacks.pending,
        "also": sorted(others - {id}) if outcome == "failed" else [],
    }


def _filled(text: str, template: str, values: dict) -> str:
    """Return ``text`` with ``template`` behind it when all that it shows is known."""
    try:
        more = template.format_map(values)
    except KeyError:
        more = ""
    return (text + " " + more).strip() if more else text
