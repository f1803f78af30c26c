# SPDX-License-Identifier: GPL-3.0-or-later
"""Reckon from earlier starts on the same host how long a start will still take.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES

#: Percent of a phase from which on its own pace tells more than the last start; before, it is mostly noise.
_OWN_PACE_PERCENT = 20


def last_start(starts: list[dict], image: str, model: str) -> dict:
    """Return the newest recorded start of this image and model, else of this model; empty without one.

    Args:
        starts: the newest first, as ``release.json`` keeps them.
        image: container image.
        model: Hugging Face id or folder.
    """
    same_model = [start for start in starts if start.get("model") == model and start.get("phases")]
    same_image = [start for start in same_model if start.get("image") == image]
    return (same_image or same_model or [{}])[0]


def durations(start: dict) -> dict[str, float]:
    """Return the seconds of each phase of a recorded start; what is damaged is left out."""
    found: dict[str, float] = {}
    for step in start.get("phases") or []:
        if isinstance(step, dict) and isinstance(step.get("duration_s"), (int, float)) and step.get("phase") in PHASES:
            found[step["phase"]] = found.get(step["phase"], 0.0) + step["duration_s"]
    found.pop(PHASES[-1], None)  # how long it served is no part of its start
    return found


def remaining_s(progress: dict, phase_s: float, last: dict[str, float]) -> float | None:
    """Return the seconds until the service answers; None when nothing is known.

    Args:
        progress: of ``StartupLog.progress``.
        phase_s: seconds since the phase began.
        last: of :func:`durations`.
    """
    phase, percent = progress["phase"], progress["percent"]
    later = [last[name] for name in PHASES[PHASES.index(phase) + 1 :] if name in last]
    if percent is not None and percent >= _OWN_PACE_PERCENT and last:
        return phase_s * (100 - percent) / percent + sum(later)
    if phase not in last:
        return sum(later) if later else None
    return max(0.0, last[phase] - phase_s) + sum(later)
