# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: startup_log_info
short_description: Say from a saved log whether a start of vLLM failed, of what, and what to do
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Compares the log of a container with the failure catalogue (C(docs/troubleshooting.md)) and names the cause, not its
    echoes. A failure that the catalogue does not know is called V(unknown), with the last lines of its first traceback.
  - It does not matter who carried the log (Compose, journald, a pod's collector, Ray, a terminal); what its lines share
    in front is found from the log. The log that a deployment kept of a failed start (C(failed-start.log) in the
    release) gives the answer of that deployment.
  - Never fails for what it finds in the log. Changes nothing. Evidence is shown without tokens, keys and passwords.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.failures
options:
  content:
    description: The log. One of O(content), O(path) and O(docker_error) is needed.
    type: str
  path:
    description: A file on the target that holds the log. Of one above 4 MiB the first and the last 2 MiB are read.
    type: path
  exit_code:
    description: Exit code of the container, when it ended.
    type: int
  oom_killed:
    description: Whether Docker says that the kernel ended the container for lack of memory.
    type: bool
    default: false
  state:
    description: Docker's state of the container, for example V(running) or V(exited).
    type: str
  docker_error:
    description: What Docker or Docker Compose printed when it could not start the container.
    type: str
  secrets:
    description: Values that must not appear in the answer.
    type: list
    elements: str
    default: []
seealso:
  - module: myia.vllm.service_status_info
"""

EXAMPLES = r"""
- name: Diagnose a saved log
  myia.vllm.startup_log_info:
    path: /opt/vllm/medium/vllm.log
    exit_code: 1
  register: start

- name: Show the cause
  ansible.builtin.debug:
    msg: "{{ start.diagnosis.cause }} {{ start.diagnosis.fix }}"

- name: Know a failure of your own
  myia.vllm.startup_log_info:
    content: "{{ lookup('ansible.builtin.file', 'vllm.log') }}"
    extra_failures:
      - id: licence-server-down
        class: transient
        cause: Our licence server does not answer.
        fix: Call the platform team.
        patterns: ['LicenceError: no seat']
"""

RETURN = r"""
diagnosis:
  description: What became of the start.
  returned: success
  type: dict
  contains:
    outcome:
      description: >-
        V(failed), V(healthy), V(starting), or V(stopped) for a service that was ready and that somebody then stopped.
      type: str
      returned: always
    id:
      description: Name of the failure; V(unknown) when no entry knows it, empty when it is starting or healthy.
      type: str
      returned: always
    ref: {description: Short reference of the entry., type: str, returned: always}
    cause: {description: What it means., type: str, returned: always}
    fix: {description: 'What to do, with the variables to change.', type: str, returned: always}
    class:
      description: >-
        V(configuration) or V(host) must be mended first; V(transient) may be tried again with growing pauses; V(once)
        once.
      type: str
      returned: always
    evidence: {description: The lines that show it., type: list, elements: str, returned: always}
    phase:
      description: The phase in which it failed, or that it is in.
      type: str
      returned: always
    numbers: {description: What those lines say in numbers., type: dict, returned: always}
    at_s:
      description: Time of the line that shows it, in seconds by the log's own clock; null without one.
      type: float
      returned: always
    certain:
      description: >-
        Whether no line that is still to come can name the failure better. Nothing is certain while the exception of a
        traceback is still to come.
      type: bool
      returned: always
    also: {description: Ids of other entries that were found., type: list, elements: str, returned: always}
progress:
  description: How far the start came, with C(phase), C(x), C(y), C(percent), C(elapsed_s) and C(phase_s).
  returned: success
  type: dict
phases:
  description: Each phase that was entered, with C(phase), C(start_s) and C(duration_s).
  returned: success
  type: list
  elements: dict
facts:
  description: >-
    What vLLM said about itself, for example C(kv_cache_gib), C(kv_cache_tokens), C(max_concurrency), C(weights_gib),
    C(load_s), C(compile_s), C(compile_cache), C(graphs_s) and C(init_engine_s).
  returned: success
  type: dict
"""
