#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: how a service is at this moment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_vitals_info
short_description: Look once how a service is, what it has to do and where it can be reached
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Requests and KV cache by C(/metrics), GPUs by C(nvidia-smi), the addresses at which Docker publishes the service,
    and by what its container guards it. In one round trip; it waits for nothing, changes nothing and never fails for
    what it sees.
  - Of the container's variables only the names are looked at.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.service.look
  - myia.vllm.service.url
options:
  model:
    description: Hugging Face id of the model, whose files are looked for in the cache.
    type: str
    default: ""
  commit:
    description: Its commit in the cache, as M(myia.vllm.service_snapshot_info) returns it.
    type: str
    default: ""
seealso:
  - module: myia.vllm.service_snapshot_info
"""

EXAMPLES = r"""
- name: Look how the service is
  myia.vllm.service_vitals_info:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
    folder: /opt/vllm/medium
  register: vitals
"""

RETURN = r"""
now_s: {description: "The host's clock, in seconds since 1970.", type: float, returned: always}
started_s: {description: When the container was started; 0 for never., type: float, returned: always}
finished_s: {description: When its last run ended; 0 for never., type: float, returned: always}
exit_code: {description: Exit code of its last run., type: int, returned: always}
load:
  description: >-
    C(running) and C(waiting), requests; C(kv_cache_usage), a share of 1. Each is null where the service does not tell.
  returned: always
  type: dict
gpus:
  description: >-
    The GPUs, each with C(index), C(uuid), C(name), C(memory_used_mib), C(memory_total_mib), C(temperature_c) and
    C(utilization_percent), null where they are not known.
  returned: always
  type: list
  elements: dict
ports:
  description: Where Docker publishes the service, each C(address), C(port) and C(inside).
  returned: always
  type: list
  elements: dict
networks: {description: Networks of the container., type: list, elements: str, returned: always}
host_addresses: {description: Addresses of the host., type: list, elements: str, returned: always}
guards:
  description: Whether the container has an C(api_key), and whether it speaks C(tls).
  returned: always
  type: dict
weights_s:
  description: When the model's files came into the cache, in seconds since 1970; 0 where that is not known.
  returned: always
  type: float
lock: {description: Who deploys the service at the moment; empty when nobody does., type: dict, returned: always}
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.host import facts as host_facts
from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock
from ansible_collections.myia.vllm.plugins.module_utils.service import service_http, snapshot, vitals

#: Most bytes of /metrics that are read; a service with many adapters has some hundred kB.
METRICS_BYTES = 4_000_000


def look(module: AnsibleModule) -> dict:
    """Return what RETURN documents."""
    p, limit_s = module.params, module.params["timeout_s"]

    def run(argv: list[str]) -> tuple[int, str, str]:
        return host_command.run(argv, limit_s)[:3]

    inspected = snapshot.first(run(["docker", "container", "inspect", p["container"]])[1])
    state = inspected.get("State") or {}
    metrics = ""
    if state.get("Status") == "running":
        url = service_http.seen_from_host(p["url"], p["container"], run)
        status, body, _wrong = service_http.query(url + "/metrics", limit_s, most_bytes=METRICS_BYTES)
        metrics = body.decode("utf-8", "replace") if status == 200 else ""
    columns = "--query-gpu=%s" % ",".join(vitals.GPU_COLUMNS)
    smi = run(["nvidia-smi", columns, "--format=csv,noheader,nounits"])[1] if p["gpus"] else ""
    return {
        "started_s": docker_cli.seconds(state.get("StartedAt", "")),
        "finished_s": docker_cli.seconds(state.get("FinishedAt", "")),
        "exit_code": state.get("ExitCode", 0),
        "load": vitals.load(metrics),
        "gpus": vitals.gpus(smi),
        "ports": vitals.ports(inspected),
        "networks": vitals.networks(inspected),
        "host_addresses": host_facts.addresses(run),
        "guards": vitals.guards(inspected),
        "weights_s": vitals.weights_s(inspected, p["model"], p["commit"]),
        "lock": service_lock.Lock(p["folder"]).holder(),
        "now_s": time.time(),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "model": {"type": "str", "default": ""},
            "commit": {"type": "str", "default": ""},
            "gpus": {"type": "bool", "default": True},
            "timeout_s": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module))


if __name__ == "__main__":
    main()
