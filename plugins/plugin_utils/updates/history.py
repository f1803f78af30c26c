# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two vLLM releases, by the tables of this collection.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options, vllm_versions

#: A release that is final: no candidate, no build for one CUDA or platform.
_FINAL = re.compile(r"v?(\d+\.\d+\.\d+(?:\.post\d+)?)\Z")


def finals(tags: list[str]) -> list[str]:
    """Return the versions of final releases among the tags of an image, oldest first."""
    found = {match[1] for match in map(_FINAL.match, tags) if match}
    return sorted(found, key=_order)


def _order(version: str) -> tuple:
    post = re.search(r"\.post(\d+)$", version)
    return (*vllm_versions.release(version), int(post[1]) if post else 0)


def newer(version: str, tags: list[str]) -> list[dict]:
    """Return the releases after ``version``, oldest first: ``{version, in_table, in_registry}``.

    Args:
        version: the release that is used.
        tags: of the image's repository; empty where it was not asked.
    """
    known, published = vllm_options.versions(), finals(tags)
    every = sorted({*known, *published}, key=_order)
    return [
        {"version": item, "in_table": item in known, "in_registry": item in published if tags else None}
        for item in every
        if _order(item) > _order(version)
    ]


def gone(before: str, after: str) -> dict[str, str]:
    """Return the options that ``after`` does not have any more, each with what takes its place."""
    old, new = vllm_options.options(before), vllm_options.options(after)
    text = "nothing is known to take its place"
    return {name: vllm_versions.REPLACEMENTS.get(name, text) for name in sorted(set(old) - set(new))}


def came(before: str, after: str) -> list[str]:
    """Return the options that ``before`` does not have."""
    return sorted(set(vllm_options.options(after)) - set(vllm_options.options(before)))


def defaults(before: str, after: str) -> list[dict]:
    """Return the options whose default differs: ``{option, before, after}``, None for one that vLLM works out."""
    old, new = vllm_options.options(before), vllm_options.options(after)
    found = [
        {"option": name, "before": old[name].get("default"), "after": new[name].get("default")}
        for name in sorted(set(old) & set(new))
        if old[name].get("default") != new[name].get("default")
    ]
    graphs = [vllm_versions.defaults(item)["cuda_graphs_in_kv_budget"] for item in (before, after)]
    if graphs[0] != graphs[1]:
        found.append({"option": "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", "before": graphs[0], "after": graphs[1]})
    return found


def metrics_gone(before: str, after: str) -> list[str]:
    """Return the metrics that dashboards and alerts miss afterwards."""
    return sorted(set(vllm_options.metric_names(before)) - set(vllm_options.metric_names(after)))


def notes(before: str, after: str) -> list[str]:
    """Return what else differs, as far as this collection acts on it."""
    found, parameters, scaling = [], {"rope_parameters": {}}, {"rope_scaling": {}}
    if vllm_versions.fitting_overrides(before, parameters) != vllm_versions.fitting_overrides(after, parameters):
        found.append(
            "vLLM reads `rope_parameters` instead of `rope_scaling`; `vllm_hf_overrides` with `rope_parameters` is "
            "written for both"
        )
    if vllm_versions.overrides_problem(after, scaling) and not vllm_versions.overrides_problem(before, scaling):
        found.append("`rope_scaling` in `vllm_hf_overrides` is refused: vLLM does not read it any more")
    if vllm_versions.fitting_shutdown(after, 1) and not vllm_versions.fitting_shutdown(before, 1):
        found.append("vLLM ends running requests itself before it stops (`vllm_shutdown_timeout_s`)")
    return found


def shown(value: object) -> str:
    """Return a default as people write it."""
    if value is None:
        return "no fixed one"
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
