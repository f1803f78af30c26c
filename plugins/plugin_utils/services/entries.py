# SPDX-License-Identifier: GPL-3.0-or-later
"""Read ``vllm_services``, the services of one host, and choose those that a run is about.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import PREFIXES
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.rules import SERVICE_NAME

#: Variables that name a whole host's services or a run, so no single service has them.
_NOT_OF_A_SERVICE = ("vllm_services", "vllm_hosts", "vllm_serial", "vllm_user_variables")


class ServicesError(Exception):
    """The services of a host cannot be told apart, or the run does not say which it means; the text says why."""


def read(value: object, known: frozenset[str] | set[str]) -> list[dict]:
    """Return the entries of ``vllm_services``.

    Args:
        value: the templated value of the variable.
        known: every variable name that an entry may set.

    Raises:
        ServicesError: with everything that is wrong; no message holds a value of an entry but its name.
    """
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ServicesError("vllm_services is not a list of dictionaries of vllm_* variables. See docs/services.md.")
    problems: list[str] = []
    names: list[str] = []
    for number, entry in enumerate(value, 1):
        name = entry.get("vllm_name")
        where = "vllm_services, entry %d" % number
        if not isinstance(name, str) or not SERVICE_NAME.match(name):
            problems.append("%s: it has no usable vllm_name, by which it is told from the others." % where)
            continue
        where = "vllm_services, %s" % name
        if name in names:
            problems.append("%s: two entries have this vllm_name. Give each its own." % where)
        names.append(name)
        problems += ["%s: %s" % (where, text) for text in _wrong_variables(entry, known)]
    if problems:
        raise ServicesError("\n".join(problems))
    return value


def _wrong_variables(entry: dict, known: frozenset[str] | set[str]) -> list[str]:
    wrong = []
    for name in map(str, entry):
        if name in _NOT_OF_A_SERVICE:
            wrong.append("%s is no variable of one service. Set it beside vllm_services." % name)
        elif name.startswith(PREFIXES) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = " Did you mean %s?" % near[0] if near else ""
            wrong.append("no variable of this collection has the name %s.%s" % (name, hint))
    return wrong


def chosen(entries: list[dict], name: str, every: bool) -> list[dict]:
    """Return the entries that a run is about.

    Args:
        entries: of `read`.
        name: the ``vllm_name`` that the run or the host says; empty for none.
        every: whether the playbook takes all services of a host.

    Raises:
        ServicesError: there is none of that name, or the playbook is for one service and several could be meant.
    """
    names = [entry["vllm_name"] for entry in entries]
    if name:
        found = [entry for entry in entries if entry["vllm_name"] == name]
        if not found:
            raise ServicesError("vllm_name: vllm_services has no %s. It has %s." % (name, ", ".join(names) or "none"))
        return found
    if not every and len(entries) != 1:
        raise ServicesError(
            "vllm_services has %s, and this playbook is for one service. Name it: -e vllm_name=%s. "
            "playbooks/deploy.yml takes all of them." % (", ".join(names) or "no entry", names[0] if names else "NAME")
        )
    return entries


def variables(entry: dict, host: dict, extra: set[str] | frozenset[str]) -> dict:
    """Return what a service has over its machine's variables.

    Args:
        entry: of `read`.
        host: the machine's own variables.
        extra: names of extra variables (``-e``), which win over an entry as over any inventory.
    """
    found = {name: value for name, value in entry.items() if name not in extra}
    said = "vllm_profile" in extra or any(place.get("vllm_profile") for place in (entry, host))
    if "vllm_model" in entry and not said:
        # the role's default profile is another service's
        found["vllm_profile"] = "none"
    return found
