# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker Compose would say of a release, without a value of ``.env``. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os
import pathlib

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases


def ambient_problem(env: str) -> str:
    """Say which variables of the caller's own environment Compose would take before ``.env``; empty for none."""
    pairs = dict(line.partition("=")[::2] for line in env.split("\n") if "=" in line)
    clash = []
    for name, quoted in pairs.items():
        if name in os.environ:
            try:
                same = dotenv.quote(os.environ[name]) == quoted
            except dotenv.DotenvError:
                same = False
            if not same:
                clash.append(name)
    if not clash:
        return ""
    return (
        "the environment in which Ansible runs on this host sets %s, which Docker Compose would take before .env. "
        "Unset it there (shell profile, /etc/environment, job environment) and run again." % ", ".join(sorted(clash))
    )


def problem(run_command, docker: str | None, folder: str, env: str) -> str:
    """Let Docker Compose validate the release in ``folder``; return its complaint without any value of ``.env``.

    Args:
        run_command: of the AnsibleModule.
        docker: path of the docker command; None without one.
        folder: of the release.
        env: text of its ``.env``.
    """
    if docker is None:
        return "docker is not installed; run the role docker_engine first."
    clean = ["env", "-i", "PATH=%s" % os.environ.get("PATH", "/usr/sbin:/usr/bin"), "HOME=%s" % pathlib.Path.home()]
    status, out, err = run_command(
        [*clean, docker, "compose", "--file", os.path.join(folder, releases.COMPOSE),
         "--env-file", os.path.join(folder, releases.ENV), "config", "--quiet"],
        cwd=folder,
    )  # fmt: skip
    # A warning here is a ${NAME} that .env does not define: the service would start with an empty value.
    complaint = (err or out).strip()
    if status == 0 and "variable is not set" not in complaint:
        return ""
    # the longest first: a short value may be part of a secret; and as Compose may show it, escaped or not
    for value in sorted(filter(lambda text: len(text) > 3, dotenv.values(env)), key=len, reverse=True):
        for shown in (value, value.replace("'", "\\'"), json.dumps(value, ensure_ascii=False)[1:-1]):
            complaint = complaint.replace(shown, "***")
    return "docker compose config refuses the release: %s" % complaint
