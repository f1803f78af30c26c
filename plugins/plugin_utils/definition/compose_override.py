# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the Compose service that have no variable: ``vllm_compose_override``.

Docker Compose itself checks what they hold, when the release is staged. A key that this collection writes is refused
here, with the variable to set instead: two hands at one key would hide what a deployment does.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: Keys that may not stand there, with what to do instead.
OWNED = {
    "build": "build the image before, and set vllm_image",
    "command": "set the variables of the options, or vllm_extra_options",
    "configs": "set vllm_extra_volumes",
    "container_name": "set vllm_container_name",
    "cpus": "set vllm_cpu_limit",
    "depends_on": "the other service is of another Compose project; remove it",
    "deploy": "set vllm_gpu_access and vllm_gpu_devices, vllm_memory_limit, vllm_cpu_limit; pids_limit may stand here",
    "entrypoint": "it is vllm serve; set vllm_image for an image of your own",
    "env_file": "set vllm_extra_env",
    "environment": "set vllm_extra_env",
    "extends": "name the keys here themselves",
    "external_links": "set vllm_networks",
    "extra_hosts": "set vllm_extra_hosts",
    "gpus": "set vllm_gpu_devices and vllm_gpu_access",
    "healthcheck": "set vllm_healthcheck_interval_s and its neighbours",
    "image": "set vllm_image",
    "ipc": "set vllm_ipc",
    "labels": "set vllm_labels",
    "label_file": "set vllm_labels",
    "links": "set vllm_networks",
    "logging": "set vllm_log_driver and vllm_log_options",
    "mem_limit": "set vllm_memory_limit",
    "network_mode": "set vllm_network_mode",
    "networks": "set vllm_networks",
    "ports": "set vllm_port, vllm_container_port, vllm_publish_address and vllm_publish",
    "privileged": "it gives every GPU and the host to the container; use cap_add or devices",
    "profiles": "the service would not be started; remove it",
    "pull_policy": "set vllm_service_pull",
    "restart": "set vllm_restart_policy",
    "runtime": "set vllm_gpu_access",
    "scale": "there is one container of this name; use one service for each",
    "secrets": "set vllm_secret_files",
    "shm_size": "set vllm_shm_size",
    "ulimits": "set vllm_ulimits",
    "user": "set vllm_user",
    "volumes": "set vllm_extra_volumes",
    "volumes_from": "set vllm_extra_volumes",
}

_KEY = re.compile(r"^(x-)?[a-z][a-z0-9_-]*\Z")

#: Devices by which a container would get GPUs beside those of ``vllm_gpu_devices``.
_GPU_DEVICE = re.compile(r"^(/dev/nvidia|/dev/dri|nvidia\.com/gpu)")


def check(override: dict, problems: Problems) -> None:
    """Note which keys of ``override`` may not stand there, with what to set instead."""
    where = "vllm_compose_override"
    for key, value in override.items():
        if not isinstance(key, str) or not _KEY.match(key):
            problems.add(where, "%r is no key of a Compose service. Use for example security_opt." % (key,))
        elif key in OWNED:
            problems.add(where, "%s is refused: %s." % (key, OWNED[key]))
        elif key in ("services", "version", "name"):
            problems.add(where, "%s is no key of a service. Give the keys of the service themselves." % key)
        elif value is None:
            problems.add(where, "%s has no value. Set one, or remove it." % key)
        elif key == "devices" and any(_GPU_DEVICE.match(_device(item)) for item in _items(value)):
            problems.add(where, "devices may name no GPU: set vllm_gpu_devices and vllm_gpu_access.")
        elif key == "pid" and str(value).startswith(("service:", "container:")):
            problems.add(where, "pid of another container is refused: it may be gone at the next start. Remove it.")


def escaped(value: object) -> object:
    """Return a value in which Compose replaces nothing: each dollar sign is doubled."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {str(key): escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [escaped(item) for item in value]
    return value


def _items(value: object) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _device(item: object) -> str:
    return str(item.get("source", "")) if isinstance(item, dict) else str(item)
