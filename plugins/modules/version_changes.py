# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: version_changes
short_description: Tell which newer vLLM releases there are, and what one changes for a service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Asks the registry of the image for its tags by HTTP from the controller, and reads the collection's own table of
    releases. Where the registry does not answer, the table alone counts.
  - For one release it judges the service's own variables, as a deployment would, and the host as preflight has seen it.
  - Writes the variables of the change where O(file) says so. No host is contacted.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.definition
  - myia.vllm.inventory_file
options:
  host:
    description: RV(myia.vllm.preflight#module:host) of M(myia.vllm.preflight), for driver and plan. Empty without.
    type: dict
    default: {}
  to:
    description: The release to compare with. Empty for the newest that the table has.
    type: str
    default: ""
  offline:
    description: Whether to ask no registry.
    type: bool
    default: false
  repository:
    description: Repository of images to ask in place of the service's own, as V(registry.example.org/vllm/vllm-openai).
    type: str
    default: ""
seealso:
  - module: myia.vllm.service_pin
"""

EXAMPLES = r"""
- name: Look for newer releases
  myia.vllm.version_changes:
    definition: "{{ vllm_definition }}"
    host: "{{ vllm_preflight_result.host }}"
"""

RETURN = r"""
version: {description: The release that the service has., type: str, returned: success}
releases:
  description: >-
    Newer releases, oldest first, each C(version), C(in_table) and C(in_registry) (null where it was not asked).
  returned: success
  type: list
  elements: dict
asked: {description: 'Where was looked, and why not elsewhere.', type: str, returned: success}
change:
  description: >-
    What the release changes: C(version), C(variables) to set, C(own_image), C(refused), C(warnings), C(command),
    C(defaults), C(metrics_gone), C(driver), C(findings), C(capacity). Empty where the table has nothing
    newer; RV(releases) may have one that only the registry knows.
  returned: success
  type: dict
file: {description: The file that has the variables; empty for none., type: str, returned: success}
closing: {description: The whole in one sentence., type: str, returned: success}
"""
