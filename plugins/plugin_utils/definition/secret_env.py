# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of the container as files instead of variables: ``vllm_secrets_as_files``.

A variable of a container is shown by ``docker inspect`` to everybody who may use Docker. A file is not: Compose
mounts it at /run/secrets, and the entrypoint makes it a variable of vLLM's own process.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Beginning of the names of these files in /run/secrets, before the variable's own.
PREFIX = "env_"

#: What the image starts with.
ENTRYPOINT = ["vllm", "serve"]

#: Reads each file into the variable of its name and becomes vLLM, so that no shell is left, and stop signals arrive.
#: Each dollar sign is doubled for Compose.
_SCRIPT = 'for file in /run/secrets/%s*; do export "$${file#/run/secrets/%s}=$$(cat "$$file")"; done; exec "$$@"' % (
    PREFIX,
    PREFIX,
)


def split(
    v: dict, variables: list[tuple[str, str, str]]
) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Return those variables of a container that stay ones, and those that become files.

    Args:
        v: the values of the variables.
        variables: (variable in the container, name in .env, value).
    """
    if not v["vllm_secrets_as_files"]:
        return variables, []
    hidden = [item for item in variables if _is_secret(item)]
    return [item for item in variables if item not in hidden], hidden


def _is_secret(item: tuple[str, str, str]) -> bool:
    _name, env_name, value = item
    # a value too short to be looked for is a secret by its name all the same
    return bool(service_secrets.among([(env_name, value + "....")]))


def entrypoint(hidden: list[tuple[str, str, str]], program: list[str] | None = None) -> list[str]:
    """Return the entrypoint of a container; ``program`` is what it starts, vLLM without one."""
    program = list(program or ENTRYPOINT)
    return ["/bin/sh", "-c", _SCRIPT, "sh", *program] if hidden else program


def add(
    compose: dict, service: list[tuple[str, str, str]], prefetch: list[tuple[str, str, str]], label: dict[str, str]
) -> None:
    """Add the files to the keys of the Compose file.

    Args:
        compose: of ``compose_options.rendered``.
        service: what becomes a file in the service.
        prefetch: what becomes one in the container that downloads.
        label: of the service, by which a container whose files hold something else is another one to Compose.
    """
    if service:
        compose["service"]["labels"] = {**compose["service"].get("labels", {}), **label}
    for part, hidden in (("service", service), ("prefetch", prefetch)):
        if hidden:
            names = [PREFIX + name for name, _env, _value in hidden]
            compose[part] = {**compose[part], "secrets": [*compose[part].get("secrets", []), *names]}
    for name, _env, _value in [*service, *prefetch]:
        # beside the Compose file, in the release: made by the module release
        compose["top"].setdefault("secrets", {})[PREFIX + name] = {"file": "./secrets/%s%s" % (PREFIX, name)}


def files(hidden: list[tuple[str, str, str]]) -> dict[str, str]:
    """Return the names of the files in a release, each with the name in ``.env`` of what it holds."""
    return {PREFIX + name: env_name for name, env_name, _value in hidden}
