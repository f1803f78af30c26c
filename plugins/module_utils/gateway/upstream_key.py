# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's own key, which a gateway shows to the hosts of a service: which one a host takes, and the change to another.

A gateway has one key for a service, and a host that restarts with a new one takes only that. So the hosts are asked,
when one comes back, which key they take: what the inventory or a file says may be true of some of them only.

Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.gateway import live_maps
from ansible_collections.myia.vllm.plugins.module_utils.gateway.runtime_socket import Runtime

#: Name of the map's file in the folder of the configuration: a backend and the key of its hosts in a line.
MAP = "upstream.map"

#: vLLM's key guards every path below /v1, and this one costs it nothing (vllm/entrypoints/openai/api_server.py).
_PATH = "/v1/models"
_REFUSED = (401, 403)
#: Longest silence of a host, in seconds.
_TIMEOUT_S = 5.0


def of_map(text: str) -> dict[str, str]:
    """Return the key of each backend."""
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in live_maps.entries(text)}


def with_key(text: str, backend: str, key: str) -> str:
    """Return the map with another key for a backend, or without one where ``key`` is empty."""
    lines = [line for line in text.splitlines() if line.partition(" ")[0] != backend]
    return "\n".join([*lines, *(["%s %s" % (backend, key)] if key else [])]) + "\n"


class Hosts:
    """The hosts behind one backend of a running HAProxy."""

    def __init__(self, runtime: Runtime, backend: str, configuration: str) -> None:
        """Look where they are.

        Args:
            runtime: the HAProxy.
            backend: its backend.
            configuration: its text; it says by which authority a host's certificate is judged.
        """
        self.addresses: dict[str, tuple[str, int]] = {}
        columns: list[str] = []
        for line in runtime.ask("show servers state %s" % backend).splitlines():
            fields = line.lstrip("# ").split()
            if line.startswith("#"):
                columns = fields
            elif "srv_port" in columns and len(fields) >= len(columns):
                row = dict(zip(columns, fields))
                self.addresses[row["srv_name"]] = (row["srv_addr"], int(row["srv_port"]))
        own = configuration.partition("\nbackend %s\n" % backend)[2].partition("\nbackend ")[0]
        self.authorities = dict(re.findall(r"^ *server (\S+) .* ca-file (\S+)", own, re.MULTILINE))

    def takes(self, server: str, key: str) -> bool | None:
        """Tell whether a host takes a key; None where it does not say."""
        if server not in self.addresses:
            return None
        address, port = self.addresses[server]
        try:
            if server in self.authorities:
                context = ssl.create_default_context(cafile=self.authorities[server])
                # as HAProxy does: the certificate names what people ask for
                context.check_hostname = False
                link = http.client.HTTPSConnection(address, port, timeout=_TIMEOUT_S, context=context)
            else:
                link = http.client.HTTPConnection(address, port, timeout=_TIMEOUT_S)
            with contextlib.closing(link):
                link.request("GET", _PATH, headers={"Authorization": "Bearer " + key} if key else {})
                status = link.getresponse().status
        # what the words of an error quote may be the key
        except (OSError, ValueError, http.client.HTTPException):
            return None
        return True if status == 200 else False if status in _REFUSED else None


def wanted(hosts: Hosts, server: str, shown: str, offered: str) -> str | None:
    """Return the key that the gateway has to show a host; None where the host refuses both.

    Args:
        hosts: of the backend.
        server: the host.
        shown: what the gateway shows now.
        offered: what the inventory has.
    """
    if hosts.takes(server, shown) is not False:
        return shown
    if offered != shown and hosts.takes(server, offered):
        return offered
    return None


def change(runtime: Runtime, backend: str, key: str, path: str) -> None:
    """Show the hosts of a backend another key from the next request on; the file is written first.

    Raises:
        GatewayError: HAProxy refused it.
        OSError: the file cannot be written.
    """
    text = with_key(files.read_text(path), backend, key)
    files.write_atomically(path, text, 0o600)
    live_maps.replace(runtime, path, text)


def kept(runtime: Runtime, before: str, after: str, configuration: str) -> tuple[str, list[str]]:
    """Return a new map with the keys of before where no host takes the new one yet, and the backends of which it is so.

    Args:
        runtime: the HAProxy that runs.
        before: text of the map that it has.
        after: text that it shall have.
        configuration: text of the configuration that it has.
    """
    old, new, held = of_map(before), of_map(after), []
    for backend in sorted(old):
        if backend in new and new[backend] != old[backend]:
            hosts = Hosts(runtime, backend, configuration)
            is_new_taken = any(hosts.takes(server, new[backend]) for server in hosts.addresses)
            if not is_new_taken and any(hosts.takes(server, old[backend]) for server in hosts.addresses):
                after = with_key(after, backend, old[backend])
                held.append(backend)
    return after, held
