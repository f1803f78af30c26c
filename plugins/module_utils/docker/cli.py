# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the Docker command line what engine a host has. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import calendar
import glob
import json
import os
import re
import time

from ansible_collections.myia.vllm.plugins.module_utils.common import files

#: ``docker info`` names the product here; Docker Desktop runs the engine in a virtual machine of its own.
DESKTOP = "Docker Desktop"

#: Label by which Docker Compose marks the containers and volumes of a project.
PROJECT_LABEL = "com.docker.compose.project"

#: Label by which Docker Compose notes the name that a volume has in the file.
VOLUME_LABEL = "com.docker.compose.volume"


def seconds(text: str) -> float:
    """Return a time as Docker writes it (``2026-01-31T12:00:00.123456789Z``) in seconds since 1970; 0 for none."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z$", text)
    if not match or text.startswith("0001-"):
        return 0.0
    return calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")) + float(match[2] or 0)


#: What Podman's program of the name `docker` says unless /etc/containers/nodocker is there (podman-docker).
_PODMAN = re.compile(r"Emulate Docker CLI using podman|^podman version", re.MULTILINE)


def _is_podman(out: str, err: str) -> bool:
    data = files.json_object(out)
    # `podman info` has other keys than `docker info`
    return bool(_PODMAN.search(err) or _PODMAN.search(out)) or ("host" in data and "ServerVersion" not in data)


def dockerd_pid(proc: str = "/proc") -> int:
    """Return the process id of an engine that runs on this host, whether it answers or not; 0 without one."""
    for path in glob.glob(os.path.join(proc, "[0-9]*", "comm")):
        if files.read_text(path).strip() == "dockerd":
            return int(path.split("/")[-2])
    return 0


def engine_info(run, proc: str = "/proc") -> dict:
    """Return what Docker Engine and Compose plugin the host has.

    Args:
        run: function of an argument list that returns (exit status, standard output, standard error); exit status
            127 for a program that is not there.
        proc: folder of the processes (for tests).

    Returns:
        ``installed`` (the docker command is there), ``podman`` (it is Podman's), ``dockerd_pid`` (of an engine that
        runs, whether it answers or not; 0 without one), ``answering``, ``error``, ``version``, ``compose_version``,
        ``operating_system``, ``desktop``, ``rootless``, ``live_restore``, ``cgroup_driver``,
        ``root_dir``, ``runtimes`` (names), ``default_runtime``, ``containers_running``, ``swarm`` (takes part in one),
        ``cdi_spec_dirs`` (where the engine looks for CDI specifications; empty when CDI is off, None before 25.0),
        ``registry_mirrors`` (of Docker Hub), ``proxied`` (whether the engine has a proxy of its own).
    """
    info = {
        "installed": False,
        "podman": False,
        "dockerd_pid": dockerd_pid(proc),
        "answering": False,
        "error": "",
        "version": "",
        "compose_version": "",
        "operating_system": "",
        "desktop": False,
        "rootless": False,
        "live_restore": False,
        "cgroup_driver": "",
        "root_dir": "",
        "runtimes": [],
        "default_runtime": "",
        "containers_running": 0,
        "swarm": False,
        "cdi_spec_dirs": None,
        "registry_mirrors": [],
        "proxied": False,
    }
    status, out, err = run(["docker", "info", "--format", "{{json .}}"])
    if status == 127:
        info["error"] = "the docker command is not installed"
        return info
    info["installed"] = True
    if _is_podman(out, err):
        info.update(podman=True, error="the docker command is Podman's (package podman-docker), not Docker's")
        return info
    status_compose, out_compose, _err = run(["docker", "compose", "version", "--short"])
    if status_compose == 0:
        info["compose_version"] = out_compose.strip().lstrip("v")
    data = files.json_object(out)
    # With a dead engine some clients still exit 0 and put the reason into ServerErrors.
    errors = data.get("ServerErrors") or []
    if status != 0 or errors or not data.get("ServerVersion"):
        info["error"] = (errors[0] if errors else (err.strip() or out.strip() or "docker info gave no answer"))[:500]
        return info
    info.update(
        answering=True,
        version=data["ServerVersion"],
        operating_system=data.get("OperatingSystem", ""),
        desktop=data.get("OperatingSystem", "") == DESKTOP,
        rootless=any("rootless" in str(item) for item in data.get("SecurityOptions") or []),
        live_restore=bool(data.get("LiveRestoreEnabled")),
        cgroup_driver=data.get("CgroupDriver", ""),
        root_dir=data.get("DockerRootDir", ""),
        runtimes=sorted(data.get("Runtimes") or {}),
        default_runtime=data.get("DefaultRuntime", ""),
        containers_running=int(data.get("ContainersRunning") or 0),
        swarm=(data.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive",
        cdi_spec_dirs=(data["CDISpecDirs"] or []) if "CDISpecDirs" in data else None,
        registry_mirrors=list((data.get("RegistryConfig") or {}).get("Mirrors") or []),
        # not its address, which may hold a password
        proxied=bool(data.get("HttpsProxy") or data.get("HttpProxy")),
    )
    return info


def running_containers(run) -> dict[str, dict[str, str]]:
    """Return the running containers by id, none when no engine answers.

    Returns:
        ``{id: {name, image, started, gpu}}``; ``gpu`` tells whether it got GPUs by the nvidia runtime or a request.

    Raises:
        RuntimeError: when a container runs that cannot be looked at; to take it for none would let it be stopped.
    """
    ids = _running_ids(run)
    if not ids:
        return {}
    line = (
        "{{.Id}}\t{{.Name}}\t{{.Config.Image}}\t{{.State.StartedAt}}\t{{.State.Running}}\t{{.HostConfig.Runtime}}"
        "\t{{json .HostConfig.DeviceRequests}}"
    )
    # a container that ended meanwhile makes the status 1; the lines of the others are there all the same
    _status, out, err = run(["docker", "inspect", "--format", line, *ids])
    rows = [row.split("\t") for row in out.splitlines() if row.count("\t") == 6]
    unseen = set(ids) - {row[0] for row in rows}
    if unseen and unseen & set(_running_ids(run)):
        raise RuntimeError("docker inspect cannot show running containers: %s" % err.strip())
    return {
        row[0]: {
            "name": row[1].lstrip("/"),
            "image": row[2],
            "started": row[3],
            "gpu": row[5] == "nvidia" or row[6] not in ("null", "[]"),
        }
        for row in rows
        if row[4] == "true"
    }


def _running_ids(run) -> list[str]:
    status, out, _err = run(["docker", "ps", "--no-trunc", "--format", "{{.ID}}"])
    return out.split() if status == 0 else []


def image_digests(run, image: str) -> list[str] | None:
    """Return by which digests an engine knows an image, its id first; None where it does not have it.

    Engines that keep images in different ways have different ids of the same one; the digest by which it was pulled is
    the same.
    """
    # whole: {{join}} of Docker 20.10 cannot read the list of an image that was built on the spot
    status, out, _err = run(["docker", "image", "inspect", "--format", "[{{json .Id}},{{json .RepoDigests}}]", image])
    if status != 0:
        return None
    try:
        own, known = json.loads(out)
    except ValueError:
        return []
    return [own, *(text.rpartition("@")[2] for text in known or [])]


def runner(module):
    """Return a ``run`` function for :func:`engine_info` on top of an AnsibleModule."""

    def run(argv: list[str]) -> tuple[int, str, str]:
        path = module.get_bin_path(argv[0])
        if path is None:
            return 127, "", "%s: not found" % argv[0]
        return module.run_command([path, *argv[1:]])

    return run
