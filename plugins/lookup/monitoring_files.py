# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup that makes the files by which Prometheus and Alertmanager know of the services."""

from __future__ import annotations

DOCUMENTATION = r"""
name: monitoring_files
short_description: Files by which Prometheus and Alertmanager know of vLLM services
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns files, each with its path below C(/etc/vllm-monitoring), made from the C(vllm_monitoring_*) variables and,
    for V(service), from C(vllm_definition).
  - Meant for the role P(myia.vllm.vllm_monitoring#role).
options:
  _terms:
    description:
      - V(server) for what a monitoring host has whatever its services are, V(service) for one service, V(gateway) for
        the gateway that the host is, V(dashboards) for the dashboards, V(machine) for the name of the machine.
    type: list
    elements: str
    required: true
  release:
    description: Release of the service that runs.
    type: str
    default: ""
  hosts:
    description: Hosts of the group that monitors.
    type: list
    elements: str
    default: []
  version:
    description:
      - vLLM release that runs. Empty, for a service what its definition says, and for dashboards the newest that is
        known.
    type: str
    default: ""
  model:
    description: Name under which the release that runs serves its model; empty for what the definition says.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show which files a service gets
  ansible.builtin.debug:
    msg: "{{ query('myia.vllm.monitoring_files', 'service', hosts=groups.monitoring) | map(attribute='path') }}"
"""

RETURN = r"""
_list:
  description:
    - Dictionaries with C(path), C(content) and C(secret) (whether it is for the user of Prometheus alone). One with the
      path C(address), C(warning) or C(machine) is no file, but says at which address the machine is reached, what an
      operator should know, or the machine's name.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import role_options, usable_values
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import files
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import MonitoringError


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        """Return the files; raises AnsibleLookupError when a variable has no usable value."""
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        values = self._values(role_options("vllm_monitoring"), variables)
        host = {
            "name": variables.get("inventory_hostname", ""),
            "groups": variables.get("groups", {}),
            "facts": variables.get("ansible_facts", {}),
            "monitoring": self.get_option("hosts"),
            "release": self.get_option("release"),
            "definition": self._value(variables, "vllm_definition", {}),
            "api_key": self._value(variables, "vllm_api_key", ""),
            "version": self.get_option("version"),
            "model": self.get_option("model"),
        }
        if "gateway" in terms:
            options = role_options("vllm_gateway")
            # by these alone clients reach it, and a monitoring host need not read its keys
            named = ("vllm_gateway_address", "vllm_gateway_port", "vllm_gateway_tls")
            host["gateway"] = self._values({name: options[name] for name in named}, variables)
        try:
            return [item for term in terms for item in files.of(str(term), values, host)]
        except MonitoringError as error:
            raise AnsibleLookupError(str(error)) from None

    def _values(self, options: dict, variables: dict) -> dict:
        """Return the variables of some options; raises AnsibleLookupError when one has no usable value."""
        try:
            return usable_values(options, variables, self._templar)
        except AnsibleError as error:
            raise AnsibleLookupError(str(error)) from None

    def _value(self, variables: dict, name: str, default: object) -> object:
        if name not in variables:
            return default
        found = self._templar.template(variables[name])
        return default if found is None else found
