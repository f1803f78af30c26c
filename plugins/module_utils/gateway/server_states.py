# SPDX-License-Identifier: GPL-3.0-or-later
"""The file from which HAProxy takes the states of its servers when it starts anew.

Python standard library only; runs on target hosts.

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


def save(runtime: Runtime, path: str, configuration: str = "") -> bool:
    """Write the states of all servers; return whether the file changed.

    Args:
        runtime: the HAProxy that has them.
        path: the file.
        configuration: the one that will read it, where it is another than that which runs.

    Raises:
        GatewayError: HAProxy cannot be asked.
        OSError: the file cannot be written.
    """
    text = runtime.ask("show servers state")
    if _COLUMNS not in text:
        raise GatewayError("HAProxy told no states of its servers.")
    text = with_ports(text.strip() + "\n", configuration)
    if files.read_text(path) == text:
        return False
    files.write_atomically(path, text, 0o640)
    return True


def with_ports(text: str, configuration: str) -> str:
    """Return states with the ports of a configuration: HAProxy takes a port from the states rather than from there."""
    ports, backend = {}, ""
    for line in configuration.splitlines():
        words = line.split()
        if words[:1] == ["backend"] and len(words) > 1:
            backend = words[1]
        elif words[:1] == ["server"] and len(words) > 2:
            ports[backend, words[1]] = words[2].rpartition(":")[2]
    found, column = [], -1
    for line in text.splitlines():
        fields = line.split()
        if fields[:2] == ["#", "be_id"]:
            column = fields.index("srv_port") - 1 if "srv_port" in fields else -1
        elif column > 0 and len(fields) > column and (fields[1], fields[3]) in ports:
            fields[column] = ports[fields[1], fields[3]]
            line = " ".join(fields)
        found.append(line)
    return "\n".join(found) + "\n"
