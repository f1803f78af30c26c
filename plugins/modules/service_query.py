#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: ask a running service questions from inside its own container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_query
short_description: Ask a vLLM service questions from inside its own container
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Runs a small program in the service's container, by the C(openai) client that vLLM's image carries, and returns
    what was answered. So the host needs nothing, and the API key never leaves the container.
  - M(myia.vllm.service_checks) makes the questions and judges the answers. This module never fails for an answer, only
    when nobody can be asked.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.service.token
options:
  port:
    description: Port that vLLM listens on inside the container.
    type: int
    required: true
  scheme:
    description: How it is asked there. The certificate of V(https) is not looked at.
    type: str
    choices: [http, https]
    default: http
  model:
    description: Name that clients ask for.
    type: str
    required: true
  questions:
    description: What to ask; see plugins/module_utils/verify/client.py.
    type: list
    elements: dict
    required: true
  budget_s:
    description: No question is begun after this time, in seconds, but the first.
    type: float
    default: 20
  timeout_s:
    description: Longest time of one request that names none of its own, in seconds.
    type: float
    default: 120
  tasks:
    description: Whether to look in the container's log for what vLLM said at its start that it can do.
    type: bool
    default: false
  url:
    description: Address of the service as clients on the host see it; asked for C(/health) from the host itself.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Query the models
  myia.vllm.service_query:
    container: myia-vllm-medium-qwen3
    port: 5002
    model: Qwen2.5-32B-Instruct-AWQ
    folder: /opt/vllm/medium
    questions:
      - {id: models, kind: http, method: GET, path: /v1/models}
"""

RETURN = r"""
answers:
  description: The answers, in the order of the questions.
  returned: success
  type: list
  elements: dict
left:
  description: Ids of the questions that the time did not suffice for.
  returned: success
  type: list
  elements: str
lock_problem:
  description: Why the lock of O(token) is not the caller's any more; empty when it is, or without O(token).
  returned: success
  type: str
gone:
  description: Whether they are left because the service does not answer any more.
  returned: success
  type: bool
tasks:
  description: >-
    The words of the line C(Supported tasks) of the container's log; empty when there is none, or without O(tasks).
  returned: success
  type: list
  elements: str
published:
  description: >-
    What C(/health) of O(url) answered on the host, C(status), C(error) and C(duration_s); empty without O(url).
  returned: success
  type: dict
"""

import inspect
import json
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets
from ansible_collections.myia.vllm.plugins.module_utils.service import service_http
from ansible_collections.myia.vllm.plugins.module_utils.verify import client as verify_client
from ansible_collections.myia.vllm.plugins.module_utils.verify import kind_questions, startup_line

#: Longest answer of /health to the host, in seconds.
PUBLISHED_S = 20


def published(module: AnsibleModule, url: str) -> dict:
    """Return what the service answers on the address that clients use."""
    begun_s = time.monotonic()
    asked = service_http.seen_from_host(url + "/health", module.params["container"], docker_cli.runner(module))
    status, _answer, wrong = service_http.query(asked, PUBLISHED_S)
    return {"status": status, "error": "" if status else wrong, "duration_s": round(time.monotonic() - begun_s, 3)}


def query(module: AnsibleModule) -> dict:
    """Run the program in the container and return what it printed last."""
    params = module.params
    docker = module.get_bin_path("docker")
    if docker is None:
        module.fail_json(msg="docker is not installed on this host. Run deploy_medium.yml first.")
    order = {key: params[key] for key in ("scheme", "port", "model", "questions", "budget_s", "timeout_s")}
    order["more"] = inspect.getsource(kind_questions)
    # the root of the image's Python path may be the service's working directory, with a file that hides a library
    command = [docker, "exec", "--interactive", "--workdir", "/tmp", params["container"], "python3", "-c",
               inspect.getsource(verify_client)]  # fmt: skip
    status, out, err = module.run_command(command, data=json.dumps(order))
    try:
        told = json.loads(out.strip().splitlines()[-1])
    except (IndexError, ValueError):
        told = None
    if status or not isinstance(told, dict):
        said = (err.strip() or out.strip() or "no reason given").splitlines()[-1]
        module.fail_json(
            msg="Nobody can be asked in the container %s: %s" % (
                params["container"], service_secrets.masked(said, service_secrets.values(params["folder"])))
        )  # fmt: skip
    return told


def sign_of_life(module: AnsibleModule) -> str:
    """Show that the holder of the lock lives; return why it must stop when the lock is lost."""
    token = module.params["token"]
    return service_lock.Lock(module.params["folder"]).sign_of_life(token) if token else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "token": {"type": "str", "no_log": False},
            "container": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "scheme": {"type": "str", "choices": ["http", "https"], "default": "http"},
            "model": {"type": "str", "required": True},
            "questions": {"type": "list", "elements": "dict", "required": True},
            "budget_s": {"type": "float", "default": 20.0},
            "timeout_s": {"type": "float", "default": 120.0},
            "tasks": {"type": "bool", "default": False},
            "url": {"type": "str", "default": ""},
            "folder": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    folder, url = module.params["folder"], module.params["url"]
    lost = sign_of_life(module)
    if lost:
        left = [question["id"] for question in module.params["questions"]]
        module.exit_json(changed=False, published={}, tasks=[], answers=[], left=left, gone=False, lock_problem=lost)
    seen = published(module, url) if url else {}
    told = query(module)
    docker = module.get_bin_path("docker")
    tasks = startup_line.supported_tasks(docker, module.params["container"]) if module.params["tasks"] else []
    secrets = service_secrets.values(folder)
    # what was asked may have taken minutes
    lost = sign_of_life(module)
    told = {**service_secrets.masked_all(told, secrets), "tasks": tasks, "published": seen, "lock_problem": lost}
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
