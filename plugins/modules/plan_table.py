# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_table
short_description: Print what a preflight found as a table
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Prints the plan of GPU memory, what would help and the findings, no wider than 88 columns. Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.definition
options:
  result:
    description: What M(myia.vllm.preflight) returned.
    type: dict
    required: true
  skip:
    description: Ids of checks whose failure was only reported.
    type: list
    elements: str
    default: []
seealso:
  - module: myia.vllm.preflight
"""

EXAMPLES = r"""
- name: Inspect the host and refuse nothing
  myia.vllm.preflight:
    definition: "{{ vllm_definition }}"
    refuse: false
  register: looked

- name: Show it
  myia.vllm.plan_table:
    definition: "{{ vllm_definition }}"
    result: "{{ looked }}"
"""

RETURN = r"""
table:
  description: The lines of the table.
  returned: success
  type: list
  elements: str
"""
