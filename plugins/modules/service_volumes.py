#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: remove the Docker volumes of a service that nobody else uses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_volumes
short_description: Remove the Docker volumes of a service that nobody else uses
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Removes volumes, but those that a container of another project has, running or not, or that another service below
    the same folder names.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: What was removed and what was kept is returned.
options:
  project:
    description: The service's Compose project.
    type: str
    required: true
  volumes:
    description: The volumes.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Remove the volumes
  myia.vllm.service_volumes:
    path: /opt/vllm/medium
    project: vllm-medium
    volumes: [vllm-hf-cache]
"""

RETURN = r"""
removed: {description: Volumes that were removed., type: list, elements: str, returned: success}
kept:
  description: Volumes that others use, each with its C(users).
  type: dict
  returned: success
"""

import pathlib

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.service import volumes as service_volumes


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "project": {"type": "str", "required": True},
            "volumes": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    p = module.params
    run = docker_cli.runner(module)
    removed, kept = [], {}
    for volume in p["volumes"]:
        status, _out, _err = run(["docker", "volume", "inspect", volume])
        if status != 0:
            continue
        try:
            users = service_volumes.other_users(run, pathlib.Path(p["path"]), p["project"], volume)
        except OSError as error:
            module.fail_json(msg="%s. The volume %s was kept." % (error, volume))
        if users:
            kept[volume] = users
            continue
        if not module.check_mode:
            status, _out, err = run(["docker", "volume", "rm", volume])
            if status != 0:
                module.fail_json(msg="docker volume rm %s failed: %s" % (volume, err.strip()))
        removed.append(volume)
    module.exit_json(changed=bool(removed), removed=removed, kept=kept)


if __name__ == "__main__":
    main()
