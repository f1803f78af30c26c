# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark
short_description: Measure a service by vLLM's own benchmark
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Runs C(vllm bench serve) inside the service's container by M(myia.vllm.benchmark_step), with random prompts of the
    wanted length, prints how far it is, and compares the figures with the last good ones of the same profile and the
    same settings on this host.
  - Nothing is installed or downloaded. The API key is read inside the container.
  - Refuses a service that has requests of others. One request of the same size goes before each run and counts nowhere.
    The prompts differ each time, so the prefix cache does not answer them.
  - A dropped connection costs nothing. A benchmark that nobody looks at any more ends by itself after five minutes; one
    that an interrupted playbook left is ended by the next run, which begins anew.
  - What vLLM wrote is kept on the host in C(benchmarks/<UTC time>-<profile>/) in the service's folder, so the task is
    C(changed) whenever something was measured. A service is never changed by it.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.definition
  - myia.vllm.benchmark
  - myia.vllm.connection
attributes:
  check_mode:
    support: full
    details: Says what would be measured; measures nothing and asks no host.
  diff_mode:
    support: none
    details: Figures have no diff.
options:
  profile:
    description: Which of O(profiles).
    type: str
    default: latency
  profiles:
    description:
      - Lists of runs by name. A run has C(num_prompts), C(input_tokens) and C(output_tokens) (of a request), and may
        have C(name), C(request_rate) (requests a second; without it all come at once) and C(max_concurrency) (requests
        at the same time).
    type: dict
    required: true
  fail:
    description: Whether the task fails when the figures are not complete. Worse figures never make it fail.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Measure the service
  myia.vllm.benchmark:
    definition: "{{ vllm_definition }}"
    profile: load
    profiles:
      load:
        - num_prompts: 100
          input_tokens: 1024
          output_tokens: 128
  register: measured
"""

RETURN = r"""
ok:
  description: Whether every request of every run was answered.
  returned: always
  type: bool
problem:
  description: What went wrong; empty otherwise.
  returned: always
  type: str
profile:
  description: The profile.
  returned: always
  type: str
at:
  description: When it was begun, UTC.
  returned: always
  type: str
release:
  description: Name of the release that served; empty when it is not known.
  returned: always
  type: str
vllm_version:
  description: What the service says that it is; empty when it was not asked.
  returned: always
  type: str
model:
  description: The model, as the service was started with it.
  returned: always
  type: str
path:
  description: Folder on the host with the figures, C(run-<n>.json) as vLLM wrote them; empty when nothing was measured.
  returned: always
  type: str
runs:
  description: The runs in their order. A figure that was not measured is 0.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: Name of the run., type: str, returned: always}
    num_prompts: {description: Requests., type: int, returned: always}
    request_rate: {description: Requests a second; null for all at once., type: float, returned: always}
    max_concurrency: {description: Requests at the same time; null for no limit., type: int, returned: always}
    input_tokens: {description: Tokens of a prompt., type: int, returned: always}
    output_tokens:
      description: Tokens of an answer; null of a service that does not write.
      type: int
      returned: always
    completed: {description: Requests that were answered., type: int, returned: always}
    failed: {description: Requests that failed., type: int, returned: always}
    duration_s: {description: Time of the run., type: float, returned: always}
    request_throughput: {description: Requests a second., type: float, returned: always}
    output_throughput: {description: Generated tokens a second., type: float, returned: always}
    total_token_throughput: {description: Tokens of prompts and answers a second., type: float, returned: always}
    ttft_ms: {description: 'Time to the first token: C(mean), C(p50), C(p90), C(p99).', type: dict, returned: always}
    tpot_ms: {description: The same of the time per token after the first., type: dict, returned: always}
    itl_ms: {description: The same of the time between two tokens., type: dict, returned: always}
    e2el_ms: {description: The same of the whole request., type: dict, returned: always}
    ok: {description: Whether every request was answered., type: bool, returned: always}
    problem: {description: What went wrong., type: str, returned: always}
compared:
  description: Comparison with the last good benchmark of the same settings; empty without one.
  returned: always
  type: dict
  contains:
    at: {description: When that one was begun., type: str, returned: when there is one}
    release: {description: Its release., type: str, returned: when there is one}
    vllm_version: {description: Its vLLM., type: str, returned: when there is one}
    path: {description: Its folder., type: str, returned: when there is one}
    rows:
      description: C(run), C(metric), C(before), C(now), C(change_percent) and C(worse) of each figure that counts.
      type: list
      elements: dict
      returned: when there is one
warnings:
  description: A sentence for each run with figures that are worse by more than O(warn_percent).
  returned: always
  type: list
  elements: str
"""
