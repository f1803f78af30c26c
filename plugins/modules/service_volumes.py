#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: make the Docker volumes that services share, and remove those that nobody else uses."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_volumes
short_description: Make the Docker volumes that services share, and remove those that nobody else uses
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Removes volumes, but those that a container of another project has, running or not, or that another service below
    the same folder names.
  - Makes those that are missing before Docker Compose is asked, which takes as they are what C(external) says.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: What was made, removed and kept is returned.
options:
  state:
    description: V(present) makes volumes that are not there, V(absent) removes them.
    type: str
    choices: [present, absent]
    default: absent
  project:
    description: The service's Compose project.
    type: str
    required: true
  volumes:
    description: The volumes.
    type: list
    elements: str
    required: true
  owners:
    description:
      - For O(state=present), by volume the Compose project that a new one is marked with, as Compose does. Empty or
        left out, none.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Remove the volumes
  myia.vllm.service_volumes:
    path: /opt/vllm/medium
    project: vllm-medium
    volumes: [vllm-hf-cache]

- name: Make the volume that all services share
  myia.vllm.service_volumes:
    path: /opt/vllm/embedding
    project: vllm-embedding
    state: present
    volumes: [vllm-hf-cache]
    owners:
      vllm-hf-cache: vllm-medium
"""

RETURN = r"""
created: {description: Volumes that were made., type: list, elements: str, returned: success}
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
            "state": {"type": "str", "choices": ["present", "absent"], "default": "absent"},
            "volumes": {"type": "list", "elements": "str", "required": True},
            "owners": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    p = module.params
    run = docker_cli.runner(module)
    created, removed, kept = [], [], {}
    try:
        if p["state"] == "present":
            created = _create(module, run)
        else:
            removed, kept = _remove(module, run)
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(created or removed), created=created, removed=removed, kept=kept)


def _create(module: AnsibleModule, run) -> list[str]:
    """Make what is missing; returns it."""
    missing = [volume for volume in module.params["volumes"] if not service_volumes.exists(run, volume)]
    # under --check a fresh host has no engine yet
    for volume in [] if module.check_mode else missing:
        service_volumes.create(run, volume, module.params["owners"].get(volume) or "")
    return missing


def _remove(module: AnsibleModule, run) -> tuple[list[str], dict[str, list[str]]]:
    """Remove what nobody else uses; returns what was removed, and what was kept with who uses it."""
    p = module.params
    removed, kept = [], {}
    for volume in p["volumes"]:
        if not service_volumes.exists(run, volume):
            continue
        try:
            users = service_volumes.other_users(run, pathlib.Path(p["path"]), p["project"], volume)
        except OSError as error:
            raise OSError("%s. The volume %s was kept." % (error, volume)) from error
        if users:
            kept[volume] = users
            continue
        if not module.check_mode:
            status, _out, err = run(["docker", "volume", "rm", volume])
            if status != 0:
                raise OSError("docker volume rm %s failed: %s" % (volume, err.strip()))
        removed.append(volume)
    return removed, kept


if __name__ == "__main__":
    main()
