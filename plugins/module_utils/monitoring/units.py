# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember with which files a systemd unit runs. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import hashlib
import json
import os

#: Where it is remembered: it goes with the next start of the host, as what it is about does.
FOLDER = "/run/vllm-monitoring"


def digest(paths: list[str]) -> str:
    """Return a hash of what files hold; of a folder, all of its files."""
    found = hashlib.sha256()
    for path in sorted(paths):
        inside = [os.path.join(base, name) for base, _folders, names in os.walk(path) for name in names]
        for name in sorted(inside or [path]):
            found.update(name.encode() + b"\0")
            try:
                with open(name, "rb") as handle:
                    found.update(hashlib.sha256(handle.read()).digest())
            except OSError:
                found.update(b"-")
    return found.hexdigest()


def action(state: dict, now: dict, before: dict) -> str:
    """Return what has to be done with a unit: ``start``, ``restart``, ``reload`` or "".

    Args:
        state: properties of the unit as systemctl shows them.
        now: hashes of the files, ``restart`` and ``reload``.
        before: what was remembered of the last time.
    """
    if state.get("ActiveState") not in ("active", "reloading", "activating"):
        return "start"
    if not before:
        # nobody knows what it has read
        return "restart"
    if before.get("restart") != now["restart"]:
        return "restart"
    return "" if before.get("reload") == now["reload"] else "reload"


def remembered(now: dict) -> str:
    """Return the text that is remembered."""
    return json.dumps(now, sort_keys=True) + "\n"
