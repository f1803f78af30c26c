# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of a gateway share: two keys, and what the gateway knows of a service."""

from __future__ import annotations

import http.client
import json

KEY, OTHER = "PLANTED-client-key-4f1d0c", "PLANTED-other-key-77aa01"
GATEWAY = {"host": "gateway-1", "ansible_host": "gateway-1.example.com"}


def service(host: str, name: str = "medium", models=("tiny",), port: int = 8000, **more) -> dict:
    """What the gateway knows of a service of a host."""
    definition = {
        "name": name,
        "served_model_names": list(models),
        "lora_adapters": [],
        "port": port,
        "publish_address": "192.0.2.%d" % (10 + int(host[-1])),
        "published": True,
        "network_mode": "",
        "scheme": "http",
    }
    definition.update({key: value for key, value in more.items() if key in definition})
    found = {"host": host, "definition": definition, "api_key": "PLANTED-vllm", "address": "", "ansible_host": host}
    return {**found, **{key: value for key, value in more.items() if key in found}}


def ask(bed, method="POST", path="/v1/chat/completions", key=KEY, body=None, headers=None, timeout=20, chunked=False):
    """Return status, headers and text of one request."""
    link = http.client.HTTPConnection("127.0.0.1", bed.port, timeout=timeout)
    given = {
        "Content-Type": "application/json",
        **({"Authorization": "Bearer " + key} if key else {}),
        **(headers or {}),
    }
    body = body if body is not None or method == "GET" else {"model": "tiny", "messages": []}
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    if chunked:
        data = iter([data[i : i + 60000] for i in range(0, len(data), 60000)])
    try:
        link.request(method, path, data, given, encode_chunked=chunked)
        answer = link.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        link.close()


def code(answer) -> str:
    """The code of an error object."""
    return json.loads(answer[2])["error"]["code"]
