# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup that gives the play over a fleet its hosts and its batches."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_batches
short_description: Hosts of a fleet in the order of the run, or the sizes of its batches
version_added: 0.2.0
author: myia.vllm contributors (@myia)
description:
  - Returns what M(myia.vllm.fleet_plan) has planned for this run. Before there is a plan it returns nothing, so a play
    has no hosts then.
  - It reads the groups of the inventory that the run has made, which is all that Ansible shows when it reads a play's
    C(hosts) and C(serial).
options:
  _terms:
    description: Not used.
    type: list
    elements: str
  sizes:
    description: Whether the sizes of the batches are wanted, and not the hosts.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Deploy host by host
  hosts: "{{ query('myia.vllm.fleet_batches') }}"
  serial: "{{ query('myia.vllm.fleet_batches', sizes=true) }}"
  tasks: []
"""

RETURN = r"""
_list:
  description: Names of hosts, or sizes.
  type: list
  elements: raw
"""

from ansible.plugins.lookup import LookupBase

from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import plan


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        """Return hosts or sizes; for no plan an empty list, or one size since Ansible wants one."""
        self.set_options(var_options=variables, direct=kwargs)
        batches = plan.planned((variables or {}).get("groups") or {})
        if self.get_option("sizes"):
            return [len(batch) for batch in batches] or [1]
        return [host for batch in batches for host in batch]
