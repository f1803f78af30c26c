# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Judge whether a host can run the service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads the host by M(myia.vllm.host_info), in one round trip, and checks it against the definition of the service.
  - Reports every failed check in one message. Changes nothing.
attributes:
  check_mode:
    support: full
    description: Runs the same way in check mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  definition:
    description: The C(vllm_definition) that M(myia.vllm.service_definition) made.
    type: dict
    required: true
  min_free_gib:
    description: Free disk space in GiB that a first deployment needs.
    type: float
    default: 40
  skip:
    description: Ids of checks whose failure gives a warning instead.
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
  description: One entry for every check, with C(id), C(ok), C(found), C(needed) and C(fix).
  returned: success
  type: list
  elements: dict
host:
  description: What M(myia.vllm.host_info) found.
  returned: success
  type: dict
"""
