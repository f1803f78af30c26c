# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Docker Engine for a container's memory at once. Python standard library only; runs on hosts.

``docker stats --no-stream`` looks twice to compute the processor's share, which takes up to two seconds.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import http.client
import json
import os
import socket

#: Where the engine listens unless DOCKER_HOST names another socket.
SOCKET = "/var/run/docker.sock"

#: First API that can look once (Docker Engine 20.10); engines that are older take their time for it.
API = "v1.41"


class _Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(container: str, timeout_s: float) -> int | None:
    """Return the memory in use by a running container in bytes; None where the engine cannot be asked this way."""
    named = os.environ.get("DOCKER_HOST") or "unix://" + SOCKET
    if not named.startswith("unix://"):
        return None
    connection = _Socket(named[len("unix://") :], timeout_s)
    try:
        connection.request("GET", "/%s/containers/%s/stats?stream=false&one-shot=true" % (API, container))
        answer = connection.getresponse()
        return used(json.loads(answer.read())) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def used(stats: object) -> int | None:
    """Return the memory in use in bytes as ``docker stats`` counts it, without the cache of files; None if untold.

    The client's own rule: control groups v1 tell ``total_inactive_file``, v2 ``inactive_file``; what is not below the
    whole is not taken off (docker/cli, command/container/stats_helpers.go).
    """
    memory = stats.get("memory_stats") if isinstance(stats, dict) else None
    usage = memory.get("usage") if isinstance(memory, dict) else None
    if not isinstance(usage, int):
        return None
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return usage - cache if cache < usage else usage
