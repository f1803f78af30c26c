# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight checks of GPUs: driver for the image, free memory and who holds it, other services. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import math
import re

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding
from ansible_collections.myia.vllm.plugins.plugin_utils.services import conflicts

#: The image whose CUDA release is known; a mirror's prefix may stand before it.
_KNOWN_IMAGE = re.compile(r"(^|/)vllm/vllm-openai:")
#: Cards that do not run with a driver older than the image's CUDA; data-centre cards may, by minor version or forward
#: compatibility (docs.nvidia.com/deploy/cuda-compatibility).
_CONSUMER = re.compile(r"GeForce|RTX|TITAN|Quadro|GTX", re.IGNORECASE)

#: Share of a GPU below which lowering vllm_gpu_memory_utilization is no advice: hardly a model that was meant for the
#: whole GPU fits into less than half of it.
_LOWEST_SHARE = 0.5


def wanted(definition: dict, host: dict) -> list[tuple[dict, dict]]:
    """Return (GPU, what has the memory: the GPU or its MIG device) for every device of the service that is there."""
    found = []
    for name in definition["gpu_devices"]:
        gpu, mig = nvidia_driver.find_device(host["gpu"]["gpus"], name)
        if gpu is not None:
            found.append((gpu, mig or gpu))
    return found


def driver_cuda(definition: dict, host: dict, compatibility: bool) -> dict | None:
    """The driver supports the CUDA release of the image; None for an image or driver of which that is not known.

    Args:
        definition: the ``vllm_definition``.
        host: what ``host_info`` found.
        compatibility: whether VLLM_ENABLE_CUDA_COMPATIBILITY is set for the container.
    """
    version = host["gpu"]["driver_version"]
    branch = re.match(r"\d+", version or "")
    if not _KNOWN_IMAGE.search(definition["image"]) or not branch:
        return None
    need = vllm_versions.minimum_driver(
        vllm_versions.image_version(definition["image"]) or definition["version"], definition["image"]
    )
    consumer = any(_CONSUMER.search(gpu["name"] or "GeForce") for gpu, _memory in wanted(definition, host))
    detour = not consumer and need["forward_compatible"] and compatibility
    fix = "Upgrade the NVIDIA driver to branch %d or later and reboot" % need["driver"]
    if need["older_image"]:
        fix += ", or set vllm_image to vllm/vllm-openai:%s" % need["older_image"]
    if not consumer and need["forward_compatible"]:
        fix += ", or set VLLM_ENABLE_CUDA_COMPATIBILITY to 1 in vllm_extra_env"
    return finding(
        "driver_cuda",
        int(branch.group(0)) >= need["driver"] or detour,
        "driver %s" % version,
        "branch %d or later for CUDA %s of %s" % (need["driver"], need["cuda"], definition["image"]),
        fix + ".",
        severity="error" if consumer else "warning",
    )


def memory(definition: dict, host: dict) -> dict | None:
    """Every GPU has free what vLLM asks for when it starts; None when no driver tells the memory.

    What this service's own container holds is free again when it is replaced.
    """
    asked = definition["gpu_memory_utilization"]
    share_asked = conflicts.share(definition)
    shares, lines, holders, short = [], [], [], False
    for gpu, there in wanted(definition, host):
        total, available = there["memory_total_mib"], available_gib(definition, host, gpu, there)
        if available is None:
            continue
        own = _own_mib(definition, host, gpu, there)
        offered = estimate.offered_gib(total / 1024)
        needed = share_asked * offered[0]
        line = "GPU %s: %.1f of %.1f GiB free" % (gpu["index"], available, total / 1024)
        if available < needed:
            short = True
            shares.append(math.floor(100 * available / offered[2]) / 100)
            names = [_holder(item) for item in gpu["processes"] if item["project"] != definition["project"]]
            names = names or ["nobody that can be seen"]
            holders += names
            line += ", held by %s" % "; ".join(names)
        lines.append(line + (" (with %.1f GiB of this service's running container)" % (own / 1024) if own else ""))
    if not lines:
        return None
    share = min(shares, default=0.0)
    lower = "" if share < _LOWEST_SHARE else " Or lower vllm_gpu_memory_utilization to %.2f, if that is enough." % share
    return finding(
        "gpu_memory",
        not short,
        "; ".join(lines),
        "%.2f of each GPU's memory (%s)"
        % (share_asked, "vLLM's own default" if asked is None else "vllm_gpu_memory_utilization"),
        "Stop what holds the memory (%s), or name other GPUs in vllm_gpu_devices.%s"
        % ("; ".join(dict.fromkeys(holders)), lower),
    )


def shared(definition: dict, host: dict) -> dict:
    """No other running container was given one of the GPUs, whatever memory it holds just now.

    Services of ``vllm_services`` may share GPUs: their shares of memory were added up when the run began.
    """
    planned = [service["container_name"] for service in definition["neighbours"]]
    mine = {gpu["index"] for gpu, _memory in wanted(definition, host)}
    others = []
    for container in host["containers"]:
        if container["project"] == definition["project"] or container["name"] in planned:
            continue
        picked = [nvidia_driver.find_device(host["gpu"]["gpus"], name)[0] for name in container["gpus"]]
        theirs = mine if "all" in container["gpus"] else mine & {gpu["index"] for gpu in picked if gpu}
        if theirs:
            others.append("container %s (GPU %s)" % (container["name"], ", ".join(map(str, sorted(theirs)))))
    return finding(
        "gpu_shared",
        not others,
        "; ".join(others) or "no other container on these GPUs",
        "GPUs that no other service uses",
        "Give the two different GPUs (vllm_gpu_devices), or stop the other. Sharing works only while the sum of what "
        "they use fits.",
        severity="warning",
    )


def available_gib(definition: dict, host: dict, gpu: dict, there: dict) -> float | None:
    """Return the GiB that the service could have of a GPU: free, or its own container's; None where not known.

    Args:
        definition: the ``vllm_definition``.
        host: what ``host_info`` found.
        gpu: the GPU.
        there: what has the memory, the GPU or its MIG device.
    """
    total, free = there["memory_total_mib"], _free_mib(there)
    if not total or free is None:
        return None
    return min((free + _own_mib(definition, host, gpu, there)) / 1024, estimate.offered_gib(total / 1024)[2])


def _free_mib(there: dict) -> int | None:
    free, total, used = there["memory_free_mib"], there["memory_total_mib"], there["memory_used_mib"]
    if free is None and total is not None and used is not None:
        return total - used
    return free


def _own_mib(definition: dict, host: dict, gpu: dict, there: dict) -> int:
    """Return the MiB that this service's own running container holds."""
    own = [item for item in gpu["processes"] if item["project"] == definition["project"]]
    told = sum(item["memory_mib"] or 0 for item in own)
    used = there["memory_used_mib"] or 0
    runs = any(c["project"] == definition["project"] and c["gpus"] for c in host["containers"])
    untold = not gpu["processes"] or any(item["memory_mib"] is None for item in own)
    if runs and untold:
        # WSL, and nvidia-smi in a container, do not tell which process holds what
        others = [item for item in gpu["processes"] if item["project"] != definition["project"]]
        return max(0, used - sum(item["memory_mib"] or 0 for item in others))
    return min(told, used)


def _holder(process: dict) -> str:
    name = "%s (pid %s%s)" % (
        process["name"] or "a process",
        process["pid"],
        ", container %s" % process["container"] if process["container"] else "",
    )
    size = process["memory_mib"]
    return name if size is None else "%s %.1f GiB" % (name, size / 1024)
