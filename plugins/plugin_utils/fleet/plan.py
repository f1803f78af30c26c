# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the hosts of a fleet in order: who is deployed first, and how many at a time.

Nothing of an earlier run is remembered anywhere: what hosts and gateways are now says what is left to do. Hosts that
get no requests come first, since they cost nobody anything and a run that was killed may have left them so. Hosts that
serve one model together are one replica: they are deployed at the same time, and count as one.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

#: Beginning of the names of the groups that hold a run's batches.
_GROUP = "vllm_fleet_run_"

#: A number of hosts, or a share of all.
_SIZE = re.compile(r"(\d+)(%?)\Z")


def size_problem(variable: str, value: object) -> str:
    """Return why a number of hosts cannot be used; empty for a good one."""
    items = value if isinstance(value, list) else [value]
    wrong = [item for item in items if isinstance(item, bool) or not _usable_size(str(item).strip())]
    if items and not wrong:
        return ""
    return "%s is %r. Set how many hosts are deployed at a time: a number (1), or a share of the fleet (25%%)." % (
        variable,
        wrong[0] if wrong else value,
    )


def _usable_size(text: str) -> bool:
    match = _SIZE.match(text)
    return bool(match) and int(match[1]) > 0


def size(value: object, total: int) -> int:
    """Return a number of hosts, at least 1; a share is rounded down, as Ansible rounds it."""
    match = _SIZE.match(str(value).strip())
    if not match:
        raise ValueError("%r is no number of hosts" % (value,))
    number = int(match[1]) * total // 100 if match[2] else int(match[1])
    return min(max(number, 1), max(total, 1))


def make(looks: list[dict], canary: object, serial: object, replicas: dict[str, list[str]] | None = None) -> dict:
    """Return the plan of a run.

    Args:
        looks: of each host in the inventory's order ``host``, ``reached`` (False where it did not answer), ``why``
            (what it said then), ``healthy`` (whether its service answers), ``drained`` (the gateways that keep requests
            from it) and ``deployed_by`` (who does so now, empty when nobody does).
        canary: how many hosts come before all others, as a number or a share of all.
        serial: how many at a time after them; a list gives the sizes of the batches one by one.
        replicas: of a host that serves together with others, all of them by name.

    Returns:
        ``batches`` (lists of hosts), ``first`` (hosts that came to the front, each with ``host`` and ``why``) and
        ``problem``, for which nothing may be begun; empty when there is none.
    """
    problems = [size_problem("vllm_fleet_canary", canary), size_problem("vllm_serial", serial)]
    away = [look for look in looks if not look["reached"]]
    if away:
        names, why = ", ".join(look["host"] for look in away), str(away[0].get("why") or "no reason given")[:300]
        problems.append(
            "%s: no answer (%s). A fleet is deployed when all of its hosts can be reached. Bring it back, or leave it "
            "out (-e 'vllm_hosts=<group>:!%s')." % (names, why, away[0]["host"])
        )
    busy = [look for look in looks if look["deployed_by"]]
    if busy:
        problems.append(
            "%s: is being deployed by %s. Wait until that run is over."
            % (", ".join(look["host"] for look in busy), busy[0]["deployed_by"])
        )
    together = _together([look["host"] for look in looks], replicas or {})
    halves = sorted({", ".join(unit) for unit in together.values()} - {", ".join(unit) for unit in _whole(together)})
    problems += [
        "%s serve one model together (vllm_nodes), and not all of them are in this run. Name all of them in vllm_hosts."
        % names
        for names in halves
    ]
    problem = " ".join(item for item in problems if item)
    if problem:
        return {"batches": [], "first": [], "problem": "%s Nothing was changed." % problem}
    first = [{"host": look["host"], "why": why} for look in looks if (why := _out(look, looks))]
    ahead = [item["host"] for item in first]
    order = ahead + [look["host"] for look in looks if look["host"] not in ahead]
    units = list(dict.fromkeys(tuple(together[host]) for host in order))
    batches = _cut(units, canary, serial)
    serving = {look["host"] for look in looks if look["healthy"]} - {look["host"] for look in looks if look["drained"]}
    at_once = _all_at_once(batches, serving) if len(units) > 1 else []
    if at_once:
        return {
            "batches": [],
            "first": first,
            "problem": "vllm_fleet_canary, vllm_serial: %s would be taken out of service at the same time, and nobody "
            "else serves. Expected: at least one that goes on; set smaller numbers (canary %s, serial %s of %d). "
            "Nothing was changed." % (", ".join(at_once), canary, serial, len(units)),
        }
    return {"batches": batches, "first": first, "problem": ""}


def text(plan: dict) -> str:
    """Return the plan for people."""
    first = "".join("\n%s comes first: %s." % (item["host"], item["why"]) for item in plan["first"])
    return "Order: %s.%s" % ("; then ".join(", ".join(batch) for batch in plan["batches"]), first)


def _all_at_once(batches: list[list[str]], serving: set[str]) -> list[str]:
    """Return the first batch after whose drain nobody would serve; those before it do by then, else it is not begun."""
    now = set(serving)
    for batch in batches:
        if now & set(batch) and not now - set(batch):
            return batch
        now |= set(batch)
    return []


def _out(look: dict, looks: list[dict]) -> str:
    """Return why a host gets no requests while others do; empty when it gets some."""
    if look["drained"]:
        return "%s keeps requests from it" % ", ".join(look["drained"])
    if not look["healthy"] and any(other["healthy"] for other in looks):
        return "its service does not answer"
    return ""


def _together(hosts: list[str], replicas: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return of each host all that serve with it, itself among them."""
    return {host: list(replicas.get(host) or [host]) for host in hosts}


def _whole(together: dict[str, list[str]]) -> list[list[str]]:
    """Return the replicas all of whose hosts are part of the run."""
    return [unit for unit in together.values() if set(unit) <= set(together)]


def _cut(units: list[tuple[str, ...]], canary: object, serial: object) -> list[list[str]]:
    """Return the hosts in batches, each of as many replicas as was said."""
    sizes = [canary, *(serial if isinstance(serial, list) else [serial])]
    batches: list[list[str]] = []
    rest = units
    while rest:
        number = size(sizes[min(len(batches), len(sizes) - 1)], len(units))
        batches.append([host for unit in rest[:number] for host in unit])
        rest = rest[number:]
    return batches


def group_of(number: int) -> str:
    """Return the inventory group of a batch, by which the play reads it (``number`` from 0)."""
    return "%s%04d" % (_GROUP, number)


def planned(groups: dict[str, list[str]]) -> list[list[str]]:
    """Return the batches that the run has put into its groups; nothing before there is a plan."""
    return [list(groups[name]) for name in sorted(groups) if name.startswith(_GROUP)]


def turn_problem(host: str, batch: list[str], pools: dict[str, dict]) -> str:
    """Return why a host must not be taken out of service now; empty when it may.

    Args:
        host: the one whose turn it is.
        batch: all whose turn it is, with it.
        pools: of each gateway the servers of the service, by their names (``looks.pools``).
    """
    out = set(batch)
    for gateway, pool in sorted(pools.items()):
        usable = [name for name, state in pool.items() if state.get("usable")]
        others = [name for name in pool if name not in out]
        if host in usable and others and not set(usable) - out:
            told = (gateway, " and ".join(usable), ", ".join(others), "does" if len(others) == 1 else "do")
            return (
                "%s: only %s gets requests, and %s %s not. The address would be left without a server, so this host "
                "was not touched. Bring the others back first (diagnose_medium.yml)." % told
            )
    return ""
