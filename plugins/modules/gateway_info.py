# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what a gateway does with its servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_info
short_description: Tell which servers a gateway has, whether they get requests, and how many are open
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Asks HAProxy's runtime socket once. Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.gateway
seealso:
  - module: myia.vllm.gateway_server
"""

EXAMPLES = r"""
- name: Look at the gateway
  myia.vllm.gateway_info:
  register: gateway

- name: Show who serves
  ansible.builtin.debug:
    var: gateway.backends.vllm_medium.servers
"""

RETURN = r"""
running: {description: Whether HAProxy answers on its socket., type: bool, returned: always}
backends:
  description: >-
    By name of the backend (C(vllm_) and the name of the service). C(usable) is how many servers get new requests,
    C(held) how many requests wait for one while none is usable, C(open) how many are open on all servers, those of old
    workers included. C(servers) has for each, by name, C(admin) (V(ready), V(drain) or V(maint)), C(status) (HAProxy's
    own word), C(usable), C(open) and C(queued).
  returned: always
  type: dict
reloads:
  description: How often HAProxy was reloaded since it started; null where it has no master.
  returned: always
  type: int
failed_reloads: {description: How often a reload failed., type: int, returned: always}
worker: {description: Process that takes new connections., type: int, returned: always}
old_workers:
  description: Processes that only end their requests since a reload.
  returned: always
  type: list
  elements: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket


def look(socket: str, master_socket: str) -> dict:
    """Return what RETURN documents."""
    processes = runtime_socket.processes(master_socket)
    found: dict = {
        "running": True,
        "backends": {},
        "reloads": processes["reloads"],
        "failed_reloads": processes["failed"],
        "worker": processes["worker"],
        "old_workers": processes["old"],
    }
    runtime = runtime_socket.Runtime(socket)
    try:
        backends = runtime_socket.servers(runtime)
    except runtime_socket.NotRunning:
        return {**found, "running": False}
    has_table = runtime_socket.HOLD_TABLE in runtime_socket.tables(runtime)
    held = runtime_socket.held(runtime, runtime_socket.HOLD_TABLE) if has_table else {}
    old = [runtime_socket.OldWorker(pid, master_socket) for pid in processes["old"]]
    for name, servers in backends.items():
        for server, state in servers.items():
            state["usable"] = runtime_socket.is_usable(state)
            state["open"] = runtime_socket.open_requests([runtime, *old], name, server)
        found["backends"][name] = {
            "servers": servers,
            "usable": sum(state["usable"] for state in servers.values()),
            "open": sum(state["open"] for state in servers.values()),
            "held": held.get(name, 0),
        }
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "default": runtime_socket.ADMIN_SOCKET},
            "master_socket": {"type": "path", "default": runtime_socket.MASTER_SOCKET},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **look(module.params["socket"], module.params["master_socket"]))
    except runtime_socket.GatewayError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
