#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: one look at a service's container and its /health."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_status
short_description: Look once at a service's container and its /health endpoint
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Inspects the container and asks C(/health), in one round trip. It waits for nothing and never fails for what it
    sees; use C(until) to wait.
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  container:
    description: Name of the container.
    type: str
    required: true
  url:
    description: Address of the health endpoint.
    type: str
    required: true
  timeout_s:
    description: Longest time to wait for the answer, in seconds.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Wait until the service is healthy
  myia.vllm.service_status:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002/health
  register: service
  until: service.healthy or service.ended
  retries: 60
  delay: 5
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
http_status:
  description: Status of /health; 0 when nothing answered.
  returned: always
  type: int
error:
  description: What Docker says went wrong, or why /health did not answer.
  returned: always
  type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url


def inspect(module: AnsibleModule, container: str) -> dict:
    """Return what Docker says of the container; state V(missing) when there is none."""
    docker = module.get_bin_path("docker", required=True)
    status, out, err = module.run_command([docker, "container", "inspect", container])
    if status != 0:
        state = "missing" if "no such" in err.lower() else "unknown"
        return {"state": state, "exit_code": 0, "oom_killed": False, "restart_count": 0, "restart_policy": "",
                "started_at": "", "error": err.strip()}  # fmt: skip
    data = json.loads(out)[0]
    return {
        "state": data["State"]["Status"],
        "exit_code": data["State"]["ExitCode"],
        "oom_killed": data["State"]["OOMKilled"],
        "restart_count": data["RestartCount"],
        "restart_policy": data["HostConfig"]["RestartPolicy"]["Name"],
        "started_at": data["State"]["StartedAt"],
        "error": data["State"]["Error"],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "timeout_s": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    result = inspect(module, module.params["container"])
    result.update(http_status=0, healthy=False)
    if result["state"] == "running":
        # a proxy of the host must not stand between it and its own service
        response, info = fetch_url(module, module.params["url"], timeout=module.params["timeout_s"], use_proxy=False)
        result["http_status"] = max(0, info["status"])
        result["healthy"] = response is not None and info["status"] == 200
        if not result["healthy"]:
            result["error"] = info.get("msg", "")
    elif not result["error"]:
        result["error"] = "the container is %s" % result["state"]
    result["ended"] = result["state"] in ("missing", "exited", "dead", "created")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
