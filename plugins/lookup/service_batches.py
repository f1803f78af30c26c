# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup that gives a play its batches."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_batches
short_description: The serial of a play whose hosts may be services of one machine
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns a play's C(serial) such that no two services of one machine are worked on at a time. Where no machine has
    several it is the C(vllm_serial) of the run, or all hosts at once.
options:
  _terms:
    description: Pattern of hosts, as for P(myia.vllm.checked_hosts#lookup).
    type: list
    elements: str
    required: true
  one_by_one_before:
    description: >-
      Name of a group of gateways. Where it has hosts, and C(vllm_serial) is not set, machines are worked on one after
      the other, so that the others serve meanwhile.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Deploy the vLLM service
  hosts: "{{ query('myia.vllm.checked_hosts', 'medium') }}"
  serial: "{{ query('myia.vllm.service_batches', 'medium') }}"
  tasks: []
"""

RETURN = r"""
_list:
  description: Sizes of batches.
  type: list
  elements: raw
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        """Return the sizes of the batches; raises AnsibleLookupError for a vllm_serial that is none."""
        self.set_options(var_options=variables, direct=kwargs)
        problem = batches.problem_of((variables or {}).get("vllm_serial") or "100%")
        if problem:
            raise AnsibleLookupError(problem)
        gateways = (variables or {}).get("groups", {}).get(self.get_option("one_by_one_before")) or []
        return batches.sizes_of_run(variables or {}, terms, 1 if gateways else "100%")
