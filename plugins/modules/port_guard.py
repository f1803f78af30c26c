#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: who may reach a port that Docker publishes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_guard
short_description: Keep all but some networks from a port that Docker publishes
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - A port that Docker publishes goes past ufw and firewalld. This sets rules in front of Docker's own, for IPv4 and
    IPv6. With iptables they stand in C(DOCKER-USER), and in C(INPUT) for Docker's proxy and containers in the host's
    network; with nftables in a table of its own. The host itself always may.
  - A systemd unit sets them before Docker starts, so they are there after a reboot and a restart of Docker.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Tells what would be set or taken away.
  diff_mode:
    support: full
    details: Shows the program that sets the rules.
options:
  project:
    description: Name of the Compose project, one guard each.
    type: str
    required: true
  state:
    description: Whether others are kept out.
    type: str
    choices: [present, absent]
    default: present
  port:
    description: The port on the host. Required for O(state=present).
    type: int
  sources:
    description: Addresses and networks that may reach it.
    type: list
    elements: str
    default: []
  sweep:
    description:
      - Take away what keeps others from a port that the service had before. Without it such a port stays guarded, after
        a reboot too, since a deployment that fails goes back to it.
    type: bool
    default: false
  backend:
    description: What sets the rules. V(auto) takes what Docker uses.
    type: str
    choices: [auto, iptables, nftables]
    default: auto
"""

EXAMPLES = r"""
- name: Let one network reach the service
  myia.vllm.port_guard:
    project: vllm-medium
    port: 5002
    sources: [10.1.0.0/16, "2001:db8:1::/48"]
"""

RETURN = r"""
backend: {description: What sets the rules; empty where they are taken away., type: str, returned: success}
unit: {description: The systemd unit., type: str, returned: success}
ports:
  description: The ports that are guarded, O(port) and those that the service had before.
  type: list
  elements: int
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.host import port_guard

#: Longest time for one command, in seconds: iptables waits for its lock.
LIMIT_S = 60


def run(argv: list[str]) -> tuple[int, str, str, bool]:
    """Run a command on the host."""
    return host_command.run(argv, LIMIT_S)


def must(module: AnsibleModule, argv: list[str], fix: str) -> None:
    """Run a command, and fail with what it says."""
    status, out, err, _late = run(argv)
    if status != 0:
        module.fail_json(msg="%s: exit status %d, %s %s" % (" ".join(argv), status, (err or out).strip()[:600], fix))


def present(module: AnsibleModule, project: str, before: tuple[str, str]) -> dict:
    """Set the rules, and see to it that they are set at each boot."""
    p, unit = module.params, port_guard.unit_name(project)
    backend = p["backend"] if p["backend"] != "auto" else port_guard.backend_of(run)
    # the service may come back to the port that it leaves, by itself and after a reboot
    left = [] if p["sweep"] else [port for port in port_guard.ports_of(before[0]) if port != p["port"]]
    ports = sorted([p["port"], *left])
    wanted = (port_guard.program(project, ports, p["sources"], backend), port_guard.unit(project))
    program = port_guard.paths(project)[0]
    same = before == wanted
    enabled = same and run(["systemctl", "is-enabled", "--quiet", unit])[0] == 0
    changed = not same or not enabled or run([program, "check"])[0] != 0
    if changed and not module.check_mode:
        # what another backend has set only its own program takes away
        if before[0] and port_guard.is_nftables(before[0]) != port_guard.is_nftables(wanted[0]):
            run([program, "down"])
        port_guard.write(project, wanted)
        must(module, [program, "up"], "Install %s on the host, or unset vllm_allowed_sources." % backend)
        must(module, ["systemctl", "daemon-reload"], "systemd has to run on the host.")
        must(module, ["systemctl", "enable", "--quiet", unit], "systemd has to run on the host.")
        must(module, ["systemctl", "restart", unit], "Look at systemctl status %s." % unit)
    if p["sweep"] and not module.check_mode:
        run([program, "sweep"])
    diff = {"before": before[0], "after": wanted[0], "before_header": program, "after_header": program}
    return {"changed": changed, "backend": backend, "unit": unit, "ports": ports, "diff": diff}


def absent(module: AnsibleModule, project: str, before: tuple[str, str]) -> dict:
    """Take rules, unit and program away."""
    unit, program = port_guard.unit_name(project), port_guard.paths(project)[0]
    changed = any(before)
    if changed and not module.check_mode:
        if before[0]:
            run([program, "down"])
        run(["systemctl", "disable", "--quiet", "--now", unit])
        port_guard.remove(project)
        run(["systemctl", "daemon-reload"])
    diff = {"before": before[0], "after": "", "before_header": program, "after_header": program}
    return {"changed": changed, "backend": "", "unit": unit, "ports": [], "diff": diff}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "port": {"type": "int"},
            "sources": {"type": "list", "elements": "str", "default": []},
            "sweep": {"type": "bool", "default": False},
            "backend": {"type": "str", "choices": ["auto", "iptables", "nftables"], "default": "auto"},
        },
        required_if=[("state", "present", ("port",))],
        supports_check_mode=True,
    )
    project = module.params["project"]
    before = port_guard.written(project)
    try:
        change = present if module.params["state"] == "present" else absent
        module.exit_json(**change(module, project, before))
    except OSError as error:
        module.fail_json(msg="%s: %s. Run it as root." % (error.filename, error.strerror))


if __name__ == "__main__":
    main()
