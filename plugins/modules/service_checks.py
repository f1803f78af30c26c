# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_checks
short_description: Check every endpoint of a vLLM service, and what its model answers
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Tells which kind of service runs, asks the endpoints that this vLLM release serves for it, looks whether the API
    key is needed where it must be and only there, and asks the model questions whose answers are known. Every check is
    told with what was seen.
  - Each kind of service has its own required checks. What cannot be told apart is said, and what only one of the kinds
    that are left must do is a warning then.
  - The questions are asked inside the service's own container by M(myia.vllm.service_query). Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.definition
  - myia.vllm.service.token
  - myia.vllm.connection
options:
  checks:
    description: Questions to the model; the role C(vllm_verify) documents their keys.
    type: list
    elements: raw
    default: []
  extra_checks:
    description: More of them. One with the id of another changes the keys that it names.
    type: list
    elements: raw
    default: []
  skip:
    description: Ids of checks that are left out, of any group.
    type: list
    elements: str
    default: []
  budget_s:
    description: No question is begun in a round trip after this time, in seconds. What is done then is shown.
    type: float
    default: 10
  fail:
    description: Whether the task fails when a required check failed.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Verify the service
  myia.vllm.service_checks:
    definition: "{{ vllm_definition }}"
    extra_checks:
      - id: our-product
        kind: chat
        prompt: Who makes the Model T?
        expect: {contains: [Ford]}
  register: vllm_verify_result
"""

RETURN = r"""
ok:
  description: Whether no required check failed.
  returned: always
  type: bool
problem:
  description: What failed; empty when nothing did.
  returned: always
  type: str
lock_problem:
  description: Why the lock of O(token) is not the caller's any more, which ends the checks; empty when it is.
  returned: always
  type: str
diagnosis:
  description: The same as a release notes it (C(id), C(phase), C(cause), C(evidence), C(certain)); empty when it is ok.
  returned: always
  type: dict
kind:
  description: >-
    V(chat), V(base) (no chat template), V(vision), V(embed), V(rerank), V(classify), V(token_classify), V(reward) or
    V(transcription); empty when the service could not be asked, or when it cannot be told.
  returned: always
  type: str
kinds:
  description: The kinds that are left when it cannot be told; else the one of RV(kind), or none.
  returned: always
  type: list
  elements: str
kind_told_by:
  description: What told the kind, and what is missing to tell it; empty when the service could not be asked.
  returned: always
  type: str
counts:
  description: How many checks C(passed), C(failed), C(warned) (failed, but not required) and were C(skipped).
  returned: always
  type: dict
duration_s:
  description: How long all of it took, in seconds.
  returned: always
  type: float
checks:
  description: >-
    Each with C(id), C(group) (endpoint, access, functional), C(what), C(must), C(status) (passed, failed, skipped),
    C(reason), C(duration_s), C(evidence).
  returned: always
  type: list
  elements: dict
"""
