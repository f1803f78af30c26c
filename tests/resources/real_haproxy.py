# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy with its master process, in a folder, for tests."""

from __future__ import annotations

import pathlib
import shutil
import signal
import socket
import subprocess
import time

#: Debian's is in a folder that a user's PATH may lack.
PROGRAM = shutil.which("haproxy") or "/usr/sbin/haproxy"


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RealHaproxy:
    """Runs a configuration; ``admin.sock`` and ``master.sock`` are in the folder."""

    def __init__(self, folder: pathlib.Path, configuration: str) -> None:
        self.folder, self.file = folder, folder / "haproxy.cfg"
        self.file.write_text(configuration, encoding="utf-8")
        self.log = (folder / "haproxy.log").open("wb")
        self.process = subprocess.Popen(
            [PROGRAM, "-Ws", "-S", str(folder / "master.sock"), "-f", str(self.file)],
            stdout=self.log,
            stderr=self.log,
        )
        self._wait(lambda: (folder / "admin.sock").exists() and (folder / "master.sock").exists())

    def _wait(self, done) -> None:
        for _ in range(200):
            if done():
                return
            assert self.process.poll() is None, (self.folder / "haproxy.log").read_text(encoding="utf-8")
            time.sleep(0.05)
        raise AssertionError("HAProxy did not get ready: " + (self.folder / "haproxy.log").read_text(encoding="utf-8"))

    def reload(self) -> None:
        """Reload it as systemd does."""
        self.process.send_signal(signal.SIGUSR2)

    def close(self) -> None:
        """End it, with what it still has to do."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
