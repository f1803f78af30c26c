# SPDX-License-Identifier: GPL-3.0-or-later
"""The note that a service was stopped on purpose. Python standard library only; runs on target hosts.

A container that ended looks the same whether somebody wanted it or not. So whoever stops a service on purpose leaves
``stopped.json`` in its folder, and whatever starts it takes the note away. It counts only while the container does not
run, and was not started since: somebody may have done that by hand.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.service import lock

FILE = "stopped.json"

#: States of Docker in which a container serves, or is about to.
RUNS = ("running", "restarting")


def read(folder: str, state: str = "", started_s: float = 0.0) -> dict:
    """Return who stopped the service on purpose, and when; empty when nobody did.

    Args:
        folder: of the service.
        state: Docker's state of its container.
        started_s: when the container was started last, in seconds since 1970.

    Returns:
        ``at`` (UTC), ``at_s``, ``who`` and ``run``.
    """
    found = {} if state in RUNS else files.read_json(os.path.join(folder, FILE))
    return found if started_s <= float(found.get("at_s") or 0) else {}


def note(folder: str) -> None:
    """Note that the service is stopped on purpose, by whoever has its lock.

    Raises:
        OSError: it cannot be written.
    """
    holder = lock.Lock(folder).holder()
    at_s = time.time()
    about: dict = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)), "at_s": at_s}
    about.update({key: str(holder.get(key, "")) for key in ("who", "run")})
    files.write_atomically(os.path.join(folder, FILE), json.dumps(about, sort_keys=True) + "\n", 0o640)


def forget(folder: str) -> None:
    """Take the note away, since the service is started."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, FILE))
