# SPDX-License-Identifier: GPL-3.0-or-later
"""Read out of what Docker, vLLM and the releases say what a report shows. Python standard library only; runs on hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os
import re

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.hub import cache as hub_cache
from ansible_collections.myia.vllm.plugins.module_utils.service import releases

#: What is returned when nothing can be seen.
EMPTY = {
    "image": {"id": "", "digests": [], "created": "", "size_bytes": 0, "cuda_version": ""},
    "container": {
        "name": "",
        "id": "",
        "state": "",
        "started_at": "",
        "restart_count": 0,
        "restart_policy": "",
        "memory_bytes": 0,
    },
    "kv_cache": {"tokens": 0, "blocks": 0, "block_size": 0},
}

#: Powers by unit, as ``docker stats`` writes them (docker/go-units, BytesSize).
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

#: Keys of ``release.json`` that a report shows.
_RELEASE_KEYS = (
    "name", "created", "good", "good_since", "image", "model", "served_model_name", "vllm_version", "base_url", "start",
)  # fmt: skip


def first(text: str) -> dict:
    """Return the first object of what ``docker ... inspect`` printed; empty when there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}


def image(inspected: dict) -> dict:
    """Return ``{id, digests, created, size_bytes, cuda_version}`` of ``docker image inspect``.

    Of the image's own variables only CUDA_VERSION is read, which NVIDIA's base images set.
    """
    variables = dict(str(item).partition("=")[::2] for item in (inspected.get("Config") or {}).get("Env") or [])
    return {
        "id": inspected.get("Id", ""),
        "digests": [str(item) for item in inspected.get("RepoDigests") or []],
        "created": inspected.get("Created", ""),
        "size_bytes": inspected.get("Size", 0),
        "cuda_version": variables.get("CUDA_VERSION", ""),
    }


def container(inspected: dict, memory: int = 0) -> dict:
    """Return what is shown of ``docker container inspect``, none of its variables.

    Args:
        inspected: the object.
        memory: its memory in use, in bytes.
    """
    state, host = inspected.get("State") or {}, inspected.get("HostConfig") or {}
    return {
        "name": str(inspected.get("Name", "")).lstrip("/"),
        "id": inspected.get("Id", ""),
        "state": state.get("Status", ""),
        "started_at": state.get("StartedAt", ""),
        "restart_count": inspected.get("RestartCount", 0),
        "restart_policy": (host.get("RestartPolicy") or {}).get("Name", ""),
        "memory_bytes": memory,
    }


def memory_bytes(text: str) -> int:
    """Return the first amount of ``1.5GiB / 31GiB`` in bytes; 0 without one."""
    found = re.match(r"\s*([\d.]+)\s*([KMGT]iB|B)\b", text)
    return int(float(found.group(1)) * _UNITS[found.group(2)]) if found else 0


def kv_cache(metrics: str) -> dict:
    """Return ``{tokens, blocks, block_size}`` of the smallest engine in the text of vLLM's /metrics.

    The gauge vllm:cache_config_info (vllm/v1/metrics/loggers.py) carries the settings of the cache as labels; newer
    releases have the tokens among them, in older ones they are blocks times block size.
    """
    found = []
    for line in re.findall(r"^vllm:cache_config_info\{(.*)\}", metrics, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        blocks, size = (_whole(labels.get(name)) for name in ("num_gpu_blocks", "block_size"))
        tokens = _whole(labels.get("kv_cache_size_tokens")) or blocks * size
        found.append({"tokens": tokens, "blocks": blocks, "block_size": size})
    return min(found, key=lambda item: item["tokens"], default=dict(EMPTY["kv_cache"]))


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def kept_releases(folder: str) -> list[dict]:
    """Return the releases of a service's folder, the newest first.

    Returns:
        Each with ``current``, those of :data:`RELEASE_KEYS` that are known, ``failure`` (the last failed start, empty
        without one) and ``log`` (its log on the host, empty without one).
    """
    service = releases.Service(folder)
    current, found = service.current(), []
    for name in reversed(service.names()):
        about = service.about(name)
        log = os.path.join(about["path"], releases.FAILED_LOG)
        found.append(
            {
                **{key: about[key] for key in _RELEASE_KEYS if key in about},
                "current": name == current,
                "failure": about["failures"][-1] if about["failures"] else {},
                "log": log if os.path.exists(log) else "",
            }
        )
    return found


def model_commit(inspected: dict, model: str, revision: str) -> str:
    """Return the commit of a model in the cache that is mounted into the container; empty when it is not known."""
    source = hub_cache.mounted(inspected.get("Mounts") or [])
    if re.match(r"[0-9a-f]{40}\Z", revision):
        return revision
    path = os.path.join(hub_cache.repository(source, model), "refs", revision or "main")
    text = files.read_text(path).strip()
    return text if source and re.match(r"[0-9a-f]{40}\Z", text) else ""
