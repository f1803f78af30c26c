# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of a release that was taken over: somebody else made it, and it serves in a release's place.

``release.json`` of such a release has ``adopted: {container_id, unit}``. Until the first real change that container
counts as the service's own; then it is set aside, and comes back if the change fails. Runs on target hosts.

Private to this collection; may change at any time. Python standard library only.
"""

from __future__ import annotations

import json
import os

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.service import containers, releases

#: Ending of the name of a container that was set aside.
ASIDE = "-handmade"

#: Seconds that a container which is set aside gets to end; its requests were waited for before.
_STOP_S = 30


def of_release(folder: str) -> dict:
    """Return ``{container_id, unit}`` of a release's folder; empty where its container is its own."""
    about = files.read_json(os.path.join(folder, releases.DESCRIPTION)).get("adopted")
    return about if isinstance(about, dict) and about.get("container_id") else {}


def of_service(service: releases.Service) -> dict[str, dict]:
    """Return what :func:`of_release` says of each release, by the container's id."""
    found = [of_release(service.folder(name)) for name in service.names()]
    return {about["container_id"]: about for about in found if about}


def claim_host(run, folder: str, project: str, facts: dict) -> None:
    """Let what ``host_info`` found of the adopted container of a release be the service's own.

    Args:
        run: as for ``docker_cli.engine_info``.
        folder: of the current release.
        project: Compose project of the service.
        facts: of ``host_info``, which are changed.
    """
    identity = of_release(folder).get("container_id", "") if folder else ""
    if not identity or not facts["docker"]["answering"]:
        return
    status, out, _err = run(["docker", "container", "inspect", "--format", "{{json .Name}}", identity])
    if status != 0:
        return
    name = json.loads(out).lstrip("/")
    places = [*facts["port"]["containers"], *([facts["named_container"]] if facts["named_container"] else [])]
    for item in places:
        if item["name"] == name:
            item["project"] = project
    for item in facts["containers"]:
        if item["id"] == identity:
            item["project"] = project
    if name not in facts["own_containers"]:
        facts["own_containers"].append(name)


def claim(run, service: releases.Service, found: list[dict], project: str, name: str) -> list[dict]:
    """Return the containers of ``containers.look`` with those that were taken over as the service's own.

    Args:
        run: as for ``docker_cli.engine_info``.
        service: the service's folder.
        found: of ``containers.look``.
        project: the Compose project.
        name: name of the service in it.
    """
    known = of_service(service)
    missing = [identity for identity in known if identity not in [item["id"] for item in found]]
    result = [*found, *(containers.by_id(run, missing) if missing else [])]
    for item in result:
        if item["id"] in known:
            item.update(project=project, service=name, oneoff=False, adopted=True)
    return result


def supervisor(run, service: releases.Service, found: list[dict]) -> str:
    """Return the unit of systemd that would start the container that runs again; empty without one."""
    known = of_service(service)
    for item in found:
        unit = known.get(item["id"], {}).get("unit", "")
        if unit and item["state"] == "running" and run(["systemctl", "is-active", "--quiet", unit])[0] == 0:
            return unit
    return ""


def steps(service: releases.Service, found: list[dict]) -> list[tuple]:
    """Return what to do with adopted containers before Compose makes a new one: (``aside`` or ``forget``, container).

    One that was set aside stays until a release after it was good: until then it is the way back.
    """
    known = of_service(service)
    current = service.description(service.current())
    later_is_good = bool(current.get("good_since")) and current.get("container_id") not in known
    wanted = []
    for item in (item for item in found if item.get("adopted")):
        if not item["name"].endswith(ASIDE):
            wanted.append(("aside", item))
        elif later_is_good:
            wanted.append(("forget", item))
    return wanted


def commands(step: str, container: dict) -> list[list[str]]:
    """Return the command lines of a step; volumes are somebody else's and stay."""
    identity = container["id"]
    if step == "forget":
        return [["docker", "rm", "--force", identity]]
    return [
        ["docker", "update", "--restart", "no", identity],
        ["docker", "stop", "--time", str(_STOP_S), identity],
        ["docker", "rename", identity, container["name"] + ASIDE],
    ]


def goes_by_itself(step: str, said: str) -> bool:
    """Tell whether a command of a step failed only because Docker removes the container when it ends (``--rm``).

    Such a container has no restart policy to change (moby, daemon/update.go), and nothing to rename afterwards.
    """
    return step == "aside" and ("autoremove is enabled" in said.lower() or "no such container" in said.lower())
