#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: one look at a service's container and its /health."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_status_info
short_description: Look once at a service's container and its /health endpoint
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Inspects the container, asks C(/health) and reads what is new in the log, in one round trip. It waits for nothing
    and never fails for what it sees. M(myia.vllm.start_watch) waits.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.token
options:
  url:
    description: Address of the health endpoint.
    type: str
    required: true
  timeout_s:
    description: Longest time to wait for the answer, in seconds.
    type: int
    default: 5
  log:
    description: Whether to read the container's log.
    type: str
    choices: [never, unless_healthy, always]
    default: never
  log_cursor:
    description: RV(log_cursor) of the last look, so that only newer lines come; without it the log of this start.
    type: dict
    default: {}
  log_max_bytes:
    description: Most bytes of the log in one look.
    type: int
    default: 2097152
  folder:
    description:
      - Folder of the service with its releases. What stands in their C(.env) as a secret is masked in the log and in
        errors, and RV(starts) and RV(lock) are read.
    type: path
  download:
    description: Whether to add up what is in the Hugging Face cache of O(model).
    type: bool
    default: false
  model:
    description: Hugging Face id, for O(download).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Inspect the service
  myia.vllm.service_status_info:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002/health
  register: service
"""

RETURN = r"""
healthy:
  description: Whether the container runs and /health answered 200.
  returned: always
  type: bool
ended:
  description: Whether the container is gone, or has ended and will not be restarted.
  returned: always
  type: bool
state:
  description: Docker's state of the container, V(missing) without one.
  returned: always
  type: str
exit_code:
  description: Exit code of the last run.
  returned: always
  type: int
oom_killed:
  description: Whether the kernel ended it for lack of memory.
  returned: always
  type: bool
restart_count:
  description: How often Docker restarted it.
  returned: always
  type: int
restart_policy:
  description: Docker's restart policy of the container.
  returned: always
  type: str
started_at:
  description: When it was started, as Docker says it.
  returned: always
  type: str
started_s:
  description: The same in seconds since 1970; 0 when it never was.
  returned: always
  type: float
http_status:
  description: Status of /health; 0 when nothing answered.
  returned: always
  type: int
error:
  description: What Docker says went wrong, or why /health did not answer.
  returned: always
  type: str
docker_error:
  description: What Docker says of a container that it could not start.
  returned: always
  type: str
id:
  description: The container's id; empty without one.
  returned: always
  type: str
finished_at:
  description: When its last run ended, as Docker says it.
  returned: always
  type: str
finished_s:
  description: The same in seconds since 1970; 0 when it never did.
  returned: always
  type: float
now_s:
  description: The host's clock, in seconds since 1970.
  returned: always
  type: float
log_gz:
  description: New lines of the log with Docker's time stamps, compressed by gzip, in base64; empty without any.
  returned: always
  type: str
log_cursor:
  description: For the next look.
  returned: always
  type: dict
log_more:
  description: Whether more of the log is there already.
  returned: always
  type: bool
starts:
  description: Recorded starts of the service's releases, the newest first.
  returned: with O(folder), at the first look (without O(log_cursor))
  type: list
  elements: dict
lock:
  description: Who deploys this service at the moment; empty when nobody does.
  returned: with O(folder)
  type: dict
stopped:
  description: Who stopped the service on purpose, with C(at), C(who) and C(run); empty when nobody did.
  returned: with O(folder)
  type: dict
lock_problem:
  description: Why the lock of O(token) is not the caller's any more; empty when it is.
  returned: always
  type: str
download_bytes:
  description: What is in the cache of O(model), in bytes; 0 when it is not known.
  returned: always
  type: int
"""

import base64
import gzip
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.hub import cache as hub_cache
from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock
from ansible_collections.myia.vllm.plugins.module_utils.service import releases, service_http, stopped
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Longest time for ``docker inspect``, in seconds.
INSPECT_S = 20


def inspect(docker: str, container: str) -> tuple[dict, list[dict]]:
    """Return what Docker says of the container, and its mounts; state V(missing) when there is none."""
    # an engine that hangs must not hang the watch
    status, out, err, _late = host_command.run([docker, "container", "inspect", container], INSPECT_S)
    if status != 0:
        state = "missing" if "no such" in err.lower() else "unknown"
        texts = dict.fromkeys(("restart_policy", "started_at", "finished_at", "id", "docker_error"), "")
        numbers = {"exit_code": 0, "oom_killed": False, "restart_count": 0}
        return {"state": state, "error": err.strip() or "docker inspect gave no answer", **texts, **numbers}, []
    data = json.loads(out)[0]
    return {
        "state": data["State"]["Status"],
        "exit_code": data["State"]["ExitCode"],
        "oom_killed": data["State"]["OOMKilled"],
        "restart_count": data["RestartCount"],
        "restart_policy": data["HostConfig"]["RestartPolicy"]["Name"],
        "started_at": data["State"]["StartedAt"],
        "finished_at": data["State"]["FinishedAt"],
        "id": data["Id"],
        "error": data["State"]["Error"],
        "docker_error": data["State"]["Error"],
    }, data.get("Mounts") or []


def query_health(module: AnsibleModule, result: dict) -> None:
    """Ask /health and write the answer into ``result``."""
    url = service_http.seen_from_host(
        module.params["url"], module.params["container"], lambda argv: host_command.run(argv, INSPECT_S)
    )
    result["http_status"], _answer, wrong = service_http.query(url, module.params["timeout_s"])
    result["healthy"] = result["http_status"] == 200
    if wrong:
        result["error"] = wrong


def log_begin(started_s: float, finished_s: float) -> str:
    """Return from when on the log belongs to the container's current run, for ``docker logs --since``.

    Docker notes the start a moment after the container has begun to write.
    """
    return "%.9f" % max(started_s - 1, finished_s if finished_s <= started_s else 0, 0)


def read_log(module: AnsibleModule, docker: str, result: dict, secrets: list[str]) -> None:
    """Read what is new in the log and write it into ``result``."""
    cursor = module.params["log_cursor"]
    if cursor.get("id") != result["id"]:
        # a container that Docker starts again and again tells by its earlier starts why
        cursor = {} if result["restart_count"] else {"time": log_begin(result["started_s"], result["finished_s"])}
    lines, cursor, more = container_log.read(docker, result["id"], cursor, module.params["log_max_bytes"])
    text = service_secrets.masked(lines.decode("utf-8", "replace"), secrets)
    result["log_gz"] = base64.b64encode(gzip.compress(text.encode(), 1)).decode("ascii") if text else ""
    result["log_cursor"] = {**cursor, "id": result["id"]}
    result["log_more"] = more


def cached_bytes(mounts: list[dict], model: str) -> int:
    """Return the bytes of a model in the cache that is mounted into the container, finished or not."""
    blobs = os.path.join(hub_cache.repository(hub_cache.mounted(mounts), model), "blobs")
    try:
        # a file that is being written has holes; its blocks count
        return sum(min(entry.stat().st_size, entry.stat().st_blocks * 512) for entry in os.scandir(blobs))
    except OSError:
        return 0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "timeout_s": {"type": "int", "default": 5},
            "log": {"type": "str", "choices": ["never", "unless_healthy", "always"], "default": "never"},
            "log_cursor": {"type": "dict", "default": {}},
            "log_max_bytes": {"type": "int", "default": 2097152},
            "folder": {"type": "path"},
            "token": {"type": "str", "no_log": False},
            "download": {"type": "bool", "default": False},
            "model": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    docker = module.get_bin_path("docker")
    if docker is None:
        module.fail_json(msg="docker is not installed on this host; run the role myia.vllm.docker_engine first.")
    folder, token, log = module.params["folder"], module.params["token"], module.params["log"]
    result, mounts = inspect(docker, module.params["container"])
    result["started_s"] = docker_cli.seconds(result["started_at"])
    result["finished_s"] = docker_cli.seconds(result["finished_at"])
    result.update(http_status=0, healthy=False, log_gz="", log_cursor=module.params["log_cursor"], log_more=False)
    result["lock_problem"] = service_lock.Lock(folder).sign_of_life(token) if folder and token else ""
    secrets = service_secrets.values(folder) if folder else []
    if result["state"] == "running":
        query_health(module, result)
    elif not result["error"]:
        result["error"] = "the container is %s" % result["state"]
    result["docker_error"] = service_secrets.masked(result["docker_error"], secrets)
    result["error"] = service_secrets.masked(result["error"], secrets)
    if result["id"] and (log == "always" or (log == "unless_healthy" and not result["healthy"])):
        # after the look at its state: the log of a container that has ended is complete
        read_log(module, docker, result, secrets)
    if folder:
        result["lock"] = service_lock.Lock(folder).holder()
        result["stopped"] = stopped.read(folder, result["state"], result["started_s"])
        if not module.params["log_cursor"]:
            result["starts"] = releases.Service(folder).starts()
    result["download_bytes"] = cached_bytes(mounts, module.params["model"]) if module.params["download"] else 0
    result["ended"] = result["state"] in ("missing", "exited", "dead", "created")
    result["now_s"] = time.time()
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
