#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: what the preflight checks need to know of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what the preflight checks need to know of a host
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads operating system, user, GPUs, the owner of a TCP port, free disk space and Docker in one round trip.
  - Judges nothing; M(myia.vllm.preflight) does.
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  port:
    description: TCP port to look at.
    type: int
    required: true
  project:
    description: Compose project of the service, to tell our container from others.
    type: str
    required: true
  paths:
    description: Folders whose free space counts, whether they exist yet or not.
    type: list
    elements: path
    default: []
  model_path:
    description: Folder of a local model; empty for a model from a hub.
    type: str
    default: ""
  gpus:
    description: Whether to ask for GPUs.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Look at the host
  myia.vllm.host_info:
    port: 5002
    project: vllm-medium
  register: host
"""

RETURN = r"""
host:
  description: What was found.
  returned: always
  type: dict
  contains:
    os: {description: Keys C(id), C(id_like), C(version) and C(name) of os-release., type: dict, returned: always}
    uid: {description: Effective user id the module ran with., type: int, returned: always}
    wsl: {description: Whether this is a Windows Subsystem for Linux., type: bool, returned: always}
    docker: {description: As returned by M(myia.vllm.docker_engine_info)., type: dict, returned: always}
    gpu: {description: Keys C(gpus) and C(error)., type: dict, returned: when asked for}
    port: {description: 'Keys C(listening), C(owner) and C(containers).', type: dict, returned: always}
    own_containers: {description: Containers of the project., type: list, elements: str, returned: always}
    free_gib: {description: Free space in GiB by folder., type: dict, returned: always}
    model_present: {description: Whether the local model's config.json is there., type: bool, returned: always}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils import docker_cli, host_facts


def read(path: str) -> str:
    """Return the text of ``path``, or an empty text when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "required": True},
            "project": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "path", "default": []},
            "model_path": {"type": "str", "default": ""},
            "gpus": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    p = module.params
    run = docker_cli.runner(module)
    release = host_facts.os_release(read("/etc/os-release"))
    docker = docker_cli.engine_info(run)
    inodes = host_facts.listening_inodes(p["port"], [read("/proc/net/tcp"), read("/proc/net/tcp6")])
    paths = [*p["paths"], docker["root_dir"] or "/var/lib/docker"]
    host = {
        "os": {
            "id": release.get("ID", ""),
            "id_like": release.get("ID_LIKE", ""),
            "version": release.get("VERSION_ID", ""),
            "name": release.get("PRETTY_NAME", ""),
        },
        "uid": os.geteuid(),
        "wsl": "microsoft" in os.uname().release.lower(),
        "docker": docker,
        "port": {
            "listening": bool(inodes),
            "owner": host_facts.owner_of(inodes) if inodes else {},
            "containers": host_facts.containers_on_port(run, p["port"]) if docker["answering"] else [],
        },
        "own_containers": host_facts.own_containers(run, p["project"]) if docker["answering"] else [],
        "free_gib": {path: host_facts.free_gib(path) for path in paths},
        "model_present": bool(p["model_path"]) and os.path.isfile(os.path.join(p["model_path"], "config.json")),
    }
    if p["gpus"]:
        host["gpu"] = host_facts.gpu_info(run)
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
