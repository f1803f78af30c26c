# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring the configuration of a gateway into force without a cut."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_config
short_description: Bring HAProxy's configuration into force without cutting a request
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Lets HAProxy judge the new files before anything is changed. Where only maps differ, they are changed by the
    runtime socket, without a reload; otherwise HAProxy is reloaded, never restarted, after the states of its servers
    were saved.
  - Files come first and the running process second, so that what a killed run has begun is ended by the next. A worker
    that does not have a map as its file is told again, and one that has not read its configuration is replaced.
  - A reload that fails brings the files of before back.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.gateway
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Shows the configuration. Maps hold secrets, so only their names are told.
options:
  configuration:
    description: Text of C(haproxy.cfg).
    type: str
    required: true
  files:
    description: >-
      Text of every other file by its path below O(folder). Those that end with C(.map) can change while HAProxy runs.
    type: dict
    required: true
  folder:
    description: Folder to which the configuration refers. Files in it that are not named are removed.
    type: path
    default: /etc/haproxy/vllm
  path:
    description: HAProxy's configuration.
    type: path
    default: /etc/haproxy/haproxy.cfg
  state_file:
    description: File from which HAProxy takes the states of its servers when it starts anew.
    type: path
    default: /var/lib/haproxy/server-state
  wait_held_s:
    description: >-
      Longest time in seconds that a reload waits while requests wait for a service without a usable host. A worker that
      is replaced tells them to come again.
    type: float
    default: 20
  reload:
    description: Command that reloads HAProxy.
    type: list
    elements: str
    default: [systemctl, reload, haproxy]
"""

EXAMPLES = r"""
- name: Bring the configuration into force
  myia.vllm.gateway_config:
    configuration: "{{ lookup('ansible.builtin.template', 'haproxy.cfg.j2') }}"
    files: "{{ plan.files }}"
"""

RETURN = r"""
problem:
  description: >-
    Why the new configuration is not in force; empty where it is. No failure, so that a task with C(no_log) can tell it.
  returned: success
  type: str
files: {description: Files that differ., type: list, elements: str, returned: success}
maps: {description: Maps that the running process got without a reload., type: list, elements: str, returned: success}
reloaded: {description: Whether HAProxy was reloaded., type: bool, returned: success}
running: {description: Whether HAProxy answers on its socket., type: bool, returned: success}
kept_keys:
  description: >-
    Backends whose hosts do not take the new key yet, so the gateway goes on with that of before.
  type: list
  elements: str
  returned: success
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files as small_files
from ansible_collections.myia.vllm.plugins.module_utils.gateway import (
    configuration,
    live_maps,
    runtime_socket,
    server_states,
    upstream_key,
)
from ansible_collections.myia.vllm.plugins.module_utils.host import command

#: What the module returns where it has done nothing.
NOTHING: dict = {
    "changed": False,
    "problem": "",
    "files": [],
    "maps": [],
    "reloaded": False,
    "running": False,
    "kept_keys": [],
}

#: Longest time in seconds until a new worker has taken over, and between two looks.
RELOAD_S = 60.0
POLL_S = 0.2


def there(folder: str, main: str) -> dict[str, str]:
    """Return the text of each file that is on the gateway now."""
    found = {main: small_files.read_text(main, newline="")} if os.path.exists(main) else {}
    for place, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            found[path] = small_files.read_text(path, newline="")
    return found


def write(wanted: dict[str, str], before: dict[str, str], folder: str) -> None:
    """Write what differs and remove what is not wanted; no file is readable by anybody but root."""
    for path, text in wanted.items():
        if before.get(path) != text:
            if path.startswith(folder + "/"):
                for place in (folder, os.path.dirname(path)):
                    os.makedirs(place, mode=0o700, exist_ok=True)
            small_files.write_atomically(path, text, 0o600)
    for path in set(before) - set(wanted):
        if path.startswith(folder + "/"):
            os.unlink(path)


def wait_until_none_is_held(runtime: runtime_socket.Runtime, timeout_s: float) -> None:
    """Wait until no request waits for a service without a usable host; for a time."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s and runtime_socket.HOLD_TABLE in runtime_socket.tables(runtime):
        held = runtime_socket.held(runtime, runtime_socket.HOLD_TABLE)
        backends = runtime_socket.servers(runtime)
        waiting = [name for name in held if not any(map(runtime_socket.is_usable, backends.get(name, {}).values()))]
        if not waiting:
            return
        time.sleep(POLL_S)


def reload(params: dict, runtime: runtime_socket.Runtime) -> str:
    """Reload HAProxy and wait for the new worker; return what went wrong."""
    wait_until_none_is_held(runtime, params["wait_held_s"])
    server_states.save(runtime, params["state_file"], params["configuration"])
    before = runtime_socket.processes(params["master_socket"])
    status, out, err = command.run(params["reload"], RELOAD_S)[:3]
    if status != 0:
        return "%s: %s" % (" ".join(params["reload"]), (err or out).strip())
    end_s = time.monotonic() + RELOAD_S
    while time.monotonic() < end_s:
        try:
            now = runtime_socket.processes(params["master_socket"])
            if (now["failed"] or 0) > (before["failed"] or 0):
                return "HAProxy could not start a worker with it. See journalctl -u haproxy."
            if now["worker"] and now["worker"] != before["worker"]:
                runtime_socket.servers(runtime)
                return ""
        except runtime_socket.GatewayError:
            # between two masters or workers
            pass
        time.sleep(POLL_S)
    return "no new worker of HAProxy has taken over within %d s" % RELOAD_S


def stale_maps(runtime: runtime_socket.Runtime, wanted: dict[str, str]) -> list[str]:
    """Return the maps that the running process has otherwise than they shall be."""
    found = []
    for path, text in sorted(wanted.items()):
        if path.endswith(".map"):
            rows = live_maps.of_worker(runtime, path)
            if rows is not None and sorted(rows) != sorted(live_maps.entries(text)):
                found.append(path)
    return found


def in_force(params: dict, runtime: runtime_socket.Runtime, wanted: dict, before: dict, result: dict) -> dict:
    """Write the files and have the running process use them; return ``result``, or why they are not in force."""
    unread = params["path"] + configuration.UNREAD
    was_unread = os.path.exists(unread)
    kept = params["path"] + configuration.BEFORE[len(configuration.FILE) :]
    main = before.get(params["path"], "")
    if main and not main.startswith(configuration.MARK) and not os.path.exists(kept):
        small_files.write_atomically(kept, main, 0o644)
    if result["reloaded"]:
        small_files.write_atomically(unread, "", 0o600)
    write(wanted, before, params["folder"])
    if not result["running"] and os.path.exists(params["state_file"]):
        states = small_files.read_text(params["state_file"])
        small_files.write_atomically(
            params["state_file"], server_states.with_ports(states, params["configuration"]), 0o640
        )
    if result["reloaded"]:
        reason = reload(params, runtime)
        if reason and was_unread:
            # which files the process has read only the run knew that was killed
            return {**NOTHING, "problem": "%s. HAProxy goes on with what it has read before." % reason}
        if reason:
            write(before, wanted, params["folder"])
            os.unlink(unread)
            server_states.save(runtime, params["state_file"])
            return {**NOTHING, "problem": "%s. The files of before are back, and HAProxy goes on with them." % reason}
    if os.path.exists(unread):
        # read by the new worker, or with the next start
        os.unlink(unread)
    for path in result["maps"]:
        live_maps.replace(runtime, path, wanted[path])
    return result


def apply(module: AnsibleModule) -> dict:
    """Do what the options say and return what RETURN documents."""
    params = module.params
    wanted = {**params["files"], params["path"]: params["configuration"]}
    before = there(params["folder"], params["path"])
    reason = configuration.foreign(params["path"])
    if reason:
        return {**NOTHING, "problem": reason}
    runtime = runtime_socket.Runtime(params["socket"])
    try:
        runtime_socket.servers(runtime)
        running = True
    except runtime_socket.NotRunning:
        running = False
    keys, kept = os.path.join(params["folder"], upstream_key.MAP), []
    if running and before.get(keys) and wanted.get(keys, before[keys]) != before[keys]:
        # else every request were answered with 401 until the hosts have it
        wanted[keys], kept = upstream_key.kept(runtime, before[keys], wanted[keys], before.get(params["path"], ""))
    differ = sorted(path for path in {*wanted, *before} if wanted.get(path) != before.get(path))
    unread = os.path.exists(params["path"] + configuration.UNREAD)
    needs_reload = running and (unread or any(not path.endswith(".map") for path in differ))
    result = {**NOTHING, "files": differ, "reloaded": needs_reload, "running": running, "kept_keys": kept}
    if running and not needs_reload:
        result["maps"] = stale_maps(runtime, wanted)
    result["changed"] = bool(differ or result["maps"] or needs_reload)
    if params["path"] in differ:
        result["diff"] = {
            "before": before.get(params["path"], ""),
            "after": params["configuration"],
            "before_header": params["path"],
            "after_header": params["path"],
        }
    if not result["changed"]:
        return result
    if command.which("haproxy"):
        reason = configuration.problem(wanted, params["folder"], params["path"])
        if reason:
            return {**NOTHING, "problem": "HAProxy refuses the new configuration: %s Nothing was changed." % reason}
    if module.check_mode:
        return result
    return in_force(params, runtime, wanted, before, result)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "configuration": {"type": "str", "required": True},
            # values are vLLM's keys
            "files": {"type": "dict", "required": True, "no_log": True},
            "folder": {"type": "path", "default": "/etc/haproxy/vllm"},
            "path": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
            "state_file": {"type": "path", "default": "/var/lib/haproxy/server-state"},
            "wait_held_s": {"type": "float", "default": 20},
            "reload": {"type": "list", "elements": "str", "default": ["systemctl", "reload", "haproxy"]},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
            "master_socket": {"type": "path", "default": "/run/haproxy-master.sock"},
        },
        supports_check_mode=True,
    )
    try:
        result = apply(module)
    except runtime_socket.GatewayError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="%s: %s" % (error.filename, error.strerror))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
