#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what a host has of NVIDIA's driver and container toolkit, and what keeps them from working."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_toolkit_info
short_description: Look at a host's NVIDIA driver and container toolkit, and name what is wrong
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads driver, device nodes, toolkit packages, old package sources, the runtime's configuration and CDI
    specifications in one round trip, and judges them for the way containers shall get their GPUs.
  - Changes nothing; a problem is an answer, not a failure.
  - With O(removal=true) only looks who uses the toolkit and what of it is there, as before its removal.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.docker.gpu_access
options:
  engine:
    description: The RV(myia.vllm.docker_engine_info#module:engine) that was found.
    type: dict
    required: true
  devices:
    description: GPUs by index or UUID that the service wants.
    type: list
    elements: str
    default: []
  version:
    description: Version of the four packages that is wanted.
    type: str
    default: 1.20.1
  revision:
    description: Package revision that is wanted.
    type: str
    default: "1"
  min_version:
    description: Oldest version that is safe.
    type: str
    default: 1.19.1
  allow_vulnerable:
    description: Whether an older one is accepted.
    type: bool
    default: false
  package_files:
    description: Local package files to install from, in place of a repository.
    type: list
    elements: path
    default: []
  removal:
    description: Whether this is about removing the toolkit; nothing is judged then.
    type: bool
    default: false
  gpu_test_image:
    description: Image that a test would use, as for M(myia.vllm.gpu_container_test).
    type: str
    default: ""
  repository:
    description: Address that the package source shall name; empty when no repository is used.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Inspect the engine
  myia.vllm.docker_engine_info:
  register: found

- name: Inspect driver and toolkit
  myia.vllm.nvidia_toolkit_info:
    engine: "{{ found.engine }}"
    version: 1.20.1
  register: toolkit
"""

RETURN = r"""
toolkit:
  description: What was found and what follows from it.
  returned: success
  type: dict
  contains:
    packages: {description: 'Installed version of each of the four packages, or empty.', type: dict, returned: always}
    to_install: {description: Packages that are not at the wanted version., type: list, elements: str, returned: always}
    old_packages: {description: Packages of before 1.14 to remove., type: list, elements: str, returned: always}
    old_sources: {description: Old package sources to remove., type: list, elements: str, returned: always}
    source_current: {description: Whether the package source names the repository., type: bool, returned: always}
    install_needed: {description: Whether any of these needs work., type: bool, returned: always}
    runtime_config: {description: The C(mode) and C(no_cgroups) of the runtime., type: dict, returned: always}
    cdi_specs:
      description: CDI specifications of NVIDIA GPUs, with C(path), C(version), C(devices) and C(drivers).
      type: list
      elements: dict
      returned: always
    cdi_stale: {description: Why they do not fit driver and GPUs; empty otherwise., type: str, returned: always}
    daemon_config: {description: Keys that C(daemon.json) needs., type: dict, returned: always}
    daemon_current:
      description: Whether C(daemon.json) has them, and the running engine was told everything that is in it.
      type: bool
      returned: always
    cache_key:
      description: Digest of everything that decides whether a container gets its GPUs.
      type: str
      returned: always
    engine_lacks:
      description: V(none), V(reload) or V(restart), beyond what the file lacks.
      type: str
      returned: always
    installed: {description: Those of the four that are there., type: list, elements: str, returned: for a removal}
    gpu_containers:
      description: Running containers that use a GPU.
      type: list
      elements: str
      returned: for a removal
    driver: {description: Version of the driver; empty without one., type: str, returned: always}
    gpus:
      description: The GPUs, each with C(index), C(uuid) and C(name).
      type: list
      elements: dict
      returned: always
gpu_test:
  description: The test that was made under the same circumstances, as RV(myia.vllm.gpu_container_test#module:gpu_test).
  returned: when there is one
  type: dict
problems:
  description: What has to be mended first, each with C(id), C(found), C(needed) and C(fix).
  returned: success
  type: list
  elements: dict
report:
  description: The problems as one text for people; empty without any.
  returned: success
  type: str
warnings:
  description: What works now and may break later.
  returned: when there is something
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.docker import daemon_config
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.host import facts as host_facts
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import gpu_test_cache
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import toolkit as container_toolkit


def daemon_current(wanted: dict) -> bool:
    """Return whether daemon.json and the engine have all that is wanted; no for a file that cannot be read."""
    try:
        file = daemon_config.DaemonConfig(daemon_config.DEFAULT_PATH)
    except daemon_config.DaemonConfigError:
        return False
    pending = file.pending(daemon_config.engine_identity())
    return file.wanted(wanted, "present") == file.data and daemon_config.action_needed(pending) == "none"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "dict", "required": True},
            "access": {"type": "str", "choices": ["runtime", "cdi", "deploy"], "default": "runtime"},
            "devices": {"type": "list", "elements": "str", "default": []},
            "version": {"type": "str", "default": "1.20.1"},
            "revision": {"type": "str", "default": "1"},
            "min_version": {"type": "str", "default": "1.19.1"},
            "allow_vulnerable": {"type": "bool", "default": False},
            "package_files": {"type": "list", "elements": "path", "default": []},
            "removal": {"type": "bool", "default": False},
            "gpu_test_image": {"type": "str", "default": ""},
            "repository": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    p = module.params
    system = host_facts.os_release(files.read_text("/etc/os-release"))
    family = "debian" if "debian" in (system.get("ID"), *system.get("ID_LIKE", "").split()) else "rpm"
    run = docker_cli.runner(module)
    facts = container_toolkit.inspect(run, family, p["package_files"])
    if p["removal"]:
        users = sorted(item["name"] for item in docker_cli.running_containers(run).values() if item["gpu"])
        there = [name for name, version in facts["packages"].items() if version]
        module.exit_json(changed=False, toolkit={"gpu_containers": users, "installed": there}, problems=[], report="")
    driver = nvidia_driver.inspect(host_command.run)
    gpus = driver["smi"]["gpus"]
    problems = nvidia_driver.problems(driver, p["devices"], need_uvm=p["access"] == "cdi")
    problems += container_toolkit.problems(facts, p["engine"], p)
    for text in container_toolkit.warnings(facts, p["engine"], p):
        module.warn(text)
    to_install = container_toolkit.to_install(facts, p)
    old = facts["old_packages"] + facts["old_sources"]
    source_current = p["repository"] in facts["source"]
    wanted = container_toolkit.wanted_daemon_config(p["access"], p["engine"])
    cache_key = gpu_test_cache.cache_key(
        {"access": p["access"], "devices": p["devices"], "image": p["gpu_test_image"]},
        p["engine"],
        daemon_config.engine_identity(),
        gpus,
        driver["smi"]["driver_version"] or "",
    )
    kept = gpu_test_cache.read(cache_key)
    module.exit_json(
        changed=False,
        toolkit={
            "packages": facts["packages"],
            "to_install": to_install,
            "old_packages": facts["old_packages"],
            "old_sources": facts["old_sources"],
            "source_current": source_current,
            "install_needed": bool(to_install or old or not source_current),
            "runtime_config": facts["runtime_config"],
            "cdi_specs": facts["cdi_specs"],
            "cdi_stale": container_toolkit.stale_cdi(
                facts["cdi_specs"], gpus, p["devices"], driver["smi"]["driver_version"] or ""
            )
            if p["access"] == "cdi"
            else "",
            "daemon_config": wanted,
            "daemon_current": daemon_current(wanted),
            "cache_key": cache_key,
            "engine_lacks": container_toolkit.engine_lacks(p["access"], p["engine"]),
            "driver": driver["smi"]["driver_version"] or driver["module_version"] or "",
            "gpus": [{key: gpu[key] for key in ("index", "uuid", "name")} for gpu in gpus],
        },
        problems=problems,
        report=container_toolkit.report(problems) if problems else "",
        **({"gpu_test": kept} if kept else {}),
    )


if __name__ == "__main__":
    main()
