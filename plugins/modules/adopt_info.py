#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: read what a host has of vLLM that was set up by hand."""

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt_info
short_description: Read what a host has of vLLM that was set up by hand
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads containers, their images, the processes in them, the files around them (Compose files, C(.env), scripts, units
    of systemd), the GPUs, and what the services answer to C(/version) and C(/v1/models). Changes nothing and judges
    nothing.
  - What it returns holds tokens and keys, so use C(no_log). M(myia.vllm.adopt_plan) makes of it what the collection
    says.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  containers:
    description: Names of containers or Compose services that are meant; empty for all that look like vLLM.
    type: list
    elements: str
    default: []
  files:
    description: Further files to read, such as the script with C(docker run) in it.
    type: list
    elements: path
    default: []
  vllm_dir:
    description: Folder of the collection's own services, which are left out.
    type: path
    default: /opt/vllm
seealso:
  - module: myia.vllm.adopt_plan
"""

EXAMPLES = r"""
- name: Read what was set up by hand
  myia.vllm.adopt_info:
  register: found
  no_log: true
"""

RETURN = r"""
containers: {description: "What C(docker inspect) says of each, by name.", type: dict, returned: success}
images: {description: "What C(docker image inspect) says, by reference, by id.", type: dict, returned: success}
processes: {description: "Arguments of the server in each container, by name.", type: dict, returned: success}
environ: {description: "Tokens and keys that only the process has, by container.", type: dict, returned: success}
http: {description: "What each service answered, by container and path.", type: dict, returned: success}
files: {description: "Texts of the files, by path.", type: dict, returned: success}
units: {description: "Units of systemd that name such a container, by name.", type: dict, returned: success}
neighbours: {description: "Service, project and networks of each other container.", type: dict, returned: success}
host: {description: "The home that C(~) means, and the C(gpus).", type: dict, returned: success}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.adopt import reader
from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi


def gpus() -> list[dict]:
    """Return index, name, memory and UUID of each GPU; none where nvidia-smi does not tell."""
    found = smi.query(host_command.run).get("gpus") or []
    return [
        {
            "index": gpu.get("index"),
            "name": gpu.get("name"),
            "memory_mib": gpu.get("memory_total_mib"),
            "uuid": gpu.get("uuid"),
        }
        for gpu in found
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "containers": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "vllm_dir": {"type": "path", "default": "/opt/vllm"},
        },
        supports_check_mode=True,
    )
    p = module.params
    run = docker_cli.runner(module)
    engine = docker_cli.engine_info(run)
    if not engine["answering"]:
        module.fail_json(
            msg="Docker Engine does not answer: %s. Expected the engine whose containers are to be taken over%s. "
            "Nothing was changed." % (engine["error"], " (Podman's are not taken over)" if engine["podman"] else "")
        )
    try:
        found = reader.read(run, "/proc", p["files"], p["vllm_dir"], p["containers"])
    except RuntimeError as error:
        module.fail_json(msg="Docker does not say which containers there are: %s. Nothing was changed." % error)
    found["host"]["gpus"] = gpus()
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
