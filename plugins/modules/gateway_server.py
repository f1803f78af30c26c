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
"""

import contextlib
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.gateway import runtime_socket, server_states

#: Pause between two looks in seconds.
POLL_S = 0.5

#: HAProxy's words for the states.
WORDS = {"drained": "drain", "ready": "ready"}


def change(params: dict, check_mode: bool) -> dict:
    """Do what the options say and return what RETURN documents."""
    backend, word = params["backend"], WORDS[params["state"]]
    runtime = runtime_socket.Runtime(params["socket"])
    found = {"changed": False, "running": True, "known": False, "server": params["server"][0], "before": ""}
    found.update(usable=False, others=0, open=0, waited_s=0.0)
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

    if found["changed"]:
        command = "set server %s/%s state %s" % (backend, name, word)
        runtime.order(command)
        for worker in workers()[1:]:
            # it may end meanwhile; requests that it holds go to nobody else
            with contextlib.suppress(runtime_socket.GatewayError):
                worker.order(command)
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


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "backend": {"type": "str", "required": True},
            "server": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": list(WORDS)},
            "timeout_s": {"type": "float", "default": 300},
            "state_file": {"type": "path", "default": server_states.FILE},
            "socket": {"type": "path", "default": runtime_socket.ADMIN_SOCKET},
            "master_socket": {"type": "path", "default": runtime_socket.MASTER_SOCKET},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**change(module.params, module.check_mode))
    except runtime_socket.GatewayError as error:
        module.fail_json(msg="%s/%s: %s" % (module.params["backend"], module.params["server"][0], error))
    except OSError as error:
        module.fail_json(
            msg="state_file: %s cannot be written (%s). A reload would forget the state of %s."
            % (module.params["state_file"], error.strerror, module.params["server"][0])
        )


if __name__ == "__main__":
    main()
