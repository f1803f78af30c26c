#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: initialise CUDA in the service's own image, as vLLM does first."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cuda_container_test
short_description: Test that CUDA initialises in the service's own image
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Starts a container of the service's image that asks for GPUs the way the service does, and has its Python call
    C(cuInit) and C(cuDeviceGetCount) of C(libcuda.so.1). C(nvidia-smi) asks another library, and answers where CUDA
    does not start.
  - The container has no network, takes no memory of a GPU, and is removed again. The image is not pulled.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.docker.gpu_access
  - myia.vllm.docker.gpu_test
options:
  image:
    description: The service's image.
    type: str
    required: true
  release:
    description: Folder of the release, whose C(.env) has the values of O(environment); empty for none.
    type: str
    default: ""
  environment:
    description:
      - Variables of the service's container, each with the name that its value has in C(.env). Those that decide which
        C(libcuda) is loaded and which devices it shows are given to the test.
    type: dict
    default: {}
  timeout_s:
    description: Longest time in seconds for the container.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Test CUDA in the image
  myia.vllm.cuda_container_test:
    image: vllm/vllm-openai:v0.32.0
    devices: ["0"]
  register: cuda
"""

RETURN = r"""
cuda_test:
  description: What was seen. A test that fails is an answer here, not a failure of the module.
  returned: success
  type: dict
  contains:
    ok: {description: Whether CUDA started and counts the GPUs asked for., type: bool, returned: always}
    devices: {description: How many it counts; null when it did not get so far., type: int, returned: always}
    driver: {description: Newest CUDA release of the driver; empty when unknown., type: str, returned: always}
    library: {description: The libcuda that was loaded., type: str, returned: always}
    error:
      description: What is wrong, with C(id), C(text) and C(fix); null otherwise.
      type: dict
      returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import cuda_test
from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "access": {"type": "str", "choices": ["runtime", "cdi", "deploy"], "default": "runtime"},
            "devices": {"type": "list", "elements": "str", "default": ["all"]},
            "image": {"type": "str", "required": True},
            "release": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}},
            "timeout_s": {"type": "float", "default": 120.0},
        },
    )
    p = module.params
    name = "myia-vllm-cuda-test-%d" % os.getpid()
    values = dotenv.items(files.read_text(os.path.join(p["release"], ".env"), newline="")) if p["release"] else {}
    given = {key: values[p["environment"][key]] for key in cuda_test.DECIDE if p["environment"].get(key) in values}
    command = cuda_test.run_command(p["access"], p["devices"], p["image"], name, given)
    status, out, err, timed_out = host_command.run(command, p["timeout_s"])
    if timed_out:
        host_command.run(["docker", "rm", "--force", name], 20.0)
        found = {"ok": False, "devices": None, "driver": "", "library": ""}
        found["error"] = {
            "id": "hang",
            "text": "no answer within %g s" % p["timeout_s"],
            "fix": "The driver hangs: see journalctl -k | grep -e NVRM -e Xid, and reboot the host.",
        }
    else:
        found = cuda_test.judge(status, out, err, p["devices"])
    module.exit_json(changed=False, cuda_test=found)


if __name__ == "__main__":
    main()
