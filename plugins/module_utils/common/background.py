# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that goes on when the module that began it is over and the connection is lost, and what it says.

It is a file of this collection, whose ``main`` runs in the background. It holds a lock for as long as it lives, so that
one that was killed is not taken for one that runs, and keeps a small state, which whoever looks reads. Python standard
library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

from ansible_collections.myia.vllm.plugins.module_utils.common import files

#: Seconds that a process gets to take its lock and write its first state, and to find the lock free: whoever looks
#: holds it for a moment.
_START_S, FREE_S = 10.0, 1.0

#: Exit code of a process that finds another one.
TAKEN = 75


class Background:
    """The process of one kind in a folder: its state is ``<name>.json``, its lock ``<name>.lock``."""

    def __init__(self, folder: str, name: str) -> None:
        """Use the process ``name`` of ``folder``."""
        self.folder, self.name = folder, name
        self.state_path = os.path.join(folder, name + ".json")
        self.lock_path = os.path.join(folder, name + ".lock")

    def is_alive(self) -> bool:
        """Tell whether the process lives."""
        try:
            with open(self.lock_path, "rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def state(self) -> dict:
        """Return the state that was written last; empty without one."""
        return files.read_json(self.state_path)

    def start(self, module: str, arguments: list[str], environ: dict, begun: Callable[[dict], bool]) -> bool:
        """Begin the process, in a folder of mode 0700.

        Args:
            module: full name of the file whose ``main`` it runs.
            arguments: of its command line.
            environ: its environment.
            begun: tells by the state that it has begun.

        Returns:
            Whether it began; not so when another one lives.

        Raises:
            OSError: it does not start.
        """
        # on a host this is Ansible's archive, which is gone when the module is over; by then all of it is loaded
        root = os.path.abspath(__file__)
        for _part in __name__.split("."):
            root = os.path.dirname(root)
        program = "import sys; sys.path.insert(0, %r); from %s import main; main()" % (root, module)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environ,
            start_new_session=True,
        )
        end = time.monotonic() + _START_S
        while not begun(self.state()):
            if process.poll() == TAKEN:
                return False
            if process.returncode is not None or time.monotonic() > end:
                raise OSError("the process that runs the %s did not start" % self.name)
            time.sleep(0.05)
        return True

    def hold(self) -> None:
        """Be the process: take the lock until the end of it, or end where another one has it.

        Programs that it starts do not inherit the lock (no file that Python opens is inherited), so that none of them
        keeps it for a process that was killed.
        """
        handle = os.open(self.lock_path, os.O_WRONLY | os.O_CREAT, 0o600)
        end = time.monotonic() + FREE_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SystemExit(TAKEN) from None
                time.sleep(0.05)

    def write(self, state: dict) -> None:
        """Write the state of the process."""
        files.write_atomically(self.state_path, json.dumps(state), 0o600)

    def forget(self, *names: str) -> None:
        """Remove the state and the files ``names`` of the folder, as far as they are there."""
        for path in (self.state_path, *(os.path.join(self.folder, name) for name in names)):
            if os.path.exists(path):
                os.unlink(path)
