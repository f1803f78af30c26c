# SPDX-License-Identifier: GPL-3.0-or-later
"""The containers of a service, whatever they are called, and who else has its name. Runs on target hosts.

Compose knows a service's container by labels, people and the watch know it by its name. Where the two part, because
somebody renamed it or because a Compose was killed while it replaced it, the next Compose stops what serves, or trips.
:func:`plan` says what brings them together again.

Private to this collection; may change at any time. Python standard library only.
"""

from __future__ import annotations

import json
import re

from ansible_collections.myia.vllm.plugins.module_utils.docker.cli import PROJECT_LABEL

#: Labels by which Compose marks a container's service, and those of `docker compose run` (docker/compose, labels.go).
SERVICE_LABEL, ONEOFF_LABEL = "com.docker.compose.service", "com.docker.compose.oneoff"

#: Compose makes the new container under the old one's id and its name, stops and removes the old one, and renames the
#: new one (docker/compose, pkg/compose/convergence.go).
_LEFTOVER = re.compile(r"^[0-9a-f]{12}_")

#: What is read of a container, each in JSON.
_FORMAT = "\t".join(
    "{{json %s}}" % field for field in (".Id", ".Name", ".State.Status", ".Config.Labels", ".Config.Image", ".Created")
)


class EngineError(Exception):
    """The engine does not say what containers there are."""


def look(run, project: str, name: str) -> list[dict]:
    """Return the containers of a project, and the one called ``name``, running or not.

    Args:
        run: as for ``docker_cli.engine_info``.
        project: the Compose project.
        name: name of the service's container.

    Returns:
        Each ``{id, name, state, project, service, oneoff, image, created}``.

    Raises:
        EngineError: with what the engine, or its command line, said.
    """
    ids: list[str] = []
    for condition in ("label=%s=%s" % (PROJECT_LABEL, project), "name=^/?%s$" % re.escape(name)):
        status, out, err = run(["docker", "ps", "--all", "--no-trunc", "--quiet", "--filter", condition])
        if status != 0:
            raise EngineError(" ".join((err or out).split()) or "docker ps gave no answer")
        ids += [item for item in out.split() if item not in ids]
    return by_id(run, ids)


def by_id(run, ids: list[str]) -> list[dict]:
    """Return the containers of these ids that are there, as :func:`look` does."""
    if not ids:
        return []
    # one that went meanwhile makes the status 1; the lines of the others are there all the same
    _status, out, _err = run(["docker", "inspect", "--format", _FORMAT, *ids])
    return [_container(line) for line in out.splitlines() if line.count("\t") == _FORMAT.count("\t")]


def _container(line: str) -> dict:
    identity, name, state, labels, image, created = (json.loads(field) for field in line.split("\t"))
    labels = labels or {}
    return {
        "id": identity,
        "name": name.lstrip("/"),
        "state": state,
        "project": labels.get(PROJECT_LABEL, ""),
        "service": labels.get(SERVICE_LABEL, ""),
        "oneoff": labels.get(ONEOFF_LABEL, "False") == "True",
        "image": image,
        "created": created,
    }


def foreign(found: list[dict], project: str, name: str) -> dict:
    """Return the container of somebody else that is called ``name``; empty without one."""
    return next((item for item in found if item["name"] == name and item["project"] != project), {})


def plan(found: list[dict], project: str, service: str, name: str, names: list[str], keep_id: str) -> list[tuple]:
    """Return what to do so that Compose and people mean the same container.

    Args:
        found: :func:`look`.
        project: the Compose project.
        service: name of the service in it.
        name: what its container shall be called.
        names: what the containers of its releases were called; one with such a name was not renamed by hand.
        keep_id: id of the container that shall serve, if it is still there; every other one goes then. Empty to leave
            the choice to Compose.

    Returns:
        Steps in their order: (``remove``, container), (``rename``, container), (``start``, container).
    """
    ours = [item for item in found if item["project"] == project and item["service"] == service and not item["oneoff"]]
    kept = next((item for item in ours if keep_id and item["id"] == keep_id and item["state"] != "dead"), None)
    leftovers = [item for item in ours if _LEFTOVER.match(item["name"]) and item is not kept]
    if kept:
        steps = [("remove", item) for item in ours if item is not kept]
    else:
        steps = [("remove", item) for item in leftovers]
        rest = [item for item in ours if item not in leftovers]
        renamed = [item for item in rest if item["name"] not in (name, *names)]
        if any(item not in renamed for item in rest):
            # Compose would take one of the two for the service and the other for too many, whichever it likes
            steps += [("remove", item) for item in renamed]
        else:
            kept = next((item for item in renamed if item["state"] == "running"), renamed[0] if renamed else None)
            steps += [("remove", item) for item in renamed if item is not kept]
    if kept and kept["name"] != name and not foreign(found, project, name):
        steps.append(("rename", kept))
    if keep_id and kept and kept["id"] == keep_id and kept["state"] != "running":
        steps.append(("start", kept))
    return steps


def command(step: str, container: dict, name: str) -> list[str]:
    """Return the command line of a step of :func:`plan`."""
    return {
        "remove": ["docker", "rm", "--force", "--volumes", container["id"]],
        "rename": ["docker", "rename", container["id"], name],
        "start": ["docker", "unpause" if container["state"] == "paused" else "start", container["id"]],
    }[step]


def described(container: dict) -> str:
    """Return in words whose a foreign container is."""
    owner = "the Compose project %s" % container["project"] if container["project"] else "no Compose project"
    return "%s (id %s, image %s, %s, made at %s, of %s)" % (
        container["name"], container["id"][:12], container["image"], container["state"], container["created"][:19],
        owner,
    )  # fmt: skip
