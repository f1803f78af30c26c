#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: begin a benchmark of a service, look at it once, or finish it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark_step
short_description: Begin, look at or finish a benchmark that goes on by itself
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - One call is one look, one start or one end, and takes a second. The benchmark, C(vllm bench serve), runs inside the
    service's container, kept by a process of the host. It goes on when the connection is lost, and ends by itself when
    nobody has looked for five minutes. The results go to the folder C(benchmarks) of the service.
  - M(myia.vllm.benchmark) calls it until the benchmark is over.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.benchmark
  - myia.vllm.background
attributes:
  check_mode:
    support: full
    details: Looks, and begins and ends nothing.
  diff_mode:
    support: none
    details: Figures have no diff.
options:
  do:
    description: Begin it, look how far it is, or end it if it still runs and keep its result.
    type: str
    default: inspect
    choices: [inspect, start, finish]
  token:
    description: Names the caller's run; only a benchmark that was begun with it is looked at or finished.
    type: str
    required: true
  dead:
    description: Tokens of runs that the caller knows to be over; their benchmark is ended.
    type: list
    elements: str
    default: []
  who:
    description: Who that is, in words for others.
    type: str
    default: ""
  profile:
    description: Name of the profile.
    type: str
    required: true
  runs:
    description:
      - What to measure, one after the other, each with C(name), C(num_prompts), C(request_rate) (requests a second,
        null for all at once), C(max_concurrency) (null for no limit), C(input_tokens) and C(output_tokens) (of a
        request; null for a service that does not write).
    type: list
    elements: dict
    required: true
  work:
    description: What the requests are. Text to go on with, texts to embed, or texts to rank.
    type: str
    choices: [generate, embed, rerank]
    default: generate
"""

EXAMPLES = r"""
- name: Start a benchmark
  myia.vllm.benchmark_step:
    do: start
    token: "1"
    project: vllm-medium
    container: myia-vllm-medium-qwen3
    folder: /opt/vllm/medium
    profile: latency
    runs:
      - name: one at a time
        num_prompts: 10
        request_rate:
        max_concurrency: 1
        input_tokens: 512
        output_tokens: 128
"""

RETURN = r"""
state:
  description:
    - V(absent) without a benchmark of this token, V(running), V(ended), V(refused) when it was not begun, V(other) when
      one of somebody else runs.
  returned: always
  type: str
begun:
  description: Whether the service was found fit to be measured.
  returned: always
  type: bool
index:
  description: Number of the run that goes on, from 0.
  returned: always
  type: int
x:
  description: Requests of this run that are done.
  returned: always
  type: int
measured:
  description: Number of runs that gave a result.
  returned: always
  type: int
kept_in:
  description: Folder of the results on the host; empty before the service was found fit.
  returned: always
  type: str
problem:
  description: Why it was not begun, or why it ended early; empty otherwise. Secrets of C(.env) are masked.
  returned: always
  type: str
lines:
  description: The last lines of a benchmark that gave no result. Secrets of C(.env) are masked.
  returned: always
  type: list
  elements: str
other:
  description: Of somebody else's benchmark C(token), C(who), C(at) and C(silent_s).
  returned: always
  type: dict
note:
  description: What was done about a leftover; empty otherwise.
  returned: always
  type: str
result:
  description: With O(do=finish) the result, as M(myia.vllm.benchmark) returns it; else empty.
  returned: always
  type: dict
"""

import inspect
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import client as benchmark_client
from ansible_collections.myia.vllm.plugins.module_utils.benchmark import steps as benchmark_steps


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "default": "inspect", "choices": ["inspect", "start", "finish"]},
            # no secret: it names a run
            "token": {"type": "str", "required": True, "no_log": False},
            "dead": {"type": "list", "elements": "str", "default": []},
            "who": {"type": "str", "default": ""},
            "project": {"type": "str", "required": True},
            "container": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "profile": {"type": "str", "required": True},
            "runs": {"type": "list", "elements": "dict", "required": True},
            "work": {"type": "str", "choices": ["generate", "embed", "rerank"], "default": "generate"},
            "on_busy": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 3600},
            "keep": {"type": "int", "default": 20},
            "warn_percent": {"type": "float", "default": 10.0},
            "run_dir": {"type": "path", "default": "/run/myia-vllm"},
        },
        supports_check_mode=True,
    )
    settings = {**module.params, "runner_folder": os.path.join(module.params["run_dir"], module.params["project"])}
    steps = benchmark_steps.Steps(settings, inspect.getsource(benchmark_client))
    do = "inspect" if module.check_mode else module.params["do"]
    found = getattr(steps, do)()
    changed = (do == "start" and found["state"] == "running") or bool(found["result"].get("path"))
    module.exit_json(changed=changed, **found)


if __name__ == "__main__":
    main()
