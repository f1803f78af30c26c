# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which run of Ansible this is, and whether another run on the same controller is over.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import pathlib
import secrets
import socket

_PROC = pathlib.Path("/proc")

#: Start of a process of another user where /proc is mounted with hidepid.
_HIDDEN = "?"


def _controller() -> str:
    """Return what is the same for two runs exactly when they see each other's processes.

    That is one machine, one boot and one name space of processes; execution environments have a name space each. The
    kernel gives the number of a name space to the next one once it is gone, so the start of its first process counts
    too: a container that follows another one knows nothing of the processes of that one, whatever their numbers.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""  # not Linux: nobody is ever known to be over
    parts = (socket.gethostname(), boot, space, _started(1))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _started(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks; empty when there is none (proc(5), stat, field 22)."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return _HIDDEN if _exists(pid) else ""
    return "" if fields[0] in "ZX" else fields[19]


def new_token() -> str:
    """Return a token that names this run: controller, process of ansible-playbook, its start, and chance."""
    pid = os.getppid()  # actions run in a worker of it
    return ":".join((_controller() or "-", str(pid), _started(pid) or "-", secrets.token_hex(6)))


def is_over(token: str) -> bool:
    """Tell whether the run of a token is known to be over; False when it ran where this controller cannot see it."""
    parts = token.split(":")
    if len(parts) != 4 or not parts[1].isdigit() or parts[0] != _controller() or not _controller():
        return False
    return _started(int(parts[1])) not in (parts[2], _HIDDEN)


def _exists(pid: int) -> bool:
    """Tell whether there is a process that this user may not see in /proc."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def holder(task_vars: dict) -> dict:
    """Return who this run is in words: ``{who, run}``; AWX's own variables say more than the user of its container."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "uid %d" % os.getuid()
    play = str(task_vars.get("ansible_play_name") or "")
    job = task_vars.get("awx_job_id") or task_vars.get("tower_job_id")
    if job:
        user = str(task_vars.get("awx_user_name") or task_vars.get("tower_user_name") or user)
        return {"who": "%s by AWX job %s" % (user, job), "run": play}
    return {"who": "%s on %s, process %d" % (user, socket.gethostname(), os.getppid()), "run": play}
