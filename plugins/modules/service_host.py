# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_host
short_description: Make an inventory host of one service of a machine
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Adds a host C(<machine>-<service>) to the inventory of the run, in all groups of its machine, with all variables of
    the machine and over them those of the service's entry in C(vllm_services). Extra variables win over both, as ever.
  - From then on a service of several is a host like any other, so no result of one is taken for another's.
  - Runs on the controller and contacts no host. Variables may hold secrets, so use it with C(no_log).
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  hosts:
    description: The pattern of hosts of the run.
    type: str
    required: true
  service:
    description: One of the C(services) of M(myia.vllm.host_services).
    type: dict
    required: true
seealso:
  - module: myia.vllm.host_services
"""

EXAMPLES = r"""
- name: Make a host of each service
  myia.vllm.service_host:
    hosts: medium
    service: "{{ item }}"
  loop: "{{ found.services }}"
  no_log: true
  changed_when: false
"""

RETURN = r"""
add_host:
  description: The new host, for Ansible's strategy, C(host_name), C(groups) and C(host_vars).
  type: dict
  returned: success
"""
