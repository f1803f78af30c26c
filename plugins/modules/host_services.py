# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_services
short_description: Find the services of a host that a run is about
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - A host with C(vllm_services) has several services. Where the run is about one of them, this returns what the host
    takes from its entry; where it is about several, it returns those, for M(myia.vllm.service_host) to make an
    inventory host of each.
  - Refuses entries that are not services or cannot be told apart, a playbook for one service where several could be
    meant, services that would take a name, a container, a port or more memory of a GPU than there is from each other,
    and a host whose groups are different services.
  - Runs on the controller and contacts no host. No message holds a secret; the
    result may, and is not shown.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  hosts:
    description: The pattern of hosts of the run.
    type: str
    required: true
  every:
    description: Whether the playbook takes all services of a host, and not just one.
    type: bool
    default: false
seealso:
  - module: myia.vllm.service_host
  - plugin: myia.vllm.checked_hosts
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Find the services
  myia.vllm.host_services:
    hosts: "{{ vllm_hosts | default('medium') }}"
  register: found
  changed_when: false
"""

RETURN = r"""
take:
  description: What the host takes from the one entry that is meant, C(name) and C(value) of each variable.
  type: list
  elements: dict
  returned: success
services:
  description: The services; empty where the run is about one.
  type: list
  elements: dict
  returned: success
  contains:
    name: {description: The C(vllm_name)., type: str}
    host: {description: Name of the inventory host to make., type: str}
    take: {description: The same as C(take) for this service., type: list, elements: dict}
"""
