# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker volumes of a service: who uses one, and one that several services share.

Standard library only; runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import pathlib

from ansible_collections.myia.vllm.plugins.module_utils.docker.cli import PROJECT_LABEL, VOLUME_LABEL


def exists(run, volume: str) -> bool:
    """Tell whether the engine has a volume; ``run`` as for :func:`other_users`."""
    return run(["docker", "volume", "inspect", volume])[0] == 0


def create(run, volume: str, project: str) -> None:
    """Make a volume as Compose would for a project, so that Compose takes it for the project's.

    Args:
        run: as for :func:`other_users`.
        volume: its name.
        project: the Compose project; empty for none.

    Raises:
        OSError: the engine does not make it.
    """
    labels = ["%s=%s" % (PROJECT_LABEL, project), "%s=%s" % (VOLUME_LABEL, volume)] if project else []
    # without Compose's hash of the configuration, which nothing is compared with then
    argv = ["docker", "volume", "create", *(word for label in labels for word in ("--label", label)), volume]
    status, _out, err = run(argv)
    if status != 0:
        raise OSError("docker volume create %s failed: %s" % (volume, " ".join(err.split())))


def other_users(run, folder: pathlib.Path, project: str, volume: str) -> list[str]:
    """Return who else uses a volume: containers of other projects, running or not, and services beside this one.

    Args:
        run: runs a command and returns status, output and errors.
        folder: the service's folder, beside which those of other services are.
        project: the service's Compose project.
        volume: name of the volume.

    Raises:
        OSError: the engine does not tell, so nobody can know.
    """
    status, out, err = run(
        [
            "docker",
            "ps",
            "--all",
            "--filter",
            "volume=%s" % volume,
            "--format",
            '{{.Names}}\t{{.Label "%s"}}' % PROJECT_LABEL,
        ]
    )
    if status != 0:
        raise OSError("docker ps failed: %s" % " ".join(err.split()))
    users = ["container " + line.partition("\t")[0] for line in out.splitlines() if line.partition("\t")[2] != project]
    for path in sorted(folder.parent.glob("*/current/compose.yml")):
        if path.parent.parent.name == folder.name:
            continue
        # as templates/compose.yml.j2 writes it
        if "    name: %s\n" % json.dumps(volume) in path.read_text(encoding="utf-8", errors="replace"):
            users.append("service " + path.parent.parent.name)
    return users
