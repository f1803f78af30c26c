# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Judge whether a host can run the service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads the host by M(myia.vllm.host_info), in one round trip, and checks it against the definition of the service.
  - Reports every failed check in one message, errors before warnings. Changes nothing.
  - The host is asked whether it may download the model of O(definition). C(vllm_hf_token) and C(HF_ENDPOINT) of
    C(vllm_extra_env) are read from the host's variables for that, so that no secret stands in a task. Of other roles
    C(vllm_service_pull), C(docker_engine_install) and the minimum versions of C(docker_engine) are read.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.definition
options:
  min_free_gib:
    description: Free disk space in GiB that a first deployment needs. Unset, it is worked out from image and weights.
    type: float
  refuse:
    description: Whether the task fails for what cannot start. V(false) only returns it.
    type: bool
    default: true
  skip:
    description: Ids of checks whose failure gives a warning instead. An id that no check has is refused.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse what cannot start
  myia.vllm.preflight:
    definition: "{{ vllm_definition }}"
"""

RETURN = r"""
findings:
  description:
    - One entry for every check that applies, with C(id), C(ok), C(severity) (V(error) or V(warning)), C(found),
      C(needed), C(fix) and C(details) (lines of arithmetic).
  returned: success
  type: list
  elements: dict
refused:
  description: Whether a check failed for which a deployment is refused.
  returned: success
  type: bool
report:
  description: The text of the refusal; empty without one.
  returned: success
  type: str
kind:
  description:
    - The kind of service that the model becomes, C(name), with the C(reason) in words. V(chat), V(base), V(vision),
      V(embed), V(rerank), V(classify), V(token_classify), V(reward), V(transcription) or V(unknown).
    - C(architecture), C(runner), C(task), other kinds that it answers as, C(also), and why vLLM refuses it, C(refusal).
      Null without a config.json.
  type: dict
  returned: always
capacity:
  description: The plan of GPU memory, as M(myia.vllm.capacity_info) returns it; null without one.
  returned: success
  type: dict
no_capacity:
  description: Why there is no plan; empty otherwise.
  returned: success
  type: str
environment:
  description: Those of the variables that an operator adds to the container which change what vLLM takes of GPU memory.
  returned: success
  type: dict
host:
  description: What M(myia.vllm.host_info) found.
  returned: success
  type: dict
"""
