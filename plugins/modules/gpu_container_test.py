#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: start a container the way the service is started, and see which GPUs it gets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_container_test
short_description: Prove that a container gets exactly the GPUs it asks for
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Starts a container that asks for GPUs the way the service does, lists them in it with C(nvidia-smi -L), and compares
    their UUIDs with those of the host.
  - The container has no network, is removed again, and needs no image from anywhere; one of a few MiB is made from the
    host's own shell and C library, once.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.docker.gpu_access
  - myia.vllm.docker.gpu_test
options:
  image:
    description: Image with a shell in C(/bin/sh) to use in place of the one that is made. It is not pulled.
    type: str
    default: ""
  cache_key:
    description:
      - The RV(myia.vllm.nvidia_toolkit_info#module:toolkit.cache_key) under which the test is made. One that
        succeeds is remembered with them in C(/run), for M(myia.vllm.nvidia_toolkit_info) to find. Empty to remember
        nothing.
    type: str
    default: ""
  timeout_s:
    description: Longest time in seconds for the container.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Test that GPU 1 reaches a container
  myia.vllm.gpu_container_test:
    devices: ["1"]
  register: gpus
"""

RETURN = r"""
gpu_test:
  description: What was seen. A test that fails is an answer here, not a failure of the module.
  returned: success
  type: dict
  contains:
    ok: {description: Whether the container had exactly the GPUs asked for., type: bool, returned: always}
    gpus:
      description: The GPUs in the container, each with C(index) (there), C(name) and C(uuid).
      type: list
      elements: dict
      returned: always
    missing: {description: UUIDs asked for and not there., type: list, elements: str, returned: always}
    extra: {description: UUIDs there and not asked for., type: list, elements: str, returned: always}
    injected_by: {description: V(cdi) or V(toolkit) (its runtime or hook)., type: str, returned: always}
    error:
      description: Why there was no list, with C(id), C(text) and C(fix); null otherwise.
      type: dict
      returned: always
    image: {description: The image that was used., type: str, returned: always}
"""

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import gpu_test, gpu_test_cache

#: Seconds for the host's own nvidia-smi, which wakes the driver up on a host without persistence mode.
HOST_TIMEOUT_S = 20.0


def make_image(module: AnsibleModule) -> tuple[str, bool]:
    """Return (name of the image, whether it had to be made)."""
    files = gpu_test.image_files(host_command.run)
    tag = gpu_test.image_tag(files)
    status, _out, _err, _timed_out = host_command.run(["docker", "image", "inspect", "--format={{.Id}}", tag], 20.0)
    if status == 0:
        return tag, False
    done = subprocess.run(
        [module.get_bin_path("docker", required=True), "import", "--change=LABEL %s=1" % gpu_test.LABEL, "-", tag],
        input=gpu_test.image_archive(files),
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        module.fail_json(
            msg="the image for the test cannot be made: %s. Free space on Docker's disk, or name an image with a "
            "shell in nvidia_container_toolkit_gpu_test_image." % done.stderr.decode(errors="replace").strip()
        )
    # those of an older C library
    _status, out, _err, _timed_out = host_command.run(
        ["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", gpu_test.IMAGE], 20.0
    )
    for old in set(out.split()) - {tag}:
        host_command.run(["docker", "image", "rm", old], 20.0)
    return tag, True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "access": {"type": "str", "choices": ["runtime", "cdi", "deploy"], "default": "runtime"},
            "devices": {"type": "list", "elements": "str", "default": ["all"]},
            "image": {"type": "str", "default": ""},
            "cache_key": {"type": "str", "default": "", "no_log": False},
            "timeout_s": {"type": "float", "default": 60.0},
        },
    )
    p = module.params
    _status, out, _err, _timed_out = host_command.run(["nvidia-smi", "-L"], HOST_TIMEOUT_S)
    wanted, unknown = gpu_test.wanted_uuids(p["devices"], gpu_test.listing(out))
    image, made = (p["image"], False) if p["image"] else make_image(module)
    name = "%s-%d" % (gpu_test.IMAGE, os.getpid())
    status, out, err, timed_out = host_command.run(
        gpu_test.run_command(
            p["access"], p["devices"], image, name, gpu_test.smi_folders(host_command.which("nvidia-smi"))
        ),
        p["timeout_s"],
    )
    if timed_out:
        host_command.run(["docker", "rm", "--force", name], 20.0)
    found = {"ok": False, **gpu_test.judge(out, wanted), "error": None, "image": image}
    if timed_out:
        found["error"] = {
            "id": "hang",
            "text": "no answer within %g s" % p["timeout_s"],
            "fix": "The driver hangs: see journalctl -k | grep -e NVRM -e Xid, and reboot the host.",
        }
    elif status != 0:
        found["error"] = gpu_test.explain(out + err)
    elif unknown:
        found["error"] = gpu_test.explain("%s: unknown device" % ", ".join(unknown))
    found["ok"] = found["error"] is None and not found["missing"] and not found["extra"] and bool(found["gpus"])
    if found["ok"] and p["cache_key"]:
        gpu_test_cache.write(p["cache_key"], found)
    module.exit_json(changed=made, gpu_test=found)


if __name__ == "__main__":
    main()
