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
    "develop": "it does something for docker compose watch only; remove it",
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
    "models": "Docker would start a model of its own beside vLLM; remove it",
    "network_mode": "set vllm_network_mode",
    "networks": "set vllm_networks",
    "ports": "set vllm_port, vllm_container_port, vllm_publish_address and vllm_publish",
    "privileged": "it gives every GPU and the host to the container; use cap_add or devices",
    "profiles": "the service would not be started; remove it",
    "provider": "a program would run in place of the container, and nothing would be served; remove it",
    "pull_policy": "set vllm_service_pull",
    "restart": "set vllm_restart_policy",
    "runtime": "set vllm_gpu_access",
    "scale": "there is one container of this name; use one service for each",
    "secrets": "set vllm_secret_files",
    "shm_size": "set vllm_shm_size",
    "ulimits": "set vllm_ulimits",
    "use_api_socket": "it hands Docker, and so the host, to the container; remove it",
    "user": "set vllm_user",
    "volumes": "set vllm_extra_volumes",
    "volumes_from": "set vllm_extra_volumes",
}

_KEY = re.compile(r"^(x-)?[a-z][a-z0-9_-]*\Z")

#: Devices by which a container would get GPUs beside those of ``vllm_gpu_devices``.
_GPU_DEVICE = re.compile(r"^(/dev/nvidia|/dev/dri|nvidia\.com/gpu|/dev/*(:|\Z))")

#: A rule of the devices' cgroup: kind, major and minor number, what is allowed.
_DEVICE_RULE = re.compile(r"^([abc])\s+(\d+|\*):(\d+|\*)\s+([rwm]{1,3})\Z")

#: Major number of /dev/nvidia* (kernel.org, admin-guide/devices.txt). Without those the others, whose numbers differ
#: from host to host, give no GPU.
_NVIDIA_MAJOR = "195"

#: Signals by which vLLM ends as it should, by name and number (uvicorn, server.py: HANDLED_SIGNALS).
_END_SIGNALS = ("TERM", "INT", "15", "2")


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
        elif key == "device_cgroup_rules" and any(_allows_gpus(item) for item in _items(value)):
            problems.add(
                where,
                "device_cgroup_rules may allow no GPU beside those of vllm_gpu_devices: found %s. Name the kind and "
                'the major number of another device, for example "c 231:* rwm".'
                % ", ".join(str(item) for item in _items(value) if _allows_gpus(item)),
            )
        elif key == "stop_signal" and str(value).upper().removeprefix("SIG") not in _END_SIGNALS:
            problems.add(
                where,
                "stop_signal %s does not let vLLM end the requests that run. Use SIGTERM, Docker's own, or SIGINT."
                % value,
            )
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


def tmpfs_targets(override: dict) -> list[str]:
    """Return the folders over which an empty one in RAM would be laid."""
    return [str(item).partition(":")[0] for item in _items(override.get("tmpfs") or [])]


def _allows_gpus(rule: object) -> bool:
    """Tell whether a rule may let GPUs in; one that cannot be read may."""
    found = _DEVICE_RULE.match(str(rule).strip())
    return not found or found[1] == "a" or (found[1] == "c" and found[2] in ("*", _NVIDIA_MAJOR))


def _items(value: object) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _device(item: object) -> str:
    return str(item.get("source", "")) if isinstance(item, dict) else str(item)
