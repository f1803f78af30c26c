# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: new_service_answers
short_description: Read what was answered about a new service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Checks the answers of C(playbooks/new_service.yml), all of them before anything happens, and tells what they mean.
  - Runs on the controller and contacts no host. Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  model:
    description: Name of the model on the Hugging Face hub.
    type: str
    default: ""
  host:
    description:
      - The host as for ssh, C(user@host) or C(user@host:port), or a name of the inventory. Empty for this machine.
    type: str
    default: ""
  name:
    description: Name of the service; empty for one made of the model's.
    type: str
    default: ""
  context_tokens:
    description: Longest prompt with its answer in tokens, as V(32768) or V(32k); empty for the model's own.
    type: str
    default: ""
  users:
    description: How many ask at the same time; empty for one.
    type: str
    default: ""
  folder:
    description: Folder of inventories on the controller. One that has this service already is refused.
    type: str
    required: true
seealso:
  - module: myia.vllm.service_proposals
"""

EXAMPLES = r"""
- name: Check the answers
  myia.vllm.new_service_answers:
    model: Qwen/Qwen3-8B-AWQ
    host: deploy@192.0.2.10
    context_tokens: 32k
    users: "8"
    folder: inventories
"""

RETURN = r"""
name:
  description: Name of the service.
  returned: success
  type: str
model:
  description: Name of the model.
  returned: success
  type: str
host:
  description: Name of the host in the inventory.
  returned: success
  type: str
connection:
  description: Variables with which Ansible reaches the host; empty for one that the inventory knows.
  returned: success
  type: dict
context_tokens:
  description: Longest sequence in tokens; null for the longest of the model.
  returned: success
  type: int
users:
  description: How many ask at the same time.
  returned: success
  type: int
folder:
  description: Folder of the new inventory.
  returned: success
  type: str
"""
