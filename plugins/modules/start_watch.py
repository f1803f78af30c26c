# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docs of the action plugin ``start_watch``, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: start_watch
short_description: Watch a vLLM service start, name what it died of, and see that it answers
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Looks at container, log and C(/health) every few seconds and prints a line whenever something changed (which phase,
    how far, since when, for how much longer). It ends when the model has answered, when a failure is certain, or when
    a time limit ran out.
  - Each look is one short module call, so that nothing of it stays on the host; a connection that drops is taken up
    again.
  - A container that is replaced while it is watched is followed.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.url
  - myia.vllm.service.token
  - myia.vllm.failures
  - myia.vllm.connection
options:
  served_model_name:
    description: Model that must answer with a token; empty to be content with C(/health).
    type: str
    default: ""
  release:
    description: Folder of the release, whose C(.env) has the API key.
    type: path
  folder:
    description: Folder of the service, with the releases whose recorded starts tell the remaining time.
    type: path
  image:
    description: Image of the container, to find recorded starts like this one.
    type: str
    default: ""
  model:
    description: Hugging Face id or folder of the model, to find recorded starts like this one and its downloaded bytes.
    type: str
    default: ""
  download_bytes:
    description: Size of the weights in bytes; 0 when it is not known.
    type: int
    default: 0
  poll_s:
    description: Seconds between two looks.
    type: float
    default: 2.0
  limits:
    description: Longest time in seconds by phase, and C(total); 0 for no limit.
    type: dict
    default: {}
  docker_error:
    description: What Docker said when it would not start the container; it is judged and nothing is watched.
    type: str
    default: ""
  nodes:
    description:
      - Hosts of the inventory that serve the model together, this one among them. A start that failed on one of them
        ends the watch on the others.
    type: list
    elements: str
    default: []
  attempt:
    description: What is the same on all O(nodes) for this start, and for no other one of the run.
    type: str
    default: ""
  fail:
    description: Whether the task fails when the service does not answer. Without it the result tells.
    type: bool
    default: true
seealso:
  - module: myia.vllm.startup_log_info
"""

EXAMPLES = r"""
- name: Watch the service start
  myia.vllm.start_watch:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
    served_model_name: Qwen2.5-32B-Instruct-AWQ
    folder: /opt/vllm/medium
    limits:
      total: 1800
      graphs: 1200
"""

RETURN = r"""
healthy:
  description: Whether the service answers.
  returned: always
  type: bool
problem:
  description: What is wrong, in words; empty when it answers.
  returned: always
  type: str
stopped:
  description: Who stopped the service on purpose, with C(at), C(who) and C(run); empty when nobody did.
  returned: always
  type: dict
lock_problem:
  description: >-
    Why the lock of O(token) is not the caller's any more, who must change nothing then; empty when it still is.
  returned: always
  type: str
diagnosis:
  description: The failure as RV(myia.vllm.startup_log_info#module:diagnosis) gives it; empty when there was none.
  returned: always
  type: dict
stalled:
  description: The phase whose time limit ran out, V(total) for the whole, or nothing.
  returned: always
  type: str
verdict_s:
  description: Seconds from the line that shows the failure, or from the container's end, to the verdict.
  returned: always
  type: float
again:
  description: V(transient) or V(once) when another start may get over the failure, else empty.
  returned: always
  type: str
start:
  description: How the start went; empty when it was healthy at the first look.
  returned: always
  type: dict
  contains:
    at: {description: When the container was started., type: str, returned: success}
    total_s: {description: Seconds from the container's start to the answer., type: float, returned: success}
    compile_cache: {description: 'V(cold) or V(warm), empty without compiling.', type: str, returned: success}
    phases:
      description: Each phase with C(start_s) and C(duration_s).
      type: list
      elements: dict
      returned: success
    facts: {description: What vLLM said about itself., type: dict, returned: success}
answers:
  description: Whether the model gave a token; null when it was not asked.
  returned: always
  type: bool
completion_s:
  description: Time of the one-token answer in seconds.
  returned: always
  type: float
now_s: {description: 'Clock of the host at the end, in seconds since 1970.', type: float, returned: always}
id: {description: The container's id., type: str, returned: when there is one}
state: {description: Docker's state of the container., type: str, returned: when it was looked at}
ended: {description: Whether the container has ended., type: bool, returned: when it was looked at}
exit_code: {description: Exit code of the last run., type: int, returned: when it was looked at}
oom_killed: {description: Whether the kernel ended it for lack of memory., type: bool, returned: when it was looked at}
restart_count: {description: How often Docker restarted it., type: int, returned: when it was looked at}
restart_policy: {description: Docker's restart policy of the container., type: str, returned: when it was looked at}
started_at: {description: When it was started., type: str, returned: when it was looked at}
http_status: {description: 'Status of C(/health), 0 without an answer.', type: int, returned: when it was looked at}
"""
