# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a server out of a gateway's pool, or back into it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_server
short_description: Keep new requests from a server and wait until the open ones have ended, or let requests in again
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Sets the state of one server by HAProxy's runtime socket. With V(drained) its open requests go on, and are waited
    for; those that workers of before a reload still have are counted, too.
  - The state is written to O(state_file) in the same step, so that a reload or a restart of HAProxy keeps it.
  - With V(ready) and O(api_key) the host is asked which key it takes. Where that is O(api_key) and not the one that the
    gateway shows, as after a rotation, the gateway shows O(api_key) from then on, and hosts of the backend that refuse
    it are taken out until they have it, too. A host that refuses both stays as it is, and the module fails.
  - A gateway that does not run, or that does not know the server, is left alone and told in RV(running) and RV(known).
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.gateway
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: The state of before is in RV(before).
options:
  backend:
    description: The backend, C(vllm_) and the name of the service.
    type: str
    required: true
  server:
    description: Names under which the server may stand there; the first that the backend has is taken.
    type: list
    elements: str
    required: true
  state:
    description: V(drained) gets no new request, V(ready) does.
    type: str
    required: true
    choices: [drained, ready]
  timeout_s:
    description: >-
      Longest wait in seconds. With V(drained), until the open requests have ended; what is left then is told in
      RV(open). With V(ready), until HAProxy's own check lets requests in.
    type: float
    default: 300
  api_key:
    description: >-
      vLLM's own key, as the inventory has it; empty for none. Without it the gateway's key is not looked at.
    type: str
  configuration:
    description: HAProxy's configuration.
    type: path
    default: /etc/haproxy/haproxy.cfg
  key_map:
    description: File on the gateway with the keys of the backends.
    type: path
    default: /etc/haproxy/vllm/upstream.map
  state_file:
    description: File on the gateway from which HAProxy takes the states of its servers when it starts anew.
    type: path
    default: /var/lib/haproxy/server-state
seealso:
  - module: myia.vllm.gateway_info
"""

EXAMPLES = r"""
- name: Keep new requests from gpu-host-1
  myia.vllm.gateway_server:
    backend: vllm_medium
    server: [gpu-host-1]
    state: drained
  delegate_to: gateway-1

- name: Let them in again
  myia.vllm.gateway_server:
    backend: vllm_medium
    server: [gpu-host-1]
    state: ready
    timeout_s: 30
    api_key: "{{ vllm_api_key }}"
  delegate_to: gateway-1
"""

RETURN = r"""
running: {description: Whether HAProxy answers on its socket., type: bool, returned: success}
known: {description: Whether the backend has the server., type: bool, returned: success}
server: {description: The server's name in the backend., type: str, returned: success}
before: {description: "V(ready), V(drain) or V(maint) before.", type: str, returned: success}
usable: {description: Whether the server gets new requests now., type: bool, returned: success}
others: {description: How many other servers of the backend get new requests., type: int, returned: success}
open: {description: Requests that the server still works on., type: int, returned: success}
waited_s: {description: How long it was waited, type: float, returned: success}
key_changed:
  description: Whether the gateway shows the hosts of the backend another key since then.
  type: bool
  returned: success
taken_out:
  description: Other servers that were taken out since they refuse the new key.
  type: list
  elements: str
  returned: success
"""

import contextlib
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket, server_states, upstream_key

#: Pause between two looks in seconds.
POLL_S = 0.5

#: HAProxy's words for the states.
WORDS = {"drained": "drain", "ready": "ready"}


def change(params: dict, check_mode: bool) -> dict:
    """Do what the options say and return what RETURN documents."""
    backend, word = params["backend"], WORDS[params["state"]]
    runtime = runtime_socket.Runtime(params["socket"])
    found = {"changed": False, "running": True, "known": False, "server": params["server"][0], "before": ""}
    found.update(usable=False, others=0, open=0, waited_s=0.0, key_changed=False, taken_out=[])
    try:
        servers = runtime_socket.servers(runtime).get(backend, {})
    except runtime_socket.NotRunning:
        return {**found, "running": False}
    name = next((name for name in params["server"] if name in servers), "")
    if not name:
        return found
    found.update(known=True, server=name, before=servers[name]["admin"])
    found["others"] = sum(runtime_socket.is_usable(state) for other, state in servers.items() if other != name)
    found["changed"] = servers[name]["admin"] != word
    if check_mode:
        return {**found, "usable": runtime_socket.is_usable(servers[name]), "open": servers[name]["open"]}

    def workers() -> list:
        old = runtime_socket.processes(params["master_socket"])["old"]
        return [runtime, *(runtime_socket.OldWorker(pid, params["master_socket"]) for pid in old)]

    new_key = key_to_show(params, runtime, name) if word == "ready" and params["api_key"] is not None else None
    if new_key is not None and not found["others"]:
        # what waits for this host must not meet it with the old key
        upstream_key.change(runtime, backend, new_key, params["key_map"])
    if found["changed"]:
        command = "set server %s/%s state %s" % (backend, name, word)
        runtime.order(command)
        for worker in workers()[1:]:
            # it may end meanwhile; requests that it holds go to nobody else
            with contextlib.suppress(runtime_socket.GatewayError):
                worker.order(command)
    if new_key is not None:
        if found["others"]:
            # the host is in before the key changes, and the others go out after it: so somebody takes each request
            upstream_key.change(runtime, backend, new_key, params["key_map"])
        hosts = upstream_key.Hosts(runtime, backend, files.read_text(params["configuration"]))
        for other in sorted(set(servers) - {name}):
            if hosts.takes(other, new_key) is False:
                runtime.order("set server %s/%s state drain" % (backend, other))
                found["taken_out"].append(other)
        found.update(changed=True, key_changed=True)
    # also where nothing changed: a run that was killed may have left the file as it was
    server_states.save(runtime, params["state_file"])
    if word == "drain":
        left, waited_s = runtime_socket.wait_until_idle(workers, backend, name, params["timeout_s"], POLL_S)
        found.update(open=left, waited_s=round(waited_s, 1))
    begin_s = time.monotonic()
    while True:
        state = runtime_socket.servers(runtime).get(backend, {}).get(name)
        if state is None:
            # a new configuration without it
            return {**found, "known": False}
        found["usable"] = runtime_socket.is_usable(state)
        if word == "drain" or found["usable"] or time.monotonic() - begin_s >= params["timeout_s"]:
            break
        time.sleep(POLL_S)
    if word == "ready":
        found.update(open=state["open"], waited_s=round(time.monotonic() - begin_s, 1))
    return found


def key_to_show(params: dict, runtime: runtime_socket.Runtime, name: str) -> str | None:
    """Return the key that the gateway has to change to for a server; None where it has the right one.

    Raises:
        GatewayError: the host refuses that of the gateway and that of the inventory.
    """
    hosts = upstream_key.Hosts(runtime, params["backend"], files.read_text(params["configuration"]))
    shown = upstream_key.of_map(files.read_text(params["key_map"])).get(params["backend"], "")
    key = upstream_key.wanted(hosts, name, shown, params["api_key"])
    if key is None:
        raise runtime_socket.GatewayError(
            "the host refuses vllm_api_key of the inventory and the key that the gateway shows, so it gets no "
            "requests. Put the key that it runs with into the inventory, or deploy the service with the present one."
        )
    return key if key != shown else None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "backend": {"type": "str", "required": True},
            "server": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["drained", "ready"]},
            "timeout_s": {"type": "float", "default": 300},
            "api_key": {"type": "str", "no_log": True},
            "configuration": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
            # a file's name
            "key_map": {"type": "path", "default": "/etc/haproxy/vllm/upstream.map", "no_log": False},
            "state_file": {"type": "path", "default": "/var/lib/haproxy/server-state"},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
            "master_socket": {"type": "path", "default": "/run/haproxy-master.sock"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**change(module.params, module.check_mode))
    except runtime_socket.GatewayError as error:
        module.fail_json(msg="%s/%s: %s" % (module.params["backend"], module.params["server"][0], error))
    except OSError as error:
        module.fail_json(
            msg="%s cannot be read or written (%s). A reload would forget the state of %s."
            % (error.filename or module.params["state_file"], error.strerror, module.params["server"][0])
        )


if __name__ == "__main__":
    main()
