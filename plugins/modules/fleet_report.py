# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: Write what a run over a fleet came to, with one row for each host
version_added: 0.2.0
author: myia.vllm contributors (@myia)
description:
  - Reads what the roles have returned for each host (C(vllm_fleet_result), C(vllm_report_result),
    C(vllm_service_result)) and writes C(reports/fleet/<service>/<UTC time>/) with C(index.html), C(report.md) and
    C(report.json) on the controller. The page leads to the reports of the hosts. Contacts no host.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Writes a report in check mode too; it is no change of a host.
  diff_mode:
    support: none
    details: Changes nothing.
options:
  hosts:
    description: All hosts of the run, in its order.
    type: list
    elements: str
    required: true
  service:
    description: Name of the service.
    type: str
    required: true
  batches:
    description: RV(myia.vllm.fleet_plan#module:batches).
    type: list
    elements: list
    default: []
  first:
    description: RV(myia.vllm.fleet_plan#module:first).
    type: list
    elements: dict
    default: []
  problem:
    description: Why the run was not begun; empty when it was.
    type: str
    default: ""
  dir:
    description: Folder on the controller in which C(reports/) lies. Empty for the one in which Ansible was started.
    type: str
    default: ""
  keep:
    description: Reports to keep of one fleet; 0 for all.
    type: int
    default: 50
seealso:
  - module: myia.vllm.report
"""

EXAMPLES = r"""
- name: Write the report of the fleet
  myia.vllm.fleet_report:
    hosts: [gpu-1, gpu-2]
    service: medium
"""

RETURN = r"""
verdict:
  description: In one word what the run came to.
  type: str
  returned: always
closing:
  description: The one message in which the run ends.
  type: str
  returned: always
ok:
  description: Whether all hosts are on the release.
  type: bool
  returned: always
hosts:
  description: >-
    One entry for each host, with C(host), C(state), C(release), C(downtime_s), C(gate), C(verdict) and C(path).
  type: list
  elements: dict
  returned: always
path:
  description: Folder of the report; empty where none could be written.
  type: str
  returned: always
"""
