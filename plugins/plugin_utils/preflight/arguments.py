# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight asks of a host, and what of the operator's variables it has to know. Runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.capacity import vllm_rules
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import mounts
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.command import DRIVER_CAPABILITIES
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import TRUE
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import read_values, role_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import CONVERTERS

#: Variables of other roles, and of the role vllm those that the definition does not hold since they may be secret.
VARIABLES = {
    "vllm": ("vllm_hf_token", "vllm_extra_env"),
    "vllm_service": ("vllm_service_pull",),
    "docker_engine": ("docker_engine_install", "docker_engine_min_version", "docker_engine_compose_min_version"),
}
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def variables(task_vars: dict, templar) -> dict:
    """Return the values of :data:`VARIABLES`, the documented default for what is not set or cannot be read."""
    values = {}
    for role, names in VARIABLES.items():
        options = {name: role_options(role)[name] for name in names}
        found, unreadable = read_values(options, task_vars, templar)
        found.update({name: options[name].get("default") for name in unreadable})
        for name, value in found.items():
            kind = options[name].get("type", "str")
            values[name] = CONVERTERS[kind]({} if value is None and kind == "dict" else value)
    return values


def settings(values: dict) -> dict:
    """Return :data:`preflight.SETTINGS` of an operator's variables."""
    env = {str(name): str(value) for name, value in values["vllm_extra_env"].items()}

    def is_on(name: str) -> bool:
        return env.get(name, "").strip().lower() in TRUE

    skipped = ""
    if is_on("HF_HUB_OFFLINE"):
        skipped = "HF_HUB_OFFLINE"
    elif is_on("VLLM_USE_MODELSCOPE"):
        skipped = "VLLM_USE_MODELSCOPE"
    elif "@" in env.get("HF_ENDPOINT", ""):
        # it would stand in messages and logs
        skipped = "HF_ENDPOINT with a password"
    return {
        "pull": values["vllm_service_pull"],
        "docker_install": values["docker_engine_install"],
        "docker_min_version": values["docker_engine_min_version"],
        "compose_min_version": values["docker_engine_compose_min_version"],
        "hub_skipped": skipped,
        "hub_proxied": any(name.upper() in _PROXIES for name in env),
        "cuda_compatibility": is_on("VLLM_ENABLE_CUDA_COMPATIBILITY"),
        "longer_allowed": is_on("VLLM_ALLOW_LONG_MAX_MODEL_LEN"),
        "environment": {name: env[name] for name in vllm_rules.MEMORY_VARIABLES if name in env},
    }


def _env(definition: dict) -> dict:
    """Return the names in ``.env`` that others may set too, with what a release will have where that is no secret."""
    names = [*definition["environment"].values(), *definition["prefetch"]["environment"].values()]
    return {name: {"NVIDIA_DRIVER_CAPABILITIES": DRIVER_CAPABILITIES}.get(name) for name in names}


def module_args(definition: dict, values: dict) -> dict:
    """Return the options of ``host_info``; the token is the only secret among them."""
    local = definition["model_is_local"]
    around = settings(values)
    return {
        "port": definition["port"],
        "project": definition["project"],
        "container_name": definition["container_name"],
        "paths": [definition["dir"]],
        "env": _env(definition),
        "release": definition["dir"] + "/current",
        "mounts": mounts.own_sources(definition),
        "files": list(definition["files"]),
        "certificate": definition["ssl_certfile"],
        "certificate_key": definition["ssl_keyfile"],
        "networks": list(definition["compose"]["top"].get("networks", {})),
        "model_path": definition["model"] if local else "",
        "model": "" if local else definition["model"],
        "revision": definition["model_revision"],
        "adapters": [
            {key: adapter[key] for key in ("name", "source", "revision")} for adapter in definition["lora_adapters"]
        ],
        "query_adapters": not around["hub_skipped"],
        "query_hub": not local and not around["hub_skipped"],
        "hf_endpoint": "" if around["hub_skipped"] else str(values["vllm_extra_env"].get("HF_ENDPOINT") or ""),
        "hf_token": "" if local and not definition["lora_adapters"] else values["vllm_hf_token"],
        "hf_cache": definition["hf_cache"],
        "image": definition["image"],
        "pull": around["pull"],
        "gpus": definition["accelerator"] == "nvidia",
    }
