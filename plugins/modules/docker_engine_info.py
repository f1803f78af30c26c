#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what Docker Engine and Compose plugin a host has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_info
short_description: Find out what Docker Engine and Compose plugin a host has
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Asks the Docker command line, in one round trip, for the engine, the Compose plugin and the registered runtimes.
  - Needs nothing on the host but Python; a host without Docker is an answer, not an error.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  min_version:
    description: Oldest engine that counts as sufficient.
    type: str
    default: "20.10"
  compose_min_version:
    description: Oldest Compose plugin that counts as sufficient.
    type: str
    default: 2.22.0
seealso:
  - module: community.docker.docker_host_info
"""

EXAMPLES = r"""
- name: Inspect the engine
  myia.vllm.docker_engine_info:
  register: engine

- name: Show its runtimes
  ansible.builtin.debug:
    var: engine.engine.runtimes
"""

RETURN = r"""
engine:
  description: What was found.
  returned: always
  type: dict
  contains:
    installed: {description: Whether the docker command is there., type: bool, returned: always}
    answering: {description: Whether an engine answers., type: bool, returned: always}
    error: {description: Why none answers; empty otherwise., type: str, returned: always}
    version: {description: Version of the engine., type: str, returned: always}
    compose_version: {description: Version of the Compose plugin; empty without one., type: str, returned: always}
    operating_system: {description: The engine's operating system or product., type: str, returned: always}
    desktop: {description: Whether the engine is Docker Desktop., type: bool, returned: always}
    wsl: {description: Whether the host is a Windows Subsystem for Linux., type: bool, returned: always}
    rootless: {description: Whether the engine runs rootless., type: bool, returned: always}
    live_restore: {description: Whether containers outlive the daemon., type: bool, returned: always}
    cgroup_driver: {description: V(systemd) or V(cgroupfs)., type: str, returned: always}
    root_dir: {description: The engine's data folder., type: str, returned: always}
    runtimes: {description: Names of the registered OCI runtimes., type: list, elements: str, returned: always}
    default_runtime: {description: Name of the default runtime., type: str, returned: always}
    containers_running: {description: Number of running containers., type: int, returned: always}
    swarm: {description: Whether the engine takes part in a swarm., type: bool, returned: always}
    cdi_spec_dirs:
      description: Where the engine looks for CDI specifications; empty with CDI off, null before Docker 25.0.
      type: list
      elements: str
      returned: always
    registry_mirrors: {description: Mirrors of Docker Hub., type: list, elements: str, returned: always}
    podman: {description: Whether the command C(docker) is Podman's., type: bool, returned: always}
    dockerd_pid:
      description: Process of an engine that runs, whether it answers or not; 0 without one.
      type: int
      returned: always
    proxied: {description: Whether the engine pulls through a proxy of its own., type: bool, returned: always}
    engine_sufficient: {description: Whether the engine answers and is recent enough., type: bool, returned: always}
    compose_sufficient: {description: Whether the plugin is there and recent enough., type: bool, returned: always}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common.versions import at_least
from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "min_version": {"type": "str", "default": "20.10"},
            "compose_min_version": {"type": "str", "default": "2.22.0"},
        },
        supports_check_mode=True,
    )
    engine = docker_cli.engine_info(docker_cli.runner(module))
    engine["wsl"] = "microsoft" in os.uname().release.lower()
    engine["engine_sufficient"] = engine["answering"] and at_least(engine["version"], module.params["min_version"])
    engine["compose_sufficient"] = at_least(engine["compose_version"], module.params["compose_min_version"])
    module.exit_json(changed=False, engine=engine)


if __name__ == "__main__":
    main()
