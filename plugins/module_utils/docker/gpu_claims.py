# SPDX-License-Identifier: GPL-3.0-or-later
"""Which containers claim GPUs, and which container a process belongs to. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re

from ansible_collections.myia.vllm.plugins.module_utils.docker.cli import PROJECT_LABEL

#: The id of a container in a path of /proc/<pid>/cgroup (docker-<id>.scope, /docker/<id>, libpod-<id>.scope).
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
#: Values of NVIDIA_VISIBLE_DEVICES that give no GPU (NVIDIA container toolkit).
_NO_GPUS = ("", "void", "none")


def running(run, default_runtime: str = "") -> list[dict]:
    """Return the running containers with the GPUs that they were given.

    Args:
        run: see :func:`docker_cli.engine_info`.
        default_runtime: the engine's default runtime.

    Returns:
        ``{id, name, project, gpus}`` of each; ``gpus`` lists indexes, UUIDs or V(all). The other variables of a
        container, which may hold secrets, are not returned.
    """
    status, out, _err = run(["docker", "ps", "--no-trunc", "--quiet"])
    ids = out.split() if status == 0 else []
    if not ids:
        return []
    # one that ended meanwhile makes the status 1; the others are in the answer all the same
    _status, out, _err = run(["docker", "inspect", *ids])
    try:
        containers = json.loads(out)
    except ValueError:
        return []
    return [
        {
            "id": item["Id"],
            "name": item["Name"].lstrip("/"),
            "project": ((item.get("Config") or {}).get("Labels") or {}).get(PROJECT_LABEL, ""),
            "gpus": gpus_of(item, default_runtime),
        }
        for item in containers
        if isinstance(item, dict) and (item.get("State") or {}).get("Running", True)
    ]


def gpus_of(container: dict, default_runtime: str = "") -> list[str]:
    """Return the GPUs that ``docker inspect`` says a container was given: by runtime, device request or CDI."""
    host = container.get("HostConfig") or {}
    found: list[str] = []
    for request in host.get("DeviceRequests") or []:
        names = [str(name).rpartition("=")[2] for name in request.get("DeviceIDs") or []]
        count = request.get("Count") or 0
        # `--gpus 2` gives the first two
        found += names or (["all"] if count < 0 else [str(index) for index in range(count)])
    if (host.get("Runtime") or default_runtime) == "nvidia":
        variables = dict(str(entry).partition("=")[::2] for entry in (container.get("Config") or {}).get("Env") or [])
        value = variables.get("NVIDIA_VISIBLE_DEVICES", "")
        found += [] if value in _NO_GPUS else [name.strip() for name in value.split(",")]
    return list(dict.fromkeys(found))


def container_of(cgroup: str, containers: list[dict]) -> dict:
    """Return ``{container, project}`` of the process whose ``/proc/<pid>/cgroup`` is given.

    A container that the engine does not name (another engine's) is known by the start of its id; no container: empty.
    """
    ids = _CONTAINER_ID.findall(cgroup)
    by_id = {item["id"]: item for item in containers}
    # the innermost comes last, where containers run in containers
    for identity in reversed(ids):
        if identity in by_id:
            return {"container": by_id[identity]["name"], "project": by_id[identity]["project"]}
    return {"container": ids[-1][:12] if ids else "", "project": ""}
