# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what a run came to that stopped a service, started it, or did both.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration

#: The runs that are judged here.
RUNS = ("stop", "start", "restart")

#: What was to be done to the service.
_DONE = {"stop": "stopped", "start": "started", "restart": "restarted"}


def judged(run: str, check_mode: bool, results: dict, snapshot: dict, failure: dict) -> tuple[str, str]:
    """Return (verdict, sentence).

    Args:
        run: one of :data:`RUNS`.
        check_mode: whether nothing was to be changed.
        results: what the roles returned, by variable name.
        snapshot: what the module ``service_snapshot_info`` returned; empty when it could not look.
        failure: ``message`` and ``task`` of the task that ended the run; empty when none did.
    """
    result = results.get("vllm_service_result") or {}
    name = (result.get("release") or {}).get("name", "")
    release = "release %s" % name if name else "the service"
    if failure:
        return _failed(run, check_mode, release, snapshot)
    changes = bool(result.get("would_change") or result.get("changed"))
    if check_mode and changes:
        would = "A run without check mode would %s the service (%s); nothing was changed."
        return "would_change", would % (run, release)
    if check_mode:
        return "would_not_change", "A run without check mode would change nothing."
    if run == "stop":
        return "stopped" if changes else "nothing_to_do", stopped(snapshot)[1]
    if not changes:
        return "nothing_to_do", "%s serves already, as it should." % _capital(release)
    total_s = ((results.get("vllm_health_result") or {}).get("start") or {}).get("total_s")
    took = " after a start of %s" % duration(total_s) if total_s else ""
    return "started" if run == "start" else "restarted", "%s serves%s." % (_capital(release), took)


def stopped(snapshot: dict, more: str = "") -> tuple[str, str]:
    """Return (verdict, sentence) of a service that does not run since somebody wanted it so."""
    by = snapshot.get("stopped") or {}
    whose = ", by %s at %s" % (by.get("who") or "somebody", by.get("at") or "a time that is not known") if by else ""
    return "stopped", "The service was stopped on purpose%s%s. start_medium.yml starts it again." % (whose, more)


def _failed(run: str, check_mode: bool, release: str, snapshot: dict) -> tuple[str, str]:
    what = "%s could not be %s" % (_capital(release), _DONE[run])
    if not snapshot:
        return "failed_unseen", "%s, and the host could not be asked what serves now." % what
    if snapshot.get("healthy"):
        return "failed_still_serves", "%s; it answers." % what
    if check_mode:
        return "failed_unseen", "The check failed; nothing was changed, and nothing answers now."
    back = "" if run == "stop" else " rollback_medium.yml goes back to an older release."
    return "failed_nothing_serves", "%s, and nothing answers now.%s" % (what, back)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
