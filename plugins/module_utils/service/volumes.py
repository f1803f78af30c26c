# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses the Docker volumes of a service. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import pathlib

from ansible_collections.myia.vllm.plugins.module_utils.docker.cli import PROJECT_LABEL


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
