# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a host against the definition of the service. Pure Python; runs on the controller.

The checks stand in preflight_host, preflight_gpu, preflight_model and nvidia_driver; this file puts them in order.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import exposure
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import gpu as preflight_gpu
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import host as preflight_host
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import kind as preflight_kind
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import model as preflight_model
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import nodes as preflight_nodes
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding, in_a_line, worst_first

#: Every check, in the order in which an operator would mend what it finds.
IDS = (
    "operating_system", "root", "folder", "environment",
    "driver_missing", "secure_boot", "driver_module_missing", "driver_library_mismatch", "nvidia_smi", "gpu_lost",
    "device_nodes_missing", "gpu_devices", "driver_cuda",
    "mounts", "tls", "model_path", "hub", "adapters", "model_kind", "tensor_parallel", "max_model_len", "capacity",
    "gpu_memory", "gpu_shared", "shm", "port", "exposure", "container_name", "networks", "disk", "docker", "compose",
    "registry", "clock", "controller_files",
)  # fmt: skip

#: What of the operator's variables matters beside the definition, with the defaults of the roles.
SETTINGS = {
    "pull": "missing",
    "docker_install": True,
    "docker_min_version": "20.10",
    "compose_min_version": "2.22.0",
    # the variable of vllm_extra_env for which the hub is not asked
    "hub_skipped": "",
    # whether the container has a proxy of its own
    "hub_proxied": False,
    "cuda_compatibility": False,
    "longer_allowed": False,
    # those variables of vllm_extra_env that move memory
    "environment": {},
}


def check(definition: dict, host: dict, min_free_gib: float | None, settings: dict | None = None) -> dict:
    """Return what every check says, and the plan.

    Args:
        definition: the ``vllm_definition``.
        host: what the module ``host_info`` returned.
        min_free_gib: free space in GiB that a first deployment needs; None: worked out from image and weights.
        settings: see :data:`SETTINGS`, whose values stand for what is missing.

    Returns:
        ``findings`` in the order of :data:`IDS` (see :func:`preflight_finding.finding`), those that do not apply left
        out; ``kind`` (see :func:`model_kind.model_kind`; None where it is not known); ``capacity`` (see the module
        ``capacity_info``; None without a plan) and ``no_capacity`` (why).
    """
    c = {**SETTINGS, **(settings or {})}
    config = host["model"]["config"]
    found = [preflight_host.operating_system(host), preflight_host.root(host)]
    if found[-1]["ok"]:
        found.append(preflight_host.folder(definition, host))
    found.append(preflight_host.environment(host))
    healthy = False
    if definition["accelerator"] == "nvidia":
        driver = nvidia_driver.check({**host["driver"], "smi": host["gpu"]}, definition["gpu_devices"])
        found += [finding(*(item[key] for key in ("id", "ok", "found", "needed", "fix"))) for item in driver]
        healthy = driver[-1]["id"] == "gpu_devices" and driver[-1]["ok"]
    if healthy:
        found.append(preflight_gpu.driver_cuda(definition, host, c["cuda_compatibility"]))
    found += [preflight_host.mounts(definition, host), preflight_host.tls(definition, host)]
    if definition["model_is_local"]:
        found.append(preflight_host.model_path(definition, host))
    else:
        found.append(preflight_model.hub(definition, host, c))
    readable = found[-1]["ok"] or found[-1]["severity"] == "warning"
    found.append(preflight_model.adapters(definition, host))
    kind = preflight_kind.told(definition, host)
    if kind:
        found.append(preflight_kind.check(kind))
    split = None
    if config:
        split = preflight_model.tensor_parallel(definition, config)
        found += [split, preflight_model.max_model_len(definition, config, c["longer_allowed"])]
    plan, reason = preflight_model.planned(definition, host, c["environment"])
    # what another finding says already is not said again: no access, no GPUs, heads that cannot be split
    if healthy and readable and (split is None or split["ok"]):
        found.append(preflight_model.fits(definition, plan, reason, preflight_model.has_experts(definition, config)))
    if healthy:
        found += [preflight_gpu.memory(definition, host), preflight_gpu.shared(definition, host)]
    found += [
        preflight_host.shm(definition, host),
        preflight_host.port(definition, host),
        exposure.check(definition, host),
        preflight_host.container_name(definition, host),
        preflight_host.networks(definition, host),
        preflight_host.disk(definition, host, c["pull"], min_free_gib),
        *preflight_host.docker(definition, host, c),
        preflight_host.registry(definition, host, c["pull"]),
    ]
    found = [item for item in found if item is not None]
    blocked = any(item["id"] in ("hub", "registry") and not item["ok"] for item in found)
    found.append(preflight_host.clock(host, blocked))
    return {
        "findings": found,
        "kind": kind,
        "capacity": plan,
        "no_capacity": reason,
        "environment": c["environment"],
    }


def unknown_ids(skipped: list[str]) -> list[tuple[str, str]]:
    """Return (id, nearest known id or "") for each id that no check has."""
    known = (*IDS, *preflight_nodes.IDS)
    unknown = [identity for identity in skipped if identity not in known]
    return [
        (identity, (difflib.get_close_matches(identity, known, n=1, cutoff=0.5) or [""])[0]) for identity in unknown
    ]


def refused(findings: list[dict], skipped: list[str]) -> list[dict]:
    """Return the findings for which a deployment is refused, in the order of the report."""
    return [item for item in worst_first(findings) if item["severity"] == "error" and item["id"] not in skipped]


def report(findings: list[dict], skipped: list[str]) -> str:
    """Return the text shown when checks failed: every problem with what was found, what is needed and the fix."""
    errors = refused(findings, skipped)
    lines = ["%d preflight check%s failed; nothing was changed." % (len(errors), "" if len(errors) == 1 else "s")]
    for item in errors:
        lines.append("- " + in_a_line(item))
        lines += ["    " + line for line in item["details"]]
    rest = [item for item in worst_first(findings) if item not in errors]
    if rest:
        lines.append("Not refused for, but worth a look:")
        lines += ["- %s%s" % ("(skipped) " if item["id"] in skipped else "", in_a_line(item)) for item in rest]
    return "\n".join(lines)


def warnings(findings: list[dict], skipped: list[str]) -> list[str]:
    """Return a line for every finding that is only reported, with its arithmetic."""
    lines = []
    for item in worst_first(findings):
        how = "failed and was skipped" if item["id"] in skipped else "warns"
        if item["id"] in skipped or item["severity"] == "warning":
            text = "preflight check %s %s: %s" % (item["id"], how, in_a_line(item).partition(": ")[2])
            lines.append(" | ".join([text, *item["details"]]))
    return lines
