#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what the preflight checks need to know of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what the preflight checks need to know of a host
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads operating system, user, GPUs with what holds them, the owner of a TCP port, free disk space, Docker, the
    model's configuration, and whether hub and registry answer, in one round trip.
  - Judges nothing; M(myia.vllm.preflight) does.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  port:
    description: TCP port to look at.
    type: int
    required: true
  project:
    description: Compose project of the service, to tell our container from others.
    type: str
    required: true
  container_name:
    description: Name of the service's container; empty for none.
    type: str
    default: ""
  paths:
    description: Folders whose free space counts, whether they exist yet or not, and that must be writable.
    type: list
    elements: path
    default: []
  env:
    description:
      - Names in C(.env) that Compose would take from the environment first, with the value that a release will have
        where it is the same for everybody; null where it is not known here.
    type: dict
    default: {}
  release:
    description: Folder of the release that serves, with whose C(.env) the environment is compared.
    type: str
    default: ""
  mounts:
    description: Files and folders that are mounted from the host.
    type: list
    elements: path
    default: []
  files:
    description: Files of the host that the service reads when it starts.
    type: list
    elements: path
    default: []
  certificate:
    description: File with the certificate by which the service speaks TLS; empty for none.
    type: str
    default: ""
  certificate_key:
    description: File with its key.
    type: str
    default: ""
  networks:
    description: Docker networks that the service joins.
    type: list
    elements: str
    default: []
  model_path:
    description: Folder of a local model; empty for a model from a hub.
    type: str
    default: ""
  model:
    description: Id of a model on a hub; empty for a local model.
    type: str
    default: ""
  revision:
    description: Revision of O(model); empty for the main branch.
    type: str
    default: ""
  query_hub:
    description: Whether to ask the hub for O(model); its cache is looked at anyhow.
    type: bool
    default: true
  hf_endpoint:
    description: Address of the hub; empty for Hugging Face's.
    type: str
    default: ""
  hf_token:
    description: Access token of the hub.
    type: str
    default: ""
  adapters:
    description: LoRA adapters whose rank to read.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the adapter.
        type: str
        required: true
      source:
        description: Absolute path of its folder, or its id on the hub.
        type: str
        required: true
      revision:
        description: Commit; empty for the newest.
        type: str
        default: ""
  query_adapters:
    description: Whether the hub may be asked for adapters that are not in the cache.
    type: bool
    default: true
  hf_cache:
    description: Docker volume or absolute path of the hub's cache.
    type: str
    default: ""
  image:
    description: Container image to look for; empty for none.
    type: str
    default: ""
  pull:
    description: When the image will be pulled. The registry is asked only where that will happen.
    type: str
    choices: [missing, always, never]
    default: missing
  gpus:
    description: Whether to ask for GPUs.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Gather facts about the host
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
    os: {description: 'Keys C(id), C(id_like), C(version) and C(name) of os-release.', type: dict, returned: always}
    uid: {description: Effective user id the module ran with., type: int, returned: always}
    wsl: {description: Whether this is a Windows Subsystem for Linux., type: bool, returned: always}
    docker: {description: As returned by M(myia.vllm.docker_engine_info)., type: dict, returned: always}
    gpu:
      description:
        - Keys C(gpus), C(driver_version), C(cuda_version) and C(error), as returned by M(myia.vllm.gpu_info).
        - A process of a GPU has the C(container) that it runs in and its Compose C(project) too; empty for none.
      type: dict
      returned: when asked for
    driver:
      description:
        - What else is to be seen of the NVIDIA driver. Keys C(kernel), C(wsl), C(dxg), C(module_version), C(modules),
          C(module_files), C(module_kernels), C(library_versions), C(device_nodes), C(cards) and C(secure_boot).
      type: dict
      returned: when asked for
    port: {description: 'Keys C(listening), C(owner) and C(containers).', type: dict, returned: always}
    containers:
      description: Running containers with C(id), C(name), C(project) and the C(gpus) that they were given.
      type: list
      elements: dict
      returned: always
    named_container:
      description: C(name) and C(project) of the container called O(container_name), running or not; null without one.
      type: dict
      returned: always
    own_containers: {description: Containers of the project., type: list, elements: str, returned: always}
    path_problems:
      description: Of those of O(paths) that cannot be written, C(text) and C(fix).
      type: dict
      returned: always
    ambient:
      description:
        - Those of O(env) that the environment of this module has otherwise, V(differs) or V(unknown). No values.
      type: dict
      returned: always
    free_gib: {description: Free space in GiB by folder., type: dict, returned: always}
    file_systems: {description: A name of its file system by folder., type: dict, returned: always}
    docker_root: {description: Folder of the engine's data., type: str, returned: always}
    cache_dir: {description: Folder of the hub's cache on the host., type: str, returned: always}
    shm_free_mib: {description: Free MiB in the host's /dev/shm; null without one., type: float, returned: always}
    missing_mounts: {description: Those of O(mounts) that are not there., type: list, elements: str, returned: always}
    missing_files:
      description: Those of O(files) that are not there, or are no files.
      type: list
      elements: str
      returned: always
    tls_problem:
      description: Why O(certificate) and O(certificate_key) could not be used; empty where they can, or without them.
      type: str
      returned: always
    addresses:
      description: Addresses at which others may reach the host, without those of Docker's bridges.
      type: list
      elements: str
      returned: always
    port_guard:
      description: Whether M(myia.vllm.port_guard) keeps others from the port of O(project).
      type: bool
      returned: always
    networks:
      description:
        - The Compose project of each of O(networks) that is there, by its name; empty where Compose has not made it.
      type: dict
      returned: always
    image_present: {description: Whether the engine has the image., type: bool, returned: always}
    image_digests: {description: By which digests it knows it., type: list, elements: str, returned: always}
    model:
      description:
        - The C(config) of the model (null without), C(weights_bytes) (null when unknown), C(weights_source), whether it
          is C(cached), what its C(files) say (C(pooling_module), C(chat_template), C(mistral_tokenizer); null where it
          is not known), and the C(error) (null, or C(kind) and C(text)). Kinds are those of M(myia.vllm.capacity_info).
        - Of a folder on the host, or of the hub's cache, C(files_bytes) of the weights (null without any) and the
          C(missing_files) that its index names; of the cache its C(commit).
      type: dict
      returned: always
    adapters:
      description: By name, C(rank) of each of O(adapters) (null where it is not told) and C(error), as of C(model).
      type: dict
      returned: always
    registry:
      description: C(registry), C(ok) and C(text) of the image's registry; empty when it was not asked.
      type: dict
      returned: always
    clock:
      description: C(skew_s), seconds ahead of hub or registry (null when none answered), and the host's C(time).
      type: dict
      returned: always
"""

import concurrent.futures
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.docker import gpu_claims
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.host import facts as host_facts
from ansible_collections.myia.vllm.plugins.module_utils.host import folders, port_guard
from ansible_collections.myia.vllm.plugins.module_utils.hub import model_files, model_source, reachability
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.module_utils.service import adopted, dotenv


def hub_tasks(p: dict, skews: list, names: list) -> dict:
    """Return what is to be asked of the hub, for :func:`reachability.start`; ``names`` gets those of the files."""
    if not p["model"] or not p["query_hub"]:
        return {}
    asked = {
        "endpoint": p["hf_endpoint"],
        "token": p["hf_token"],
        "revision": p["revision"],
        "timeout_s": reachability.TIMEOUT_S,
    }
    return {
        "config": lambda: reachability.query_hub(p["model"], skews.append, **asked),
        "weights": lambda: model_source.hub_weights(p["model"], names=names, **asked),
        "tokenizer": lambda: reachability.query_hub(
            p["model"], lambda _skew: None, file="tokenizer_config.json", **asked
        ),
    }


def adapter_tasks(p: dict, cache_dir: str) -> dict:
    """Return what is to be read of each LoRA adapter, for :func:`reachability.start`, by its name."""

    def task(adapter: dict):
        return lambda: model_source.adapter_config(
            adapter["source"],
            cache_dir,
            p["query_adapters"],
            endpoint=p["hf_endpoint"],
            token=p["hf_token"],
            revision=adapter["revision"],
            timeout_s=reachability.TIMEOUT_S,
        )

    return {adapter["name"]: task(adapter) for adapter in p["adapters"]}


def model_facts(p: dict, cache_dir: str, answers: dict) -> dict:
    """Return what is known of the model, from its folder, the hub's answers or the cache."""
    facts = {"config": None, "weights_bytes": None, "weights_source": "", "cached": False, "error": None}
    facts["files"] = dict(model_files.UNKNOWN)
    facts.update(commit="", files_bytes=None, missing_files=[])
    folder = p["model_path"]
    if p["model"]:
        folder = model_source.cached_folder(cache_dir, p["model"], p["revision"])
        facts["cached"] = bool(folder)
        facts["commit"] = os.path.basename(folder)
        if p["query_hub"]:
            answer = answers.get("config", {"config": None, "error": reachability.late("the hub")})
            facts.update(answer)
            facts["weights_bytes"], facts["weights_source"] = answers.get("weights", (None, ""))
    if folder:
        facts["files"] = model_files.of_folder(folder)
        facts.update(model_source.on_disk(folder))
    if folder and not facts["config"]:
        try:
            facts.update(model_source.read_local(folder))
        except (OSError, model_source.SourceError) as error:
            facts["error"] = {"kind": getattr(error, "kind", "invalid"), "text": str(error)}
    return facts


def read_now(run, p: dict, docker: dict) -> dict:
    """Return what the host itself tells at once.

    Args:
        run: of ``docker_cli.runner``.
        p: the module's parameters.
        docker: of ``docker_cli.engine_info``.
    """
    release = host_facts.os_release(files.read_text("/etc/os-release"))
    inodes = host_facts.listening_inodes(
        p["port"], [files.read_text("/proc/net/tcp"), files.read_text("/proc/net/tcp6")]
    )
    root_dir = docker["root_dir"] or "/var/lib/docker"
    cache_dir = p["hf_cache"] if p["hf_cache"].startswith("/") else "%s/volumes/%s/_data" % (root_dir, p["hf_cache"])
    problems = {path: folders.problem(path, ("releases",)) for path in p["paths"]}
    paths = list(dict.fromkeys([*p["paths"], root_dir, *([cache_dir] if p["hf_cache"] else [])]))
    facts = {
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
        "containers": gpu_claims.running(run, docker["default_runtime"]) if docker["answering"] else [],
        "named_container": host_facts.container_named(run, p["container_name"])
        if docker["answering"] and p["container_name"]
        else None,
        "own_containers": host_facts.own_containers(run, p["project"]) if docker["answering"] else [],
        "path_problems": {path: found for path, found in problems.items() if found},
        "ambient": dotenv.ambient(p["env"], files.read_text(os.path.join(p["release"], ".env"))),
        "free_gib": {path: host_facts.free_gib(path) for path in paths},
        "file_systems": {path: host_facts.file_system(path) for path in paths},
        "docker_root": root_dir,
        "cache_dir": cache_dir,
        "shm_free_mib": host_facts.free_mib("/dev/shm"),
        "missing_mounts": [path for path in p["mounts"] if not os.path.exists(path)],
        "missing_files": [path for path in p["files"] if not os.path.isfile(path)],
        "tls_problem": host_facts.tls_problem(p["certificate"], p["certificate_key"]) if p["certificate"] else "",
        "addresses": host_facts.addresses(run),
        "port_guard": bool(port_guard.written(p["project"])[1]),
        "networks": host_facts.networks(run, p["networks"]) if docker["answering"] and p["networks"] else {},
    }
    adopted.claim_host(run, p["release"], p["project"], facts)
    return facts


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "required": True},
            "project": {"type": "str", "required": True},
            "container_name": {"type": "str", "default": ""},
            "paths": {"type": "list", "elements": "path", "default": []},
            "env": {"type": "dict", "default": {}},
            "release": {"type": "str", "default": ""},
            "mounts": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "certificate": {"type": "str", "default": ""},
            "certificate_key": {"type": "str", "default": "", "no_log": False},
            "networks": {"type": "list", "elements": "str", "default": []},
            "model_path": {"type": "str", "default": ""},
            "model": {"type": "str", "default": ""},
            "revision": {"type": "str", "default": ""},
            "query_hub": {"type": "bool", "default": True},
            "adapters": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "source": {"type": "str", "required": True},
                    "revision": {"type": "str", "default": ""},
                },
            },
            "query_adapters": {"type": "bool", "default": True},
            "hf_endpoint": {"type": "str", "default": ""},
            "hf_token": {"type": "str", "default": "", "no_log": True},
            "hf_cache": {"type": "str", "default": ""},
            "image": {"type": "str", "default": ""},
            "pull": {"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
            "gpus": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    p = module.params
    skews: list = []
    # asked first, looked at last: the rest is read while hub, driver and registry answer
    names: list = []
    hub = reachability.start(hub_tasks(p, skews, names))
    pool = concurrent.futures.ThreadPoolExecutor(1)
    driver_look = pool.submit(nvidia_driver.inspect, host_command.run) if p["gpus"] else None
    run = docker_cli.runner(module)
    docker = docker_cli.engine_info(run)
    digests = docker_cli.image_digests(run, p["image"]) if p["image"] and docker["answering"] else None
    image_present = digests is not None
    pulled = p["image"] and p["pull"] != "never" and (p["pull"] == "always" or not image_present)
    registry_name = reachability.registry_of(p["image"])
    registry = reachability.start(
        {"registry": lambda: reachability.query_registry(registry_name, skews.append)} if pulled else {}
    )
    host = {**read_now(run, p, docker), "image_present": image_present, "image_digests": digests or []}
    if driver_look:
        driver = driver_look.result()
        host["gpu"] = driver.pop("smi")
        host["driver"] = driver
        for gpu in host["gpu"]["gpus"]:
            for process in gpu["processes"]:
                process.update(
                    gpu_claims.container_of(files.read_text("/proc/%s/cgroup" % process["pid"]), host["containers"])
                )
    adapters = reachability.start(adapter_tasks(p, host["cache_dir"]))
    told = reachability.collect(hub)
    host["model"] = model_facts(p, host["cache_dir"], told)
    if host["model"]["files"] == model_files.UNKNOWN and names:
        host["model"]["files"] = model_files.of_listing(list(names), (told.get("tokenizer") or {}).get("config"))
    answers = reachability.collect(registry)
    late = {"rank": None, "error": reachability.late("the hub")}
    read = reachability.collect(adapters)
    host["adapters"] = {adapter["name"]: read.get(adapter["name"], late) for adapter in p["adapters"]}
    host["registry"] = {}
    if pulled:
        unanswered = {"registry": registry_name, "ok": False, "text": reachability.late("it")["text"]}
        host["registry"] = answers.get("registry", unanswered)
    known = [skew for skew in list(skews) if skew is not None]
    host["clock"] = {"skew_s": round(known[0], 1) if known else None, "time": time.time()}
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
