# SPDX-License-Identifier: GPL-3.0-or-later
"""Name what ended a service that Docker has started again since: by the log of its container, which outlives the end.

Pure Python, no I/O.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import gzip

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import StartupLog


def named(snapshot: dict, extra_failures: list, secrets: list[str]) -> dict:
    """Return a snapshot without its raw log, whose container has ``crash`` where that log says of what it ended.

    Args:
        snapshot: what the module ``service_snapshot_info`` returned; empty when it could not look.
        extra_failures: the operator's own entries of the catalogue; bad ones are left out (others refuse them).
        secrets: values that must not appear.

    Returns:
        ``crash`` is ``{id, cause, evidence}`` of the last end; its ``id`` is empty where the log shows no failure, as
        after a kill from outside.
    """
    told = {key: value for key, value in snapshot.items() if key != "ended_log_gz"}
    packed = snapshot.get("ended_log_gz")
    if not packed:
        return told
    text = gzip.decompress(base64.b64decode(packed)).decode("utf-8", "replace")
    try:
        catalogue = failure_catalogue.load(extra_failures)
    except failure_catalogue.CatalogueError:
        catalogue = failure_catalogue.load([])
    log = StartupLog(catalogue, secrets)
    log.feed(text)
    log.close()
    found = log.diagnose()
    failed = found["outcome"] == "failed"
    crash = {key: found[key] if failed else type(found[key])() for key in ("id", "cause", "evidence")}
    return {**told, "container": {**(told.get("container") or {}), "crash": crash}}
