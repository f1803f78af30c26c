# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the roles' argument_specs and the variables they describe, on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import functools
import pathlib

import yaml
from ansible.errors import AnsibleError

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import nodes, said, values
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import (
    EMPTY_COUNTS,
    PLAYBOOK_VARIABLES,
    SECRETS,
)

ROLES = pathlib.Path(__file__).resolve().parents[3] / "roles"

#: Prefixes that belong to this collection.
PREFIXES = ("vllm_", "docker_engine_", "nvidia_container_toolkit_", "config_archive_")


@functools.cache
def _entry_points(role: str) -> dict:
    """Return the argument_specs of ``role`` by entry point."""
    with open(ROLES / role / "meta" / "argument_specs.yml", encoding="utf-8") as handle:
        return yaml.safe_load(handle)["argument_specs"]


def role_options(role: str, entry_point: str = "main") -> dict:
    """Return the options that ``role`` documents for ``entry_point``, by variable name."""
    return _entry_points(role)[entry_point].get("options") or {}


@functools.cache
def role_constants(role: str) -> dict:
    """Return the content of ``role``'s vars/main.yml."""
    with open(ROLES / role / "vars" / "main.yml", encoding="utf-8") as handle:
        return yaml.safe_load(handle)


def usable_values(options: dict, variables: dict, templar) -> dict:
    """Return the values of some options by variable name; raises AnsibleError that names all without a usable one."""
    found, unreadable = read_values(options, variables, templar)
    problems = values.Problems()
    found = values.coerce(found, options, problems)
    texts = ["%s: %s" % item for item in sorted(unreadable.items())]
    texts += [item["message"] for item in problems.found]
    if texts:
        raise AnsibleError(" ".join(texts))
    return found


@functools.cache
def result_names() -> tuple[str, ...]:
    """Return the variables that the roles return, in the order of the roles' names.

    They are the public ones in a role's vars/main.yml.
    """
    files = sorted(ROLES.glob("*/vars/main.yml"))
    return tuple(name for path in files for name in role_constants(path.parts[-3]) if not name.startswith("__"))


@functools.cache
def all_options() -> dict:
    """Return the options that the roles of this collection document, by variable name."""
    return {
        name: option
        for spec in sorted(ROLES.glob("*/meta/argument_specs.yml"))
        for point in _entry_points(spec.parent.parent.name).values()
        for name, option in (point.get("options") or {}).items()
    }


@functools.cache
def knobs() -> dict:
    """Return the options of the roles that work on a service, without those of the service itself, by variable name.

    The roles for AWX and monitoring hold secrets, and check their own.
    """
    own = (*role_options("vllm"), "vllm_verify_extra_checks", "vllm_verify_skip")
    return {
        name: option
        for name, option in all_options().items()
        if name not in own and not name.startswith(("vllm_awx_", "vllm_monitoring_"))
    }


@functools.cache
def known_variables() -> frozenset[str]:
    """Return every variable name that a role of this collection documents or returns."""
    return frozenset({*result_names(), *PLAYBOOK_VARIABLES, *all_options()})


def read_values(options: dict, task_vars: dict, templar) -> tuple[dict, dict[str, str]]:
    """Return the templated value of each variable in ``options``, and for those without one the reason.

    An empty text or null stands for the documented default: AWX gives them for a question that nobody answered. What a
    form of AWX says is the text that was typed, whatever Ansible makes of it.

    Args:
        options: the role's options by variable name; what ``task_vars`` lacks gets the documented default.
        task_vars: the variables of the host, not templated.
        templar: the templar of the calling plugin.
    """
    values, unreadable = {}, {}
    written, below = said.texts(), said.below_extra(task_vars)
    for name, option in options.items():
        if name not in task_vars:
            values[name] = option.get("default")
            continue
        value = task_vars[name]
        value = below[name] if name in below and value in (None, "") and name not in EMPTY_COUNTS else value
        is_answer, values[name] = said.as_written(name, value, written)
        try:
            # nobody's answer is a template
            values[name] = values[name] if is_answer else templar.template(values[name])
        except AnsibleError as error:
            del values[name]
            unreadable[name] = _reason(name, error)
            continue
        if values[name] is None:
            values[name] = option.get("default")
        if values[name] == "" and name not in EMPTY_COUNTS:
            values[name] = option.get("default")
    return values, unreadable


def service_hosts(values: dict, task_vars: dict) -> dict:
    """Return the hosts over which the service is spread, of `nodes.read`; empty for a single one.

    Args:
        values: of `read_values`.
        task_vars: the variables of the host.
    """
    return nodes.read(
        values.get("vllm_nodes"),
        task_vars.get("inventory_hostname", ""),
        task_vars.get("groups") or {},
        task_vars.get("hostvars") or {},
    )


def _reason(name: str, error: AnsibleError) -> str:
    """Say in a sentence why a variable has no value. Vault errors get their fix; the text never holds the value."""
    text = str(getattr(error, "message", error))
    if "vault" in text.lower() or "decrypt" in text.lower():
        return (
            "is encrypted by Ansible Vault, and no given vault password opens it. Pass the right one, for example "
            "--vault-id medium@prompt or --vault-password-file FILE."
        )
    if name in SECRETS:
        return "its value cannot be evaluated (%s)." % type(error).__name__
    return "its value cannot be evaluated: %s" % text
