# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of a gateway share: two keys, and what the gateway knows of a service."""

from __future__ import annotations

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
