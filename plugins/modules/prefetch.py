# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prefetch
short_description: Pull the image or download the weights while the old service still runs
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Begins the download on the host by M(myia.vllm.prefetch_step), prints how far it is, and waits for its end. Does
    nothing when everything is there.
  - The download goes on when this controller or the connection dies; the next run finds it and goes on watching. One
    that breaks off goes on where it stopped.
  - A failure is named by the collection's catalogue in one message. What may pass is tried again.
  - The weights are downloaded by a container of the service's own image, the only one that gets the Hugging Face token.
    It is removed when it is over.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.definition
  - myia.vllm.prefetch
  - myia.vllm.failures
  - myia.vllm.connection
attributes:
  check_mode:
    support: full
    details: Says whether anything is missing; downloads nothing.
  diff_mode:
    support: none
    details: Images and weights have no diff.
options:
  release:
    description: The staged release, C(vllm_config_result.release), whose Compose file has the container that downloads.
    type: dict
    default: {}
  timeout_s:
    description: Longest time in seconds; 0 for no limit.
    type: int
    default: 7200
  retries:
    description: How often a failure that may pass is tried again, counted anew whenever bytes have come.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Pull the image
  myia.vllm.prefetch:
    step: image
    definition: "{{ vllm_definition }}"

- name: Download the weights
  myia.vllm.prefetch:
    step: weights
    definition: "{{ vllm_definition }}"
    release: "{{ vllm_config_result.release }}"
"""

RETURN = r"""
step:
  description: The step.
  returned: always
  type: str
image:
  description: C(name) and C(id) of the image.
  returned: success of V(image)
  type: dict
weights:
  description:
    - C(models), a list with C(id), C(revision), C(commit), C(bytes), C(files) and C(downloaded) (bytes) of each
      repository.
  returned: success of V(weights)
  type: dict
bytes:
  description: Bytes downloaded now. Those of an image are compressed.
  returned: success
  type: int
seconds:
  description: How long it took.
  returned: success
  type: float
diagnosis:
  description:
    - Of what it failed, or what passed with another attempt, as M(myia.vllm.startup_log_info) returns it; else empty.
  returned: always
  type: dict
"""
