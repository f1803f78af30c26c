# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a person answered about a service that is to be made. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.rules import SERVICE_NAME
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import to_length

#: Names of this machine, which needs no SSH.
_HERE = ("localhost", "127.0.0.1", "::1")
#: How Ansible works on this machine: with the Python that is sure to run, its own.
_LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
#: A host as people give it to ssh: user, name or address (IPv6 in brackets), port.
_HOST = re.compile(r"^(?:(?P<user>[^@\s:]+)@)?(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?\Z")
#: Longest name of a service.
_NAME_LENGTH = 40


def read(answers: dict, known_hosts: list[str]) -> tuple[dict, list[str]]:
    """Return what the answers mean, and a sentence for each that is not usable.

    Args:
        answers: ``model``, ``host``, ``name``, ``context_tokens`` and ``users``, as text; empty or null: not answered.
        known_hosts: names of the inventory of the run, which knows how to reach them.

    Returns:
        ``name``, ``model``, ``host`` (alias in the inventory), ``connection`` (variables that reach it, none for a host
        that is known), ``context_tokens`` (null: the model's own length) and ``users``.
    """
    said = {key: str("" if value is None else value).strip() for key, value in answers.items()}
    problems: list[str] = []
    if not said["model"]:
        problems.append("vllm_model is not set. Name a model of the Hugging Face hub (organization/name).")
    elif re.search(r"\s", said["model"]):
        problems.append("vllm_model is %r; a model's name has no spaces." % said["model"])
    name = said["name"] or _name_of(said["model"])
    if not SERVICE_NAME.match(name):
        problems.append(
            "vllm_name is %r. Set a name of lower-case letters, digits, - and _, which begins with a letter "
            "and has at most %d." % (name, _NAME_LENGTH)
        )
    host, connection = _host(said["host"] or "localhost", known_hosts)
    if not host:
        problems.append(
            "vllm_new_service_host is %r. Set it as for ssh: user@host or user@host:port; localhost is this machine."
            % said["host"]
        )
    length, wrong = tokens(said["context_tokens"])
    problems += wrong
    users = said["users"] or "1"
    if not users.isdigit() or int(users) < 1:
        problems.append("vllm_new_service_users is %r. Set how many ask at the same time, 1 or more." % users)
        users = "1"
    return {
        "name": name,
        "model": said["model"],
        "host": host,
        "connection": connection,
        "context_tokens": length,
        "users": int(users),
    }, problems


def _name_of(model: str) -> str:
    """Return a service's name made of the model's."""
    words = re.sub(r"[^a-z0-9]+", "-", model.rstrip("/").rpartition("/")[2].lower())
    return words.lstrip("-0123456789")[:_NAME_LENGTH].strip("-")


def _host(text: str, known_hosts: list[str]) -> tuple[str, dict]:
    if text in known_hosts and text not in _HERE:
        return text, {}
    match = _HOST.match(text)
    if not match:
        return "", {}
    address = match["host"].strip("[]")
    if address in _HERE:
        return "localhost", dict(_LOCAL)
    connection: dict[str, object] = {"ansible_host": address}
    if match["user"]:
        connection["ansible_user"] = match["user"]
    if match["port"]:
        connection["ansible_port"] = int(match["port"])
    # an address with colons is no name in an inventory
    return address if ":" not in address else "gpu-host", connection


def tokens(text: str) -> tuple[int | None, list[str]]:
    """Return a number of tokens (null: the longest of the model), and why it cannot be read."""
    try:
        length = to_length(text or None)
    except ValueError:
        length = 0
    if length in (None, "auto"):
        return None, []
    if isinstance(length, int) and length >= 1:
        return length, []
    return None, [
        "vllm_new_service_context_tokens is %r. Set a number of tokens (32768, 32k), or leave it empty for the longest "
        "of the model." % text
    ]
