# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command that may never end. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile

#: Where programs may be that PATH does not name: system folders that sudo may drop, and those of nvidia-smi on GKE and
#: Container-Optimized OS, and on WSL (NVIDIA's CUDA on WSL guide).
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/nvidia/bin", "/usr/lib/wsl/lib")

#: Seconds that a killed program gets to go away.
GRACE_S = 1.0


def which(program: str) -> str | None:
    """Return the path of a program; None when it is not there."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_FOLDERS)))


def run(argv: list[str], timeout_s: float) -> tuple[int, str, str, bool]:
    """Run ``argv`` for at most ``timeout_s`` seconds.

    A program that waits for a dead driver cannot be killed (state D). It is left behind then, so that this function
    always returns.

    Returns:
        (exit status, standard output, standard error, timed out). The exit status is 127 for a program that is not
        there, 126 for one that cannot be started, 124 after the time limit.
    """
    path = which(argv[0])
    if path is None:
        return 127, "", "%s: not found" % argv[0], False
    # files, not pipes: a pipe is only at its end when the last process that holds it is gone
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                [path, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            return 126, "", "%s: %s" % (path, error.strerror), False
        timed_out = False
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            timed_out, status = True, 124
            _end(process)
        return status, _text(out), _text(err), timed_out


def _end(process: subprocess.Popen) -> None:
    """Kill the program with its children, and wait for it only a moment."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(GRACE_S)
    except (OSError, subprocess.TimeoutExpired):
        pass


def _text(handle) -> str:
    handle.seek(0)
    return handle.read().decode("utf-8", "replace")
