# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the host's GPUs a container's server uses, and how the container gets them. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.docker import gpu_claims
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.view import View


def access(view: View) -> str:
    """Return how the container gets GPUs: ``runtime``, ``deploy`` or ``cdi``; empty where it gets none that we know."""
    for request in view.gpu_requests:
        names = [str(name) for name in request.get("DeviceIDs") or []]
        if request.get("Driver") == "cdi" or any("nvidia.com/gpu" in name for name in names):
            return "cdi"
    if view.runtime == "nvidia":
        return "runtime"
    return "deploy" if view.gpu_requests else ""


def of_container(view: View, host_gpus: list[dict], image_env: dict[str, str]) -> list[str]:
    """Return the host's GPUs that the container sees: indexes, or UUIDs where the host does not tell its GPUs."""
    data = {
        "HostConfig": {"DeviceRequests": view.gpu_requests, "Runtime": "" if view.gpu_requests else view.runtime},
        "Config": {"Env": ["%s=%s" % item for item in {**image_env, **view.env}.items()]},
    }
    named = gpu_claims.gpus_of(data)
    every = [str(gpu["index"]) for gpu in host_gpus]
    by_uuid = {gpu.get("uuid"): str(gpu["index"]) for gpu in host_gpus}
    found = []
    for name in named:
        found += every if name == "all" else [by_uuid.get(name, name)]
    return list(dict.fromkeys(found))


def of_server(view: View, host_gpus: list[dict], image_env: dict[str, str], workers: int) -> list[str]:
    """Return those that the server uses: ``CUDA_VISIBLE_DEVICES`` chooses among the container's, then the first ones.

    Args:
        view: the container.
        host_gpus: ``{index, uuid}`` of each GPU of the host.
        image_env: variables of the image.
        workers: how many processes the server has, each with a GPU.
    """
    seen = of_container(view, host_gpus, image_env)
    chosen = view.env.get("CUDA_VISIBLE_DEVICES", "")
    if chosen.strip() and chosen != "all":
        by_uuid = {gpu.get("uuid"): str(gpu["index"]) for gpu in host_gpus}
        picked = []
        for word in (word.strip() for word in chosen.split(",")):
            if word.isdigit():
                # a number that the container does not have ends the list (CUDA's programming guide)
                if int(word) >= len(seen):
                    break
                picked.append(seen[int(word)])
            elif word:
                picked.append(by_uuid.get(word, word))
        seen = picked
    return seen[:workers] if workers else seen
