#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: make a model of random weights in the service's image."""

from __future__ import annotations

DOCUMENTATION = r"""
module: random_model
short_description: Make a model with random weights from a config.json
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Makes the weights of any architecture that the image's transformers knows, in the size that is wanted, with a
    tokenizer for its vocabulary. Memory, KV cache and speed are those of a trained model of that shape; what it answers
    is noise. Nothing is downloaded.
  - Runs in a container of O(image) without a network and without GPUs. All weights are in the host's memory once.
  - A folder that holds such a model already is left alone when it was made of the same options.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Weights have no diff.
options:
  image:
    description: An image of vLLM. It is not pulled.
    type: str
    required: true
  path:
    description: Folder of the model on the host. Files of a model that was made otherwise are replaced, others refused.
    type: path
    required: true
  config:
    description: Content of a C(config.json), without C(quantization_config).
    type: dict
    required: true
  size_gib:
    description: Size of all weights in GiB; the number of layers that comes nearest is taken. Without it, O(layers).
    type: float
  layers:
    description: Number of layers; without it and O(size_gib) the configuration's own.
    type: int
  dtype:
    description: Of the weights.
    type: str
    choices: [bfloat16, float16, float32]
    default: bfloat16
  seed:
    description: Of the random numbers.
    type: int
    default: 0
  timeout_s:
    description: Longest time in seconds for the container.
    type: float
    default: 1800
"""

EXAMPLES = r"""
- name: Make a model of 15 GiB in the shape of Qwen3-8B
  myia.vllm.random_model:
    image: vllm/vllm-openai:v0.32.0
    path: /srv/models/qwen3-random
    config: "{{ lookup('ansible.builtin.file', 'config.json') | from_json }}"
    size_gib: 15
  register: made
"""

RETURN = r"""
model:
  description: What was made, or is there; empty in check mode.
  returned: success
  type: dict
  contains:
    layers: {description: Number of layers., type: int, returned: when made}
    parameters: {description: Number of weights., type: int, returned: when made}
    bytes: {description: Size of the weight files., type: int, returned: when made}
    architecture: {description: Class of transformers., type: str, returned: when made}
    transformers: {description: Version of transformers., type: str, returned: when made}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.random_model import folder as model_folder


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "config": {"type": "dict", "required": True},
            "size_gib": {"type": "float"},
            "layers": {"type": "int"},
            "dtype": {"type": "str", "choices": ["bfloat16", "float16", "float32"], "default": "bfloat16"},
            "seed": {"type": "int", "default": 0},
            "timeout_s": {"type": "float", "default": 1800.0},
        },
        mutually_exclusive=[["size_gib", "layers"]],
        supports_check_mode=True,
    )
    p = module.params
    wanted = {name: p[name] for name in ("config", "size_gib", "layers", "dtype", "seed")}
    there = model_folder.made(p["path"], wanted)
    if there:
        module.exit_json(changed=False, model=there)
    problem = model_folder.refusal(p["path"])
    if problem:
        module.fail_json(msg=problem)
    if module.check_mode:
        module.exit_json(changed=True, model={})
    try:
        model_folder.empty(p["path"])
    except OSError as error:
        module.fail_json(msg="path: %s cannot be written (%s). Name another folder." % (p["path"], error.strerror))
    name = "myia-vllm-random-model-%d" % os.getpid()
    argv = model_folder.run_command(p["image"], p["path"], name, wanted)
    status, out, err, timed_out = host_command.run(argv, p["timeout_s"])
    if timed_out:
        host_command.run(["docker", "rm", "--force", name], 20.0)
    made = model_folder.answer(out) if status == 0 else {}
    if not made:
        model_folder.empty(p["path"])
        module.fail_json(msg=model_folder.failure(status, out, err, p))
    model_folder.record(p["path"], wanted, made)
    module.exit_json(changed=True, model=made)


if __name__ == "__main__":
    main()
