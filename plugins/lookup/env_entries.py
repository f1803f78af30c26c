# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup that lists the lines of a service's ``.env``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: env_entries
short_description: Names and values of the .env of a vLLM service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns the name and value of every line of the service's C(.env), made from the C(vllm_*) variables of the host.
  - The list holds secrets. Use it only in a template that is written with mode V(0600), in a task with C(no_log).
  - Meant for C(templates/env.j2), after P(myia.vllm.service_definition#module) has accepted the variables.
options:
  _terms:
    description: Takes none.
    required: false
"""

EXAMPLES = r"""
- name: Count the lines without showing one
  ansible.builtin.debug:
    msg: "{{ query('myia.vllm.env_entries') | length }}"
"""

RETURN = r"""
_list:
  description: Dictionaries with the keys C(name) and C(value), both text.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import (
    read_values,
    role_options,
    service_hosts,
)


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        """Return the lines; raises AnsibleLookupError when a variable has no usable value."""
        options = role_options("vllm")
        values, unreadable = read_values(options, variables or {}, self._templar)
        hosts = service_hosts(values, variables or {})
        _definition, problems, _warnings = definition.define(values, options, hosts)
        if unreadable or problems:
            raise AnsibleLookupError(
                "the definition of the service has problems; run myia.vllm.service_definition first"
            )
        return [{"name": name, "value": value} for name, value in definition.env_entries(values, options, hosts)]
