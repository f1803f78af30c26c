#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_preflight
short_description: Judge the hosts that serve one model together
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Judges what each of the hosts found (M(myia.vllm.preflight)) and how they met (M(myia.vllm.node_meeting)), on the
    controller. Each host gets the same findings.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.definition
options:
  preflight:
    description: Name of the variable in which each host keeps what M(myia.vllm.preflight) returned.
    type: str
    required: true
  met:
    description: Name of the variable in which each host keeps what M(myia.vllm.node_meeting) returned.
    type: str
    required: true
  skip:
    description: Ids of checks whose failure is only reported.
    type: list
    elements: str
    default: []
seealso:
  - module: myia.vllm.preflight
  - module: myia.vllm.node_meeting
"""

EXAMPLES = r"""
- name: Compare the nodes
  myia.vllm.node_preflight:
    definition: "{{ vllm_definition }}"
    preflight: looked
    met: met
"""

RETURN = r"""
findings:
  description: Result of each check, as those of M(myia.vllm.preflight).
  returned: always
  type: list
  elements: dict
refused:
  description: Whether the hosts cannot serve the model together.
  returned: always
  type: bool
report:
  description: Every problem with what was found, what is needed and the fix; empty when nothing is refused.
  returned: always
  type: str
"""
