# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services an inventory of AWX has, and on which of its hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations


def services(hosts: dict, variables: dict) -> list[dict]:
    """Return each service that a ``vllm_services`` names.

    Args:
        hosts: the hosts by name, each with its variables or null.
        variables: the variables of their group.

    Returns:
        ``name``, and ``limit``, the hosts that have it as AWX's limit; empty where all have it. Nothing where each host
        is one service.
    """
    common = _names(variables)
    found: dict[str, list[str]] = {}
    for host, own in hosts.items():
        names = _names(own) if "vllm_services" in (own or {}) else common
        for name in names:
            found.setdefault(name, []).append(str(host))
    for name in common:
        # a host that AWX has besides
        found.setdefault(name, [])
    return [
        {"name": name, "limit": "" if name in common and len(members) == len(hosts) else ",".join(members)}
        for name, members in found.items()
    ]


def _names(variables: dict | None) -> list[str]:
    entries = (variables or {}).get("vllm_services")
    entries = entries if isinstance(entries, list) else []
    return [str(entry["vllm_name"]) for entry in entries if isinstance(entry, dict) and entry.get("vllm_name")]


def schedules(schedule: dict, hosts: dict, variables: dict) -> list[dict]:
    """Return a schedule for each service, which says its name, or the schedule itself where no service is listed.

    Args:
        schedule: with the keys of ``awx.awx.schedule``.
        hosts: as for `services`.
        variables: as for `services`.
    """
    found = services(hosts, variables)
    if not found:
        return [{**schedule, "limit": "", "extra_data": {}}]
    return [
        {
            **schedule,
            "name": "%s %s" % (schedule["name"], service["name"]),
            "limit": service["limit"],
            "extra_data": {"vllm_name": service["name"]},
        }
        for service in found
    ]
