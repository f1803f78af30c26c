# SPDX-License-Identifier: GPL-3.0-or-later
"""The file from which HAProxy takes the states of its servers when it starts anew. Standard library only; runs on hosts.

Without it, a server that was taken out gets requests again after any reload (seen with 2.6 and 3.0).

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.gateway.runtime_socket import GatewayError, Runtime

#: In the folder that the package makes; it outlives a restart of the host.
FILE = "/var/lib/haproxy/server-state"

#: First columns of ``show servers state`` (management guide 9.3).
_COLUMNS = "be_id be_name srv_id srv_name"


def save(runtime: Runtime, path: str) -> bool:
    """Write the states of all servers; return whether the file changed.

    Raises:
        GatewayError: HAProxy cannot be asked.
        OSError: the file cannot be written.
    """
    text = runtime.ask("show servers state")
    if _COLUMNS not in text:
        raise GatewayError("HAProxy told no states of its servers.")
    text = text.strip() + "\n"
    if files.read_text(path) == text:
        return False
    files.write_atomically(path, text, 0o640)
    return True
