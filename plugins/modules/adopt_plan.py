# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt_plan
short_description: Say in the collection's variables what was set up by hand
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Makes of what M(myia.vllm.adopt_info) read the variables and secrets that reproduce each service, and tells what
    they cannot say, what the next container would change, and what should be known.
  - Runs on the controller and contacts no host. Changes nothing. Its result holds secrets, so use C(no_log);
    RV(summary) holds none.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  found:
    description: The result of M(myia.vllm.adopt_info).
    type: dict
    required: true
  containers:
    description: Names of containers or Compose services that are meant; empty for all.
    type: list
    elements: str
    default: []
  accept:
    description:
      - Reasons for which a container is not left alone, that somebody has looked at. V(neighbours) are services of the
        same Compose project that depend on it or ask it by name; V(user) is a user of its own, who must be able to
        write.
    type: list
    elements: str
    choices: [neighbours, user]
    default: []
  folder:
    description: Folder of the inventory on the controller. One that is there already is refused.
    type: str
    required: true
  vllm_dir:
    description: Folder of the collection's own services on the host.
    type: str
    default: /opt/vllm
seealso:
  - module: myia.vllm.adopt_info
"""

EXAMPLES = r"""
- name: Say it in variables
  myia.vllm.adopt_plan:
    found: "{{ found }}"
    folder: inventories/gpu-1
  register: plan
  no_log: true
"""

RETURN = r"""
services:
  description: >-
    Each service with C(name), C(container), C(container_id), C(unit), C(origin), C(variables) (secrets among them),
    whether its container is left alone (C(staged)), and why not (C(why_not)).
  returned: success
  type: list
  elements: dict
connection: {description: "Variables by which Ansible reaches the host.", type: dict, returned: success}
secrets: {description: "Content of the vault file.", type: dict, returned: success}
main: {description: "Text of the variables' file.", type: str, returned: success}
hosts: {description: "Text of the hosts' file.", type: str, returned: success}
summary: {description: "What the operator should read, in lines.", type: list, elements: str, returned: success}
without_restart: {description: "Whether every container is left alone.", type: bool, returned: success}
"""
