# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_ready
short_description: Check that the wanted hosts exist and their vaulted files open
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Ansible itself ends with success when no host matches, and does not say which file a missing vault password was
    for. Run this on the implicit localhost in a play of its own, with C(any_errors_fatal), to get a clear message.
  - Contacts no host and changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  hosts:
    description: Names of groups or hosts, separated by C(:) or C(,).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Check the inventory before any host is contacted
  hosts: localhost
  connection: local
  gather_facts: false
  become: false
  any_errors_fatal: true
  tasks:
    - name: Check that the hosts exist and their vaulted files open
      myia.vllm.inventory_ready:
        hosts: medium
"""

RETURN = r""" # """
