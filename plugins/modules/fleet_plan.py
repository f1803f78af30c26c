# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_plan
short_description: Put the hosts of a fleet in order, or tell whether one may be taken out of service
version_added: 0.2.0
author: myia.vllm contributors (@myia)
description:
  - Hosts that get no requests (their service does not answer, or a gateway keeps requests from them) come first; the
    others follow in the order in which they are given. The first batch is the canary, after which the others come.
  - What hosts have said is read from their variable C(__vllm_fleet_look), in which the role C(vllm_fleet) registers
    M(myia.vllm.service_status_info).
  - With O(turn) it tells whether that host may be taken out of service now.
  - Runs on the controller and contacts no host. It does not fail for what it sees; RV(problem) tells it.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  hosts:
    description: The hosts in the inventory's order; with O(turn), those whose turn it is.
    type: list
    elements: str
    required: true
  backend:
    description: Name of the service's backend in the gateways.
    type: str
    required: true
  gateways:
    description: What M(myia.vllm.gateway_info) returned, as the C(results) of a loop over the names of the gateways.
    type: list
    elements: dict
    default: []
  canary:
    description: How many hosts come before all others, a number or a share such as V(10%).
    type: raw
    default: 1
  serial:
    description: How many hosts at a time after that, a number, a share, or a list of them.
    type: raw
    default: 1
  turn:
    description: The host whose turn it is.
    type: str
    default: ""
  silent_s:
    description: After how many seconds without a sign of life the lock of another run does not count.
    type: int
    default: 300
seealso:
  - module: myia.vllm.fleet_report
"""

EXAMPLES = r"""
- name: Plan the run
  myia.vllm.fleet_plan:
    hosts: [gpu-1, gpu-2, gpu-3]
    backend: vllm_medium
    canary: 1
    serial: 2
"""

RETURN = r"""
batches:
  description: The hosts in batches; empty with a problem.
  type: list
  elements: list
  returned: without O(turn)
first:
  description: Hosts that came to the front, with C(host) and C(why).
  type: list
  elements: dict
  returned: without O(turn)
members:
  description: The same as a list of C(host) and C(group), the group of the inventory that stands for its batch.
  type: list
  elements: dict
  returned: without O(turn)
text:
  description: The plan for people.
  type: str
  returned: without O(turn)
problem:
  description: Why nothing may be begun, or why the host must not be taken out of service; empty without a reason.
  type: str
  returned: always
"""
