# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the services of several hosts in order: those of one host one after the other, those of several side by side.

Groups of the inventory carry what is known, since they are all that Ansible shows when it reads a play's ``hosts``.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import TRUE

#: Groups of the inventory that a run makes: what playbooks for one service and for all are about, and the services of a
#: machine.
_TARGETS, _EVERY, _OF_MACHINE = "vllm_run_on_", "vllm_run_on_every_", "vllm_machine_"

#: A size of ``serial``.
_SERIAL = re.compile(r"(\d+)(%?)\Z")


def _plain(text: str) -> str:
    """Return a text as part of a group's name."""
    return re.sub(r"\W", "_", text)


def targets_group(pattern: str, every: bool = False) -> str:
    """Return the group of what a playbook with this pattern of hosts is about."""
    return (_EVERY if every else _TARGETS) + _plain(pattern)


def machine_group(name: str) -> str:
    """Return the group of the services of a machine."""
    return _OF_MACHINE + _plain(name)


def is_ours(group: str) -> bool:
    """Tell whether a group was made by a run."""
    return group.startswith((_TARGETS, _OF_MACHINE))


def batches(groups: dict[str, list[str]], group: str, serial: object = "100%") -> list[list[str]]:
    """Return the inventory hosts of a playbook in batches, in each of which no machine has two services.

    Args:
        groups: hosts by group, as Ansible's ``groups``.
        group: of `targets_group`.
        serial: how many machines at a time: a number, a percentage, or a list of them, as Ansible's ``serial``.

    Returns:
        For each lot of machines: one service of each, then the second of each that has more, and so on. Nothing where
        no run has looked for services, or where no machine has several: Ansible's own batches suit then.
    """
    machines = _machines(groups, groups.get(group, []))
    if max(map(len, machines), default=0) <= 1:
        return []
    return [row for lot in _lots(machines, serial) for row in _rounds(lot)]


def of_run(variables: dict, patterns: list[str]) -> list[str]:
    """Return the hosts of a play in their order, by the variables that Ansible shows when it reads the play.

    Just a pattern where no run has looked for services.
    """
    groups, serial, every = _asked(variables)
    found = []
    for pattern in patterns:
        group = targets_group(pattern, every)
        ordered = [host for row in batches(groups, group, serial) for host in row]
        found += ordered or [host for hosts in _machines(groups, groups.get(group, [])) for host in hosts] or [pattern]
    return found


def sizes_of_run(variables: dict, patterns: list[str], unset: object = "100%") -> list:
    """Return the ``serial`` of a play, by the variables that Ansible shows when it reads the play.

    Args:
        variables: what Ansible shows.
        patterns: of the play's hosts.
        unset: how many machines at a time where the run does not say it.
    """
    groups, serial, every = _asked(variables, unset)
    found = [len(row) for pattern in patterns for row in batches(groups, targets_group(pattern, every), serial)]
    return found or (serial if isinstance(serial, list) else [serial])


def problem_of(serial: object) -> str:
    """Return why a ``vllm_serial`` cannot be used, empty for a good one: Ansible itself ends with a traceback."""
    wrong = [
        item for item in (serial if isinstance(serial, list) else [serial]) if not _SERIAL.match(str(item).strip())
    ]
    if not wrong:
        return ""
    return (
        "vllm_serial is %r. Set how many machines are worked on at a time: a number (2), a percentage (25%%), or a "
        "list of them. Nothing was changed." % wrong[0]
    )


def _asked(variables: dict, unset: object = "100%") -> tuple[dict[str, list[str]], object, bool]:
    every = str(variables.get("vllm_every_service", "")).lower() in TRUE
    return variables.get("groups") or {}, variables.get("vllm_serial") or unset, every


def _machines(groups: dict[str, list[str]], members: list[str]) -> list[list[str]]:
    """Return the members by machine, in the inventory's order: they joined the group in that of their answers."""
    place = {machine_group(host): number for number, host in enumerate(groups.get("all", []))}
    machine = {host: group for group, hosts in groups.items() if group.startswith(_OF_MACHINE) for host in hosts}
    found: dict[str, list[str]] = {}
    for host in members:
        found.setdefault(machine.get(host, machine_group(host)), []).append(host)
    return [found[name] for name in sorted(found, key=lambda name: place.get(name, len(place)))]


def _lots(machines: list[list[str]], serial: object) -> list[list[list[str]]]:
    """Return the machines that are worked on at a time; the last size holds for all that are left, as in Ansible."""
    sizes = [_size(item, len(machines)) for item in (serial if isinstance(serial, list) else [serial])] or [
        len(machines)
    ]
    lots, rest = [], machines
    while rest:
        size = sizes[min(len(lots), len(sizes) - 1)]
        lots.append(rest[:size])
        rest = rest[size:]
    return lots


def _size(item: object, total: int) -> int:
    """Return a size of ``serial`` as a number of machines, at least 1; what is no number means all of them."""
    text = str(item).strip()
    match = _SERIAL.match(text)
    if not match:
        return total
    number = int(match[1]) * total // 100 if match[2] else int(match[1])
    return max(number, 1) if match[2] or number else total


def _rounds(machines: list[list[str]]) -> list[list[str]]:
    longest = max(map(len, machines), default=0)
    return [[hosts[number] for hosts in machines if number < len(hosts)] for number in range(longest)]
