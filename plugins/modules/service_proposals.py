# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_proposals
short_description: Propose values with which a model fits into a host's GPUs
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Plans the model on the GPUs that are free, with tensor, pipeline and data parallel sizes, KV caches and numbers of
    sequences, prints what fits, the best first, and returns it. Changes nothing.
  - Fails where nothing fits, or where the host has a fault for which a deployment would be refused, with the reason.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.definition
options:
  result:
    description: What M(myia.vllm.preflight) returned.
    type: dict
    required: true
  context_tokens:
    description: Longest sequence that is wanted in tokens, as V(32768) or V(32k); empty for the longest of the model.
    type: str
    default: ""
  users:
    description: How many such sequences are wanted at the same time.
    type: int
    default: 1
seealso:
  - module: myia.vllm.preflight
  - module: myia.vllm.plan_table
"""

EXAMPLES = r"""
- name: Inspect the host and refuse nothing
  myia.vllm.preflight:
    definition: "{{ vllm_definition }}"
    refuse: false
  register: looked

- name: Propose values for eight users with 32768 tokens each
  myia.vllm.service_proposals:
    definition: "{{ vllm_definition }}"
    result: "{{ looked }}"
    context_tokens: 32768
    users: 8
"""

RETURN = r"""
proposals:
  description:
    - The best first. Each has C(values) (variables for the inventory; C(yaml), the same as text) and what it C(buys) in
      words, C(fits) (V(yes), or V(uncertain) where nothing is sure to fit), C(tokens) of a sequence, C(kv_tokens)
      (C(low) and C(high), of all replicas), C(gpus) and C(replicas) (numbers), C(exact) (whether the KV cache keeps its
      data type) and C(meets) (whether all that is wanted).
  returned: success
  type: list
  elements: dict
table:
  description: The lines that are printed.
  returned: success
  type: list
  elements: str
"""
