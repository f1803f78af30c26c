# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment of a service at a time. Python standard library only; runs on target hosts.

The lock is the file ``deployment.lock`` in the service's folder. Its holder shows a sign of life with everything it
does on the host (the file's modification time). It is stale, and the next run may take it,

- when the holder's process is gone, which a run on the same controller can see,
- when the host has booted since,
- or when there was no sign of life for ``silent_s`` seconds.

A holder that comes back to a lock of somebody else stops before it changes anything.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time

from ansible_collections.myia.vllm.plugins.module_utils.common import files

FILE = "deployment.lock"

#: A new boot gives a new one: Linux, Documentation/admin-guide/sysctl/kernel.rst.
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Lock:
    """The lock of one service."""

    def __init__(self, folder: str, silent_s: float = 300.0) -> None:
        """Use the lock in ``folder``; ``silent_s`` is the time without a sign of life after which it is stale."""
        self.folder = folder
        self.path = os.path.join(folder, FILE)
        self.silent_s = silent_s

    def take(self, token: str, holder: dict, dead: list[str], keep: bool = False) -> dict:
        """Take the lock, or say who has it.

        Args:
            token: of the run that wants it.
            holder: what tells people who that is: ``who`` (user and machine), ``run`` (the job), any other texts.
            dead: tokens of runs that the caller knows to be over.
            keep: leave the lock as it is, and only say what would come of it.

        Returns:
            ``{taken, was, other}``: whether the caller has it now, why an older lock did not count (empty without
            one), and what is known of the holder when somebody else has it (with ``since`` and ``silent_s``).
        """
        with self._alone():
            lock, silent_s = self._read()
            other = bool(lock) and lock["token"] != token
            was = self._stale(lock, silent_s, dead) if other else ""
            if other and not was:
                return {"taken": False, "was": "", "other": _known(lock, silent_s)}
            if keep:
                return {"taken": False, "was": was, "other": {}}
            since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            self._write({**holder, "token": token, "since": since, "boot_id": _boot_id()})
            return {"taken": True, "was": was, "other": {}}

    def holder(self) -> dict:
        """Return what people should know of the holder, ``silent_s`` with it; empty when there is no lock."""
        lock, silent_s = self._read()
        return _known(lock, silent_s) if lock else {}

    def sign_of_life(self, token: str) -> str:
        """Show that the holder lives; return why it must stop when the lock is not its own any more, else nothing."""
        if not os.path.isdir(self.folder):
            return "%s was removed" % self.folder
        with self._alone():
            lock, _silent_s = self._read()
            if lock.get("token") == token:
                os.utime(self.path)
                return ""
            if not lock:
                return "its lock %s was removed" % self.path
            return "its lock %s was taken over by %s at %s" % (self.path, lock.get("who"), lock.get("since"))

    def release(self, token: str) -> bool:
        """Give the lock back; return whether it was there and the caller's own."""
        if not os.path.isdir(self.folder):
            return False
        with self._alone():
            lock, _silent_s = self._read()
            if not lock or lock["token"] != token:
                return False
            os.unlink(self.path)
            return True

    def _stale(self, lock: dict, silent_s: float, dead: list[str]) -> str:
        if lock.get("token") in dead:
            return "the run that held it is over"
        if lock.get("boot_id") != _boot_id():
            return "the host has booted since"
        if silent_s >= self.silent_s:
            return "its holder showed no sign of life for %d s" % silent_s
        return ""

    def _read(self) -> tuple[dict, float]:
        """Return (the lock, seconds since its last sign of life); a damaged one counts as of an unknown holder."""
        try:
            with open(self.path, encoding="utf-8") as handle:
                text = handle.read()
                silent_s = time.time() - os.fstat(handle.fileno()).st_mtime
        except OSError:
            return {}, 0.0
        lock = files.json_object(text)
        if "token" not in lock:
            lock = {"token": "", "who": "an unknown holder", "boot_id": _boot_id()}
        # a clock that was set back a little must not end a lock, one that was set back far must not keep it for ever
        return lock, abs(silent_s)

    def _write(self, lock: dict) -> None:
        files.write_atomically(self.path, json.dumps(lock, sort_keys=True) + "\n", 0o640)

    @contextlib.contextmanager
    def _alone(self):
        """Let only one process at a time look and write; the kernel ends this lock with the process."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _known(lock: dict, silent_s: float) -> dict:
    return {**{key: value for key, value in lock.items() if key != "boot_id"}, "silent_s": round(silent_s)}


def _boot_id() -> str:
    return files.read_text(BOOT_ID).strip()
