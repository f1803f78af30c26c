# SPDX-License-Identifier: GPL-3.0-or-later
"""Read out of what Docker, vLLM, nvidia-smi and the cache say how a service is. Standard library only; runs on hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os
import re

from ansible_collections.myia.vllm.plugins.module_utils.hub import cache as hub_cache

#: Gauges of vLLM (vllm/v1/metrics/loggers.py) by what they tell; the cache's had the second name up to 0.11 (the table
#: vllm_options.json has both).
_GAUGES = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_cache_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
}

#: What nvidia-smi is asked for (nvidia-smi --help-query-gpu), by the key it is returned under.
GPU_COLUMNS = {
    "index": "index",
    "uuid": "uuid",
    "name": "name",
    "memory.used": "memory_used_mib",
    "memory.total": "memory_total_mib",
    "temperature.gpu": "temperature_c",
    "utilization.gpu": "utilization_percent",
}

#: Where a container has its key with vllm_secrets_as_files (plugin_utils/definition/secret_env.py).
_KEY_FILE = "/run/secrets/env_VLLM_API_KEY"


def load(metrics: str) -> dict:
    """Return ``{running, waiting, kv_cache_usage}`` by the text of ``/metrics``, each None where it does not tell.

    Requests of several engines are added up; of their caches the fullest counts, as a share of 1.
    """
    found: dict = {}
    for key, names in _GAUGES.items():
        values = [
            float(value)
            for name in names
            for value in re.findall(r"^%s(?:\{[^}\n]*\})? ([0-9.eE+-]+)$" % re.escape(name), metrics, re.MULTILINE)
        ]
        if key == "kv_cache_usage":
            found[key] = round(max(values), 4) if values else None
        else:
            found[key] = int(sum(values)) if values else None
    return found


def gpus(text: str) -> list[dict]:
    """Return the GPUs of ``nvidia-smi --query-gpu=...`` in CSV without header and units; what is not known is None."""
    found = []
    for line in text.splitlines():
        values = [item.strip() for item in line.split(",")]
        if len(values) != len(GPU_COLUMNS):
            continue
        gpu: dict = dict(zip(GPU_COLUMNS.values(), values))
        for key in ("index", "memory_used_mib", "memory_total_mib", "temperature_c", "utilization_percent"):
            gpu[key] = int(float(gpu[key])) if re.match(r"\d+(\.\d+)?\Z", gpu[key]) else None
        found.append(gpu)
    return found


def ports(inspected: dict) -> list[dict]:
    """Return where Docker publishes a container: ``{address, port, inside}``; nothing where it does not."""
    published = (inspected.get("NetworkSettings") or {}).get("Ports") or {}
    return [
        {"address": item.get("HostIp", ""), "port": int(item.get("HostPort") or 0), "inside": int(name.split("/")[0])}
        for name, items in sorted(published.items())
        for item in items or []
    ]


def networks(inspected: dict) -> list[str]:
    """Return the names of the networks of a container; ``host`` for that of the host itself."""
    return sorted((inspected.get("NetworkSettings") or {}).get("Networks") or {})


def guards(inspected: dict) -> dict:
    """Return by what a container guards its service: ``api_key`` and ``tls``. No value is returned."""
    config = inspected.get("Config") or {}
    names = [str(item).partition("=")[0] for item in config.get("Env") or [] if str(item).partition("=")[2]]
    # a shell that starts the server has all of its arguments in one word
    words = " ".join(str(item) for item in [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])])
    given = {re.split(r"[=\s]", item)[0] for item in re.findall(r"--[a-z][^\s]*", words)}
    as_file = any(item.get("Destination") == _KEY_FILE for item in inspected.get("Mounts") or [])
    return {
        "api_key": "VLLM_API_KEY" in names or "--api-key" in given or as_file,
        "tls": "--ssl-keyfile" in given,
    }


def weights_s(inspected: dict, model: str, commit: str) -> float:
    """Return when a model's files came into the mounted cache, in seconds since 1970; 0 where that is not known."""
    source = hub_cache.mounted(inspected.get("Mounts") or [])
    folder = os.path.join(hub_cache.repository(source, model), "snapshots", commit)
    try:
        return os.stat(folder).st_mtime if source and model and commit else 0.0
    except OSError:
        return 0.0
