# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what a running service has to do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_load_info
short_description: Tell how many requests a service has, and whether it ends them before it stops
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Looks once at the container and asks the service for its metrics. Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.url
options:
  timeout_s:
    description: Longest time for an answer in seconds.
    type: float
    default: 10
seealso:
  - module: myia.vllm.service_drain
"""

EXAMPLES = r"""
- name: Look what the service has to do
  myia.vllm.service_load_info:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
  register: load
"""

RETURN = r"""
running: {description: Whether the container runs., type: bool, returned: always}
healthy: {description: Whether C(/health) answers 200., type: bool, returned: always}
drains:
  description: Whether vLLM ends its requests when it is asked to stop (C(--shutdown-timeout), with one API server).
  returned: always
  type: bool
requests:
  description: Requests that run or wait; null where the service does not tell.
  returned: always
  type: int
now_s: {description: "The host's time, in seconds since 1970.", type: float, returned: always}
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.service import load, service_http

#: Most bytes of /metrics that are read; a service with many adapters has some hundred kB.
METRICS_BYTES = 4_000_000


def look(module: AnsibleModule) -> dict:
    """Return what RETURN documents."""
    run, container = docker_cli.runner(module), module.params["container"]
    status, out, _err = run(["docker", "container", "inspect", container])[:3]
    found: dict = {"running": False, "healthy": False, "drains": False, "requests": None}
    try:
        inspected = json.loads(out)[0] if status == 0 else {}
    except (ValueError, IndexError, KeyError):
        inspected = {}
    if (inspected.get("State") or {}).get("Status") == "running":
        found["running"] = True
        found["drains"] = load.drains((inspected.get("Config") or {}).get("Cmd") or [])
        url = service_http.seen_from_host(module.params["url"], container, run)
        found["healthy"] = service_http.query(url + "/health", module.params["timeout_s"])[0] == 200
        status, body, _wrong = service_http.query(
            url + "/metrics", module.params["timeout_s"], most_bytes=METRICS_BYTES
        )
        found["requests"] = load.requests(body.decode("utf-8", "replace")) if status == 200 else None
    return {**found, "now_s": time.time()}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "timeout_s": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module))


if __name__ == "__main__":
    main()
