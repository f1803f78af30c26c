#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what a report shows of a service as it is now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_snapshot_info
short_description: Look once at everything that a report shows of a service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads image, container, KV cache, GPUs and releases in one round trip. It waits for nothing, changes nothing and
    never fails; what cannot be seen is empty, and RV(problem) says why.
  - Of the container's variables and of any C(.env) nothing is returned.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.service.look
  - myia.vllm.service.url
options:
  image:
    description: Image to look at when there is no container.
    type: str
    default: ""
  model:
    description: Hugging Face id of the model, whose commit is looked for in the cache.
    type: str
    default: ""
  revision:
    description: Its revision; empty for the main branch.
    type: str
    default: ""
seealso:
  - module: myia.vllm.report
  - module: myia.vllm.service_status_info
"""

EXAMPLES = r"""
- name: Inspect the service
  myia.vllm.service_snapshot_info:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
    folder: /opt/vllm/medium
  register: snapshot
"""

RETURN = r"""
image:
  description: The image, with C(id), C(digests), C(created), C(size_bytes) and C(cuda_version).
  returned: always
  type: dict
container:
  description: >-
    The container, with C(name), C(id), C(state), C(started_at), C(restart_count), C(restart_policy) and
    C(memory_bytes) (in use).
  returned: always
  type: dict
ended_log_gz:
  description: >-
    Where Docker has started the container again because it had ended by itself, what it wrote before that (at most its
    last 2 MiB), compressed by gzip, in base64; empty where it did not.
  returned: always
  type: str
healthy: {description: Whether C(/health) answers 200., type: bool, returned: always}
vllm_version: {description: Version that C(/version) names., type: str, returned: always}
kv_cache:
  description: The KV cache as C(/metrics) tells it, with C(tokens), C(blocks) and C(block_size); 0 for unknown.
  returned: always
  type: dict
gpu: {description: What M(myia.vllm.gpu_info) finds; empty with O(gpus=false)., type: dict, returned: always}
engine_version: {description: Version of Docker Engine., type: str, returned: always}
model_commit: {description: Commit of the model in the cache., type: str, returned: always}
releases:
  description: >-
    Releases of the service, the newest first, each with C(name), C(current), C(good), C(created), C(image), C(model),
    C(start), C(failure) (the last failed start) and C(log) (its log), as far as they are known.
  returned: always
  type: list
  elements: dict
stopped:
  description: Who stopped the service on purpose, with C(at), C(who) and C(run); empty when nobody did.
  returned: always
  type: dict
problem: {description: 'What could not be seen, and why.', type: str, returned: always}
"""

import base64
import concurrent.futures
import gzip
import json

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log, container_memory
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets
from ansible_collections.myia.vllm.plugins.module_utils.service import service_http, stopped
from ansible_collections.myia.vllm.plugins.module_utils.service import snapshot as service_snapshot

#: Most bytes of /metrics that are read; 374 series of a service that was just started are about 60 kB.
METRICS_BYTES = 4_000_000


def fetch(module: AnsibleModule, path: str) -> tuple[int, str]:
    """Return (HTTP status, body); status 0 when nothing answered."""
    limit_s = module.params["timeout_s"]
    url = service_http.seen_from_host(
        module.params["url"] + path, module.params["container"], lambda argv: host_command.run(argv, limit_s)
    )
    status, body, _wrong = service_http.query(url, module.params["timeout_s"], most_bytes=METRICS_BYTES)
    return status, body.decode("utf-8", "replace") if status == 200 else ""


def docker_says(module: AnsibleModule, result: dict, problems: list[str]) -> None:
    """Write what Docker says of container, image and itself into ``result``."""
    limit_s = module.params["timeout_s"]

    def docker(*argv: str) -> tuple[int, str, str]:
        return host_command.run(["docker", *argv], limit_s)[:3]

    status, out, err = docker("version", "--format", "{{.Server.Version}}")
    if status != 0:
        reason = {127: "docker is not installed", 124: "docker gave no answer in %g s" % limit_s}
        problems.append(reason.get(status) or "docker does not answer: %s" % err.strip()[:300])
        return
    result["engine_version"] = out.strip()
    status, out, err = docker("container", "inspect", module.params["container"])
    inspected = service_snapshot.first(out)
    if not inspected:
        problems.append("there is no container %s" % module.params["container"])
    else:
        running = (inspected.get("State") or {}).get("Status") == "running"
        pid = (inspected.get("State") or {}).get("Pid") or 0
        memory = container_memory.used_bytes(inspected["Id"], pid) if running else 0
        if memory is None:
            memory = service_snapshot.memory_bytes(
                docker("stats", "--no-stream", "--format", "{{.MemUsage}}", inspected["Id"])[1]
            )
        result["container"] = service_snapshot.container(inspected, memory)
        if running and result["container"]["restart_count"]:
            result["ended_log_gz"] = ended_log(inspected, service_secrets.values(module.params["folder"]))
        result["model_commit"] = service_snapshot.model_commit(
            inspected, module.params["model"], module.params["revision"]
        )
    wanted = inspected.get("Image") or module.params["image"]
    if wanted:
        found = service_snapshot.first(docker("image", "inspect", wanted)[1])
        if found:
            result["image"] = service_snapshot.image(found)


def ended_log(inspected: dict, secrets: list[str]) -> str:
    """Return what a container wrote before Docker started it again, without secrets, by gzip and in base64."""
    lines = container_log.before("docker", inspected["Id"], inspected["State"]["StartedAt"])
    text = service_secrets.masked(lines.decode("utf-8", "replace"), secrets)
    return base64.b64encode(gzip.compress(text.encode(), 1)).decode("ascii")


def service_says(module: AnsibleModule, result: dict, problems: list[str]) -> None:
    """Write what the service says of itself into ``result``."""
    status, _body = fetch(module, "/health")
    result["healthy"] = status == 200
    if status != 200:
        answer = "HTTP %d" % status if status > 0 else "nothing"
        problems.append("%s/health answers %s" % (module.params["url"], answer))
        return
    try:
        result["vllm_version"] = str(json.loads(fetch(module, "/version")[1])["version"])
    except (ValueError, KeyError, TypeError):
        problems.append("/version gives no version")
    result["kv_cache"] = service_snapshot.kv_cache(fetch(module, "/metrics")[1])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "image": {"type": "str", "default": ""},
            "model": {"type": "str", "default": ""},
            "revision": {"type": "str", "default": ""},
            "gpus": {"type": "bool", "default": True},
            "timeout_s": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    problems: list[str] = []
    result = {
        **service_snapshot.EMPTY,
        "ended_log_gz": "",
        "healthy": False,
        "vllm_version": "",
        "gpu": {},
        "engine_version": "",
        "model_commit": "",
        "releases": [],
    }
    # the driver takes its time
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        gpu = pool.submit(nvidia_smi.query, host_command.run) if module.params["gpus"] else None
        docker_says(module, result, problems)
        service_says(module, result, problems)
        if gpu:
            result["gpu"] = gpu.result()
    result["releases"] = service_snapshot.kept_releases(module.params["folder"])
    result["stopped"] = stopped.read(
        module.params["folder"],
        result["container"]["state"],
        docker_cli.seconds(result["container"]["started_at"]),
    )
    secrets = service_secrets.values(module.params["folder"])
    result["problem"] = "; ".join(problems)
    module.exit_json(changed=False, **service_secrets.masked_all(result, secrets))


if __name__ == "__main__":
    main()
