# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter that makes a schedule of AWX for each service."""

from __future__ import annotations

DOCUMENTATION = r"""
name: awx_schedules
short_description: A schedule of AWX for each service of the hosts
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - A playbook for one service asks which is meant, where a host has several. So each service that a C(vllm_services)
    of the hosts or of their group names gets a schedule that says its name, on the hosts that have it.
positional: hosts, variables
options:
  _input:
    description: The schedule, with the keys of C(awx.awx.schedule).
    type: dict
    required: true
  hosts:
    description: The hosts by name, each with its variables, as C(vllm_awx_hosts).
    type: dict
    default: {}
  variables:
    description: The variables of their group, as C(vllm_awx_variables).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the schedules
  ansible.builtin.debug:
    msg: "{{ {'name': 'Verify'} | myia.vllm.awx_schedules(vllm_awx_hosts, vllm_awx_variables) }}"
"""

RETURN = r"""
_value:
  description: The schedules, each with C(limit) and C(extra_data) too. One where no host has several services.
  type: list
  elements: dict
"""

from ansible_collections.myia.vllm.plugins.plugin_utils.services.awx import schedules


def awx_schedules(schedule: dict, hosts: dict | None = None, variables: dict | None = None) -> list[dict]:
    """Return a schedule for each service."""
    return schedules(schedule, hosts or {}, variables or {})


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict:
        """Return the filters of this file."""
        return {"awx_schedules": awx_schedules}
