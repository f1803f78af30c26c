# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA adapters that a service serves beside its model: where each comes from, and how vLLM is told.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.mounts import caches
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import HUB_ID
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: vLLM's own --max-lora-rank (vllm/config/lora.py, 0.11 to 0.33).
MAX_RANK = 16

#: Options that follow from ``vllm_lora_adapters``.
_OPTIONS = ("enable-lora", "lora-modules")

#: An adapter's name: part of an argument, with its path behind an ``=``.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]*\Z")
_FOLDER = re.compile(r"^/[A-Za-z0-9_./+@-]+\Z")
_COMMIT = re.compile(r"^[0-9a-f]{40}\Z")

_KEYS = ("name", "source", "revision")


def check(v: dict, extra_options: dict, extra_env: dict, problems: Problems) -> None:
    """Note what is wrong with ``vllm_lora_adapters``."""
    names: list[str] = []
    for number, given in enumerate(v["vllm_lora_adapters"] or [], 1):
        where = "entry %d" % number
        if not isinstance(given, dict) or not given.get("name") or not given.get("source"):
            problems.add(
                "vllm_lora_adapters", "%s has no name and source, as {name: sql, source: org/adapter}." % where
            )
            continue
        for text in _wrong(given, [*names, *(v["vllm_served_model_name"] or [v["vllm_model"]])], v, extra_env):
            problems.add("vllm_lora_adapters", "%s (%s): %s" % (where, given["name"], text))
        names.append(str(given["name"]))
    doubled = [name for name in _OPTIONS if names and name in extra_options]
    if doubled:
        problems.add(
            "vllm_extra_options",
            "%s follows from vllm_lora_adapters. Take it out of one of the two." % " and ".join(doubled),
        )


def _wrong(given: dict, taken: list[str], v: dict, extra_env: dict) -> list[str]:
    name, source, revision = (str(given.get(key) or "") for key in _KEYS)
    wrong = ["there is no %s; an adapter has name, source and revision." % key for key in given if key not in _KEYS]
    if not _NAME.match(name):
        wrong.append("the name may have letters, digits, '.', '_', '/' and '-'.")
    if name in taken:
        wrong.append("another model or adapter has this name. Give it its own.")
    if source.startswith("/"):
        if not _FOLDER.match(source):
            wrong.append("source %r holds characters that cannot be mounted safely. Rename the folder." % source)
        if revision:
            wrong.append("a folder has no revision. Take it out.")
    elif not HUB_ID.match(source):
        wrong.append("source %r is neither a Hugging Face id nor the absolute path of a folder on the host." % source)
    elif revision and not _COMMIT.match(revision):
        # vLLM cannot be told a revision of an adapter, but a folder of the cache, which is named by the commit
        wrong.append("revision %r is no commit. Give the 40 digits of one, or none for the newest." % revision)
    elif revision and (not v["vllm_prefetch"] or {"HF_HOME", "HF_HUB_CACHE"} & set(extra_env)):
        wrong.append("a revision needs vllm_prefetch, and the cache in its usual place (no HF_HOME, no HF_HUB_CACHE).")
    return wrong


def read(v: dict) -> list[dict]:
    """Return ``{name, source, revision, path}`` of each usable adapter; ``path`` is where vLLM finds it."""
    found = []
    for given in v["vllm_lora_adapters"] or []:
        if isinstance(given, dict) and given.get("name") and given.get("source"):
            name, source, revision = (str(given.get(key) or "") for key in _KEYS)
            found.append(
                {"name": name, "source": source, "revision": revision, "path": _path(source, revision, caches(v)[0])}
            )
    return found


def _path(source: str, revision: str, cache: str) -> str:
    if source.startswith("/") or not revision:
        return source
    return "%s/hub/models--%s/snapshots/%s" % (cache, source.replace("/", "--"), revision)


def options(v: dict) -> list[tuple[str, object]]:
    """Return what vLLM is told, as further entries of ``vllm_extra_options``."""
    adapters = read(v)
    if not adapters:
        return []
    return [("enable-lora", True), ("lora-modules", ["%s=%s" % (item["name"], item["path"]) for item in adapters])]


def largest_rank(extra_options: dict) -> int:
    """Return the largest rank that the service takes."""
    text = str(extra_options.get("max-lora-rank", MAX_RANK))
    return int(text) if text.isdigit() else MAX_RANK
