# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a cache of ``huggingface_hub`` keeps a model. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os

#: Where the service's container has the cache, root's and that of a user of one's own: definition/mounts.py.
MOUNTED_AT = ("/root/.cache/huggingface", "/var/cache/huggingface")


def repository(cache: str, model: str) -> str:
    """Return the folder of model ``model`` in what is mounted at ``MOUNTED_AT``."""
    return os.path.join(cache, "hub", "models--" + model.replace("/", "--"))


def mounted(mounts: list[dict]) -> str:
    """Return the host's folder that a container with these ``Mounts`` has as its cache; empty without one."""
    return next((mount.get("Source", "") for mount in mounts if mount.get("Destination") in MOUNTED_AT), "")
