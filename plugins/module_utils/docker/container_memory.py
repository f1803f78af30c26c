# SPDX-License-Identifier: GPL-3.0-or-later
"""Read how much memory a container uses. Python standard library only; runs on hosts.

``docker stats --no-stream`` waits for two looks of the engine, which takes up to two seconds; the kernel's files tell
at once.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os

from ansible_collections.myia.vllm.plugins.module_utils.common import files


def used_bytes(container: str, pid: int, proc: str = "/proc", groups: str = "/sys/fs/cgroup") -> int | None:
    """Return the memory in use by a running container in bytes, as ``docker stats`` counts it: without cached files.

    Args:
        container: its id.
        pid: its first process, as seen on this host.
        proc, groups: where the kernel shows processes and control groups.

    Returns:
        None where it cannot be read here: the engine runs in a virtual machine, or the process is another one's.
    """
    for controllers, path in _groups(proc, pid):
        # an engine elsewhere counts its processes for itself: the number means another process here
        if container not in path:
            continue
        if controllers == "":
            found = _read(groups + path, "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            found = _read(groups + "/memory" + path, "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        if found is not None:
            return found
    return None


def _groups(proc: str, pid: int) -> list[tuple[str, str]]:
    """Return (controllers, path) of a process's control groups; the controllers are empty in version 2."""
    text = files.read_text(os.path.join(proc, str(pid), "cgroup"))
    lines = [line.split(":", 2) for line in text.splitlines()]
    return [(line[1], line[2]) for line in lines if len(line) == 3]


def _read(folder: str, usage: str, cache: str) -> int | None:
    """Return the usage of a control group less its cached files; what is not below the whole is not taken off."""
    try:
        with open(os.path.join(folder, usage), encoding="ascii") as handle:
            used = int(handle.read())
        with open(os.path.join(folder, "memory.stat"), encoding="ascii") as handle:
            details = dict(line.split() for line in handle)
        inactive = int(details.get(cache, 0))
    except (OSError, ValueError):
        return None
    return used - inactive if inactive < used else used
