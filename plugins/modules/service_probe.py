#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: ask a service for its model and for one token."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_probe
short_description: Ask a vLLM service for its model and for one token
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - C(/health) answers as soon as the engine lives. Only an answer of the model proves that it works. This module looks
    for the model's name in C(/v1/models) and asks for one token. It never fails for what it sees.
  - The API key is read from the release's C(.env) on the host.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  url:
    description: Address of the service without a path.
    type: str
    required: true
  container:
    description:
      - Name of the container. A service without a port on the host has it in its O(url), and is asked at the address
        that Docker gave the container.
    type: str
    default: ""
  served_model_name:
    description: Name that clients ask for.
    type: str
    required: true
  release:
    description: Folder of the release, for its API key. Without it no key is sent.
    type: path
  timeout_s:
    description: Longest time for the token, in seconds. The first one may wait for kernels to be compiled.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Query the model
  myia.vllm.service_probe:
    url: http://127.0.0.1:5002
    served_model_name: Qwen2.5-32B-Instruct-AWQ
    release: /opt/vllm/medium/current
  register: probe
"""

RETURN = r"""
answers:
  description: Whether the model's name is known and it gave a token. A model that generates nothing needs no token.
  returned: always
  type: bool
problem:
  description: What is wrong; empty when it answers.
  returned: always
  type: str
completion_s:
  description: Time of the one-token answer in seconds; null when there was none.
  returned: always
  type: float
generates:
  description: Whether the service has completions.
  returned: always
  type: bool
"""

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases, service_http
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: vLLM's words for a model without completions: entrypoints/openai/api_server.py (0.11); later the route is missing.
NO_COMPLETIONS = "does not support"


def api_key(folder: str) -> str:
    """Return the API key that stands in a release's ``.env``; empty without one."""
    items = dotenv.items(files.read_text(os.path.join(folder, releases.ENV), newline=""))
    return next((value for name, value in items.items() if name.startswith("VLLM_API_KEY_")), "")


#: Longest time for an answer that the engine is not asked for, in seconds.
MODELS_S = 30


def query(module: AnsibleModule, path: str, key: str, body: dict | None = None) -> tuple[int, dict, str]:
    """Return (HTTP status, answer, text of a refusal); status 0 when nothing answered."""
    headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})}
    limit_s = module.params["timeout_s"] if body else min(MODELS_S, module.params["timeout_s"])
    data = json.dumps(body).encode() if body else None
    url = service_http.seen_from_host(
        module.params["url"] + path, module.params["container"], docker_cli.runner(module)
    )
    status, told, wrong = service_http.query(url, limit_s, data, headers)
    text = told.decode("utf-8", "replace") or wrong
    return status, files.json_object(text), text.strip()[:300]


def probe(module: AnsibleModule, key: str) -> tuple[str, float | None, bool]:
    """Return (problem, seconds of the one-token answer, whether the service has completions)."""
    name = module.params["served_model_name"]
    status, answer, text = query(module, "/v1/models", key)
    if status != 200:
        return "/v1/models answers %s: %s" % (status if status > 0 else "nothing", text), None, True
    names = [str(model.get("id")) for model in answer.get("data") or [] if isinstance(model, dict)]
    if name not in names:
        return "/v1/models knows %s; expected %s" % (", ".join(names) or "no model", name), None, True
    before = time.monotonic()
    body = {"model": name, "prompt": "1", "max_tokens": 1, "temperature": 0}
    status, answer, text = query(module, "/v1/completions", key, body)
    took_s = round(time.monotonic() - before, 2)
    if status == 404 or (status in (400, 501) and NO_COMPLETIONS in text):
        return "", None, False
    if status != 200:
        return "a one-token completion answers %s: %s" % (status if status > 0 else "nothing", text), None, True
    if not answer.get("choices") or not (answer.get("usage") or {}).get("completion_tokens"):
        return "a one-token completion answers without a token: %s" % text, None, True
    return "", took_s, True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "container": {"type": "str", "default": ""},
            "served_model_name": {"type": "str", "required": True},
            "release": {"type": "path"},
            "timeout_s": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    key = api_key(module.params["release"]) if module.params["release"] else ""
    problem, completion_s, generates = probe(module, key)
    problem = service_secrets.masked(problem, [key] if key else [])
    module.exit_json(
        changed=False, answers=not problem, problem=problem, completion_s=completion_s, generates=generates
    )


if __name__ == "__main__":
    main()
