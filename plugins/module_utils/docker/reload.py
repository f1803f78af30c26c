# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide how a running Docker Engine takes a new ``daemon.json`` over without stopping anybody's container.

Pure Python, standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations


def decide(
    action: str, engine: dict, containers: dict, configured: dict, pending: dict, may_stop: bool, may_live_restore: bool
) -> dict:
    """Return what to do.

    Args:
        action: what the change needs: ``none``, ``reload`` or ``restart``.
        engine: ``docker_cli.engine_info()``.
        containers: ``docker_cli.running_containers()``.
        configured: the content of ``daemon.json``.
        pending: keys that the engine has not taken over yet, as ``DaemonConfig.pending()`` returns them.
        may_stop: whether a restart may stop running containers.
        may_live_restore: whether live-restore may be turned on.

    Returns:
        ``steps``: of ``live_restore``, ``reload``, ``restart``, in that order; ``keeps``: whether the running
        containers are expected to go on; ``refusal``: why nothing may be done, or "".
    """
    if action == "none" or not engine["answering"]:
        return {"steps": [], "keeps": True, "refusal": ""}
    if action == "reload":
        return {"steps": ["reload"], "keeps": True, "refusal": ""}
    # an engine that starts without live-restore stops what the one before has left running
    stays_on = engine["live_restore"] and ("live-restore" not in pending or configured.get("live-restore") is True)
    if not containers or stays_on:
        return {"steps": ["restart"], "keeps": True, "refusal": ""}
    why_not = _no_live_restore(engine, configured, may_live_restore)
    if not why_not:
        return {"steps": ["live_restore", "reload", "restart"], "keeps": True, "refusal": ""}
    if may_stop:
        return {"steps": ["restart"], "keeps": False, "refusal": ""}
    names = ", ".join(sorted("%s (%s)" % (item["name"], item["image"]) for item in containers.values()))
    return {
        "steps": [],
        "keeps": True,
        "refusal": "Docker has to be restarted for this change, and that would stop %d running container%s: %s. "
        "live-restore, which keeps them running, cannot be turned on: %s. Stop them yourself, or set "
        "docker_engine_allow_container_restart to true to have them stopped now (those with a restart policy come "
        "back by themselves). Until then Docker goes on as before; daemon.json is ready for its next start."
        % (len(containers), "" if len(containers) == 1 else "s", names, why_not),
    }


def _no_live_restore(engine: dict, configured: dict, may_live_restore: bool) -> str:
    """Say why live-restore cannot be turned on; "" when it can."""
    if engine["swarm"]:
        return "this engine is part of a swarm, which excludes it"
    if configured.get("live-restore") is False:
        return "daemon.json turns it off (remove that line to allow it)"
    if not may_live_restore:
        return "docker_engine_live_restore is false"
    return ""


def lost(before: dict, after: dict) -> list[str]:
    """Return the names of containers of ``before`` that no longer run or were started anew (both as in decide())."""
    return sorted(
        item["name"]
        for identity, item in before.items()
        if identity not in after or after[identity]["started"] != item["started"]
    )
