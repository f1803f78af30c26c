#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: try whether hosts reach each other."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_meeting
short_description: Try whether hosts reach each other
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Runs on all the hosts of a service at the same time. Each listens on a port and calls all others at theirs, sends
    and gets back more than a packet holds, and compares clocks. It ends when all have called each other, or with its
    time.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  name:
    description: This host, as the others know it.
    type: str
    required: true
  nodes:
    description: Address of each of the hosts, this one among them, by name.
    type: dict
    required: true
  port:
    description: TCP port to listen on and to call.
    type: int
    required: true
  timeout_s:
    description: Longest time in seconds.
    type: float
    default: 20
"""

EXAMPLES = r"""
- name: Let the nodes meet
  myia.vllm.node_meeting:
    name: "{{ inventory_hostname }}"
    nodes: {gpu-1: 192.0.2.11, gpu-2: 192.0.2.12}
    port: 29502
  register: met
"""

RETURN = r"""
problem: {description: Why this host could not listen; empty when it could., type: str, returned: always}
resolved: {description: "Addresses that this host knows of each host, by its name.", type: dict, returned: always}
own_name: {description: "C(name) of this host, and the C(addresses) that it has for it.", type: dict, returned: always}
interfaces: {description: Addresses of each network interface that is up., type: dict, returned: always}
calls:
  description: >-
    By the name of each other host, whether it was C(connected), whether the block of data came back C(whole), how many
    seconds its clock is ahead (C(offset_s)), and the C(error).
  type: dict
  returned: always
heard: {description: Names of the hosts that have called this one., type: list, elements: str, returned: always}
"""

import concurrent.futures
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import meeting


def meet(name: str, nodes: dict, port: int, timeout_s: float) -> dict:
    """Return what RETURN documents."""
    others = {other: str(address) for other, address in nodes.items() if other != name}
    found: dict = {
        "problem": "",
        "resolved": {other: meeting.resolve(str(address)) for other, address in nodes.items()},
        "own_name": meeting.own_name(),
        "calls": {},
        "heard": [],
    }
    try:
        here = meeting.Meeting(name, port)
    except OSError as error:
        found["problem"] = "port %d: %s" % (port, error.strerror or error)
        return found
    end_s = time.monotonic() + timeout_s
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(len(others), 1)) as pool:
            calls = {other: pool.submit(here.call, address, end_s) for other, address in others.items()}
            found["calls"] = {other: call.result() for other, call in calls.items()}
        here.wait_for(list(others), end_s)
    finally:
        here.close()
    found["heard"] = sorted(here.heard)
    return found


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "nodes": {"type": "dict", "required": True},
            "port": {"type": "int", "required": True},
            "timeout_s": {"type": "float", "default": 20.0},
        },
        supports_check_mode=True,
    )
    p = module.params
    ip = module.get_bin_path("ip")
    listing = module.run_command([ip, "-o", "addr", "show", "up"])[1] if ip else ""
    module.exit_json(
        changed=False,
        interfaces=meeting.interfaces(listing),
        **meet(p["name"], p["nodes"], p["port"], p["timeout_s"]),
    )


if __name__ == "__main__":
    main()
