# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running service said at its start that it can do, found in its container's log.

Python standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command

#: Seconds that ``docker inspect`` may take.
_INSPECT_S = 20

#: Most bytes of the log that are read: a start writes some 100 kB, a large one with debug messages a few times that.
MOST_BYTES = 8 * 1024 * 1024

#: vllm/entrypoints/openai/api_server.py: ``Supported tasks: ['generate']``; 0.11.0 writes ``Supported_tasks``.
_LINE = re.compile(rb"Supported[ _]tasks: [\[({]([^\])}]*)[\])}]")

_WORD = re.compile(r"[a-z_&]+")


def words(lines: bytes) -> list[str]:
    """Return the tasks that the first such line names; empty without one."""
    found = _LINE.search(lines)
    return _WORD.findall(found[1].decode("ascii", "replace")) if found else []


def supported_tasks(docker: str, container: str) -> list[str]:
    """Return the tasks that a container named since it was started; empty when its log does not hold them any more."""
    command = [docker, "container", "inspect", "--format", "{{.State.StartedAt}}", container]
    status, out, _err, _late = host_command.run(command, _INSPECT_S)
    if status != 0:
        return []
    cursor, size, more = {"time": out.strip()}, 0, True
    while more and size < MOST_BYTES:
        lines, cursor, more = container_log.read(docker, container, cursor, 1024 * 1024)
        found = words(lines)
        if found:
            return found
        size += len(lines)
    return []
