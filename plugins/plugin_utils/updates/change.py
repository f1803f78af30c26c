# SPDX-License-Identifier: GPL-3.0-or-later
"""What another vLLM release changes for one service. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition as service_definition
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import history

#: Checks of preflight that an image decides; the others are about the host whatever the release.
_DECIDED = (
    "driver_cuda", "model_kind", "tensor_parallel", "max_model_len", "capacity", "gpu_memory", "adapters", "registry",
)  # fmt: skip


def variables(values: dict, version: str) -> dict:
    """Return the variables to set for another release: ``vllm_version``, and an image whose tag names a release.

    Args:
        values: the value of every variable of the role ``vllm``.
        version: the release.
    """
    image = str(values.get("vllm_image") or "")
    named = vllm_versions.image_version(image)
    changed = {"vllm_version": version}
    if named:
        # a digest is of the old release
        name, colon, tag = image.partition("@")[0].rpartition(":")
        changed["vllm_image"] = name + colon + tag.replace(named, version, 1)
    return changed


def found(
    values: dict, options: dict, host: dict | None, settings: dict, version: str, nodes: dict | None = None
) -> dict:
    """Return what a release changes for a service.

    Args:
        values: the value of every variable of the role ``vllm``, which are a service.
        options: the options of that role's argument_specs, by variable.
        host: what the module ``host_info`` returned; None where the host was not seen.
        settings: of ``preflight.arguments.settings``.
        version: the release.
        nodes: of ``role_variables.service_hosts``, where several hosts serve one model.

    Returns:
        ``version``; ``variables`` to set; ``own_image`` (an image whose tag names no release: only its owner knows what
        it holds); ``refused`` (what the collection would refuse, each a sentence with its fix) and ``warnings``;
        ``command`` (lines that go and come); ``defaults`` (of options that the service leaves to vLLM) and
        ``metrics_gone``; ``driver``; ``findings`` (what preflight refuses that it does not refuse now) and ``capacity``
        (before and after, as ``{fits, kv_tokens, max_model_len}``; None without a plan).
    """
    before, _problems, told_before = service_definition.define(values, options, nodes)
    changed = variables(values, version)
    after, problems, warnings = service_definition.define({**values, **changed}, options, nodes)
    old = before["version"]
    said = {re.sub(r"^--(no-)?", "", word).partition("=")[0].partition(".")[0] for word in before["command"]}
    return {
        "version": version,
        "variables": changed,
        "own_image": bool(values.get("vllm_image")) and "vllm_image" not in changed,
        "refused": [item["message"] for item in problems],
        "warnings": [text for text in warnings if text not in told_before],
        "command": _differs(before["command"], after["command"]) if after else [],
        "defaults": [item for item in history.defaults(old, version) if item["option"] not in said],
        "metrics_gone": history.metrics_gone(old, version),
        **_seen(before, after, host, settings, version),
    }


def _differs(before: list[str], after: list[str]) -> list[str]:
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def _seen(before: dict, after: dict, host: dict | None, settings: dict, version: str) -> dict:
    """Return what depends on the host: driver, findings and plan."""
    needs = vllm_versions.minimum_driver(version, after["image"] if after else "")
    driver = {**needs, "found": "", "sufficient": None}
    result = {"driver": driver, "findings": [], "capacity": None}
    if before["accelerator"] != "nvidia":
        result["driver"] = {**driver, "sufficient": True}
    if host is None:
        return result
    if before["accelerator"] == "nvidia":
        driver["found"] = str((host.get("gpu") or {}).get("driver_version") or "")
        branch = re.match(r"\d+", driver["found"])
        driver["sufficient"] = int(branch[0]) >= needs["driver"] if branch else None
    if not after:
        return result
    was, will = (preflight_checks.check(item, host, None, settings) for item in (before, after))
    already = {item["id"] for item in was["findings"] if not item["ok"] and item["severity"] == "error"}
    result["findings"] = [
        item for item in will["findings"]
        if not item["ok"] and item["severity"] == "error" and item["id"] in _DECIDED and item["id"] not in already
    ]  # fmt: skip
    if was["capacity"] and will["capacity"]:
        result["capacity"] = {"before": _plan(was["capacity"]), "after": _plan(will["capacity"])}
    return result


def _plan(plan: dict) -> dict:
    return {key: plan[key] for key in ("fits", "kv_tokens", "max_model_len")}


def is_taken(change: dict) -> bool:
    """Tell whether a deployment of the release would go on, as far as can be seen."""
    return not change["refused"] and not change["findings"] and change["driver"]["sufficient"] is not False
