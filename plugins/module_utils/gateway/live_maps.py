# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a map of a running HAProxy in one step, without a reload. Python standard library only; runs on hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.module_utils.gateway.runtime_socket import GatewayError, Runtime


def entries(text: str) -> list[str]:
    """Return the lines of a map's file that are entries."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def of_worker(runtime: Runtime, path: str) -> list[str] | None:
    """Return the entries that HAProxy has of a map; None where it does not know the map."""
    answer = runtime.ask("show map %s" % path)
    lines = [line for line in answer.splitlines() if line.strip()]
    if any(not re.match(r"0x[0-9a-f]+ ", line) for line in lines):
        return None
    return [line.partition(" ")[2] for line in lines]


def replace(runtime: Runtime, path: str, text: str) -> None:
    """Let HAProxy use these entries in place of those it has.

    The file has to be written before: a reload reads it again.

    Raises:
        GatewayError: HAProxy refused it, and goes on with those it has. The text holds no entry.
    """
    made = re.search(r"version created: (\d+)", runtime.ask("prepare map %s" % path))
    if not made:
        raise GatewayError("HAProxy has no map %s to change." % path)
    version = made.group(1)
    rows = entries(text)
    if rows and runtime.ask("add map @%s %s" % (version, path), "\n".join(rows)).strip():
        # its words may quote an entry
        raise GatewayError("HAProxy refused an entry of the map %s." % path)
    runtime.order("commit map @%s %s" % (version, path))
