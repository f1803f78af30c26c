# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_pin
short_description: Find a service's image digest and model commit, and write them into the inventory
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - A tag and a branch may mean something else tomorrow; a digest and a commit do not. What serves now is taken where
    that is the inventory's image and model, else the registry and the hub are asked, by HTTP from the controller.
  - Fails when one of them cannot be found. What was found is written all the same. No host is contacted.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.definition
  - myia.vllm.inventory_file
options:
  snapshot:
    description: What M(myia.vllm.service_snapshot_info) returned; empty where nothing serves.
    type: dict
    default: {}
seealso:
  - module: myia.vllm.version_changes
"""

EXAMPLES = r"""
- name: Pin what serves
  myia.vllm.service_pin:
    definition: "{{ vllm_definition }}"
    snapshot: "{{ snapshot }}"
    file: inventory
"""

RETURN = r"""
variables:
  description: C(vllm_image) with its digest and C(vllm_model_revision), as far as they were found.
  returned: always
  type: dict
problems: {description: 'What was not found, and why.', type: list, elements: str, returned: always}
file: {description: The file that has the variables; empty for none., type: str, returned: always}
closing: {description: 'What was found, where it is from and where it was written.', type: str, returned: always}
"""
