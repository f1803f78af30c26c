# SPDX-License-Identifier: GPL-3.0-or-later
"""Write services that were taken over as an inventory. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
import textwrap

import yaml

#: A reference to a value of the vault file, which stays a template.
_REFERENCE = re.compile(r"^\{\{ adopted_\w+ \}\}$")
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")

#: Variables by which Ansible reaches a host and that hold no secret.
CONNECTION = (
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_connection",
    "ansible_python_interpreter",
    "ansible_ssh_common_args",
    "ansible_become_method",
    "ansible_become_user",
)

#: Those that matter most, in this order; the others follow by name.
_FIRST = ("vllm_profile", "vllm_name", "vllm_version", "vllm_image", "vllm_model", "vllm_container_name")


class _Unsafe(str):
    """A text that Ansible must not take for a template."""


class _Dumper(yaml.SafeDumper):
    """Writes lists below their key, and texts that look like templates with ``!unsafe``."""

    def increase_indent(self, flow=False, indentless=False):
        """Indent lists, as yamllint wants them."""
        return super().increase_indent(flow, False)


_Dumper.add_representer(_Unsafe, lambda dumper, data: dumper.represent_scalar("!unsafe", str(data), style="'"))


def variables(service: dict) -> dict:
    """Return the variables of a service in the order of an inventory, without its secrets."""
    said = {"vllm_profile": "none", "vllm_name": service["name"], **service["variables"]}
    order = [name for name in _FIRST if name in said] + sorted(name for name in said if name not in _FIRST)
    return {name: said[name] for name in order}


def secrets(services: list[dict]) -> dict[str, str]:
    """Return the content of the vault file: of one service by their variables, of several each with its name."""
    if len(services) == 1:
        return dict(services[0]["secrets"])
    return {secret_name(service, name): value for service in services for name, value in service["secrets"].items()}


def secret_name(service: dict, name: str) -> str:
    """Return what a secret of one of several services is called."""
    if name.startswith("adopted_"):
        return name
    return "adopted_%s_%s" % (service["name"].replace("-", "_"), name.removeprefix("vllm_"))


def text(services: list[dict], host: str, warnings: list[dict]) -> str:
    """Return ``group_vars/vllm/main.yml``.

    Args:
        services: that were taken over.
        host: name of their host.
        warnings: what should be known.
    """
    lines = ["---", "# Taken over from what ran on %s. The secrets stand in vault.yml beside this file." % host]
    for service in services:
        lines += _comments("%s cannot be said of %s" % ("What", service["service"]), service["cannot"])
    lines += _comments("What should be mended", ["%s: %s" % (item["about"], item["text"]) for item in warnings])
    if len(services) == 1:
        content: dict = variables(services[0])
    else:
        content = {"vllm_services": [_entry(service) for service in services]}
    return "\n".join(lines) + "\n" + dump(content)


def _entry(service: dict) -> dict:
    own = {
        name: "{{ %s }}" % secret_name(service, name) for name in service["secrets"] if not name.startswith("adopted_")
    }
    said = variables(service)
    return {**said, **dict(sorted(own.items()))}


def hosts(host: str, connection: dict) -> str:
    """Return ``hosts.yml``."""
    known = {name: connection[name] for name in CONNECTION if connection.get(name) not in (None, "")}
    return "---\n" + dump({"all": {"children": {"vllm": {"hosts": {host: known or None}}}}})


def dump(content: dict) -> str:
    """Return YAML in which no text is a template that is not meant to be one."""
    written = yaml.dump(_marked(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return re.sub(r": null$", ":", written, flags=re.MULTILINE)


def _marked(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _marked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(item) for item in value]
    if isinstance(value, str) and _TEMPLATE.search(value) and not _REFERENCE.match(value):
        return _Unsafe(value)
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def _comments(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    lines = ["#", "# %s:" % title]
    for item in dict.fromkeys(items):
        lines += textwrap.wrap(item, 106, initial_indent="# - ", subsequent_indent="#   ")
    return lines


def summary(found: dict, written: str) -> list[str]:
    """Return what the operator reads: no value of a secret is in it.

    Args:
        found: of ``answer.find``, each service with ``staged``.
        written: folder of the inventory; empty where none was written.
    """
    lines = []
    for service in found["services"]:
        how = (
            "stays as it is" if service["staged"] else "is described, not taken over: " + "; ".join(service["why_not"])
        )
        lines.append("%s (container %s): %s." % (service["name"], service["container"], how.rstrip(".")))
        lines += ["  cannot be said: %s" % item for item in service["cannot"]]
        lines += ["  note: %s" % item for item in service["notes"]]
        if service["changes"]:
            lines.append("  the next container, which a later change makes, differs from the one that runs:")
            lines += ["    %s: %s -> %s" % (item["what"], item["now"], item["then"]) for item in service["changes"]]
    lines += ["warning (%s) %s: %s" % (item["kind"], item["about"], item["text"]) for item in found["warnings"]]
    if found["left_alone"]:
        lines.append("left alone: %s" % ", ".join(found["left_alone"]))
    if written:
        lines.append("inventory: %s" % written)
    return lines
