# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what several services of one host would take from each other.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import itertools

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions

#: What no two services of a host may share: a key of the definition, and the variable that sets it.
_OWN = (
    ("name", "vllm_name"),
    ("container_name", "vllm_container_name"),
    ("dir", "vllm_dir"),
)

#: Addresses that stand for every address of a host.
_EVERYWHERE = ("0.0.0.0", "::")


def share(definition: dict) -> float:
    """Return the share of each GPU's memory that a service takes."""
    said = definition["gpu_memory_utilization"]
    return vllm_versions.defaults(definition["version"])["gpu_memory_utilization"] if said is None else said


def found(definitions: list[dict]) -> list[str]:
    """Return a sentence for each thing that two of the services of one host would both take."""
    problems = []
    for one, other in itertools.combinations(definitions, 2):
        for key, variable in _OWN:
            if one[key] == other[key]:
                problems.append(
                    "%s and %s both have %s %s. Give each its own %s."
                    % (one["name"], other["name"], variable, one[key], variable)
                )
        both = one["published"] and other["published"]
        if both and one["port"] == other["port"] and _meet(one["publish_address"], other["publish_address"]):
            problems.append(
                "%s and %s both have port %d. Give each its own vllm_port." % (one["name"], other["name"], one["port"])
            )
    return problems + _overfull(definitions)


def _meet(one: str, other: str) -> bool:
    return one == other or one in _EVERYWHERE or other in _EVERYWHERE


def _overfull(definitions: list[dict]) -> list[str]:
    """Return a sentence for each GPU whose services take more than all of its memory."""
    gpus: dict[str, list[dict]] = {}
    for definition in definitions:
        for gpu in definition["gpu_devices"]:
            gpus.setdefault(gpu, []).append(definition)
    problems = []
    for gpu, users in gpus.items():
        total = sum(map(share, users))
        if len(users) > 1 and total > 1:
            problems.append(
                "GPU %s: %s take %.2f of its memory. Together they may take 1.00: lower vllm_gpu_memory_utilization, "
                "or name other GPUs in vllm_gpu_devices."
                % (gpu, " and ".join("%s (%.2f)" % (user["name"], share(user)) for user in users), total)
            )
    return problems


def neighbours(definitions: list[dict], name: str) -> list[dict]:
    """Return what a service has to know of the others on its host: names, port, GPUs and their share of memory."""
    return [
        {
            "name": other["name"],
            "container_name": other["container_name"],
            "port": other["port"],
            "gpu_devices": other["gpu_devices"],
            "gpu_memory_share": share(other),
        }
        for other in definitions
        if other["name"] != name
    ]
