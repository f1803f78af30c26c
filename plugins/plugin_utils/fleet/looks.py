# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what hosts and gateways say of a fleet.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from collections.abc import Callable


def pools(answers: list[dict], backend: str, hosts: list[str]) -> dict[str, dict]:
    """Return of each gateway the servers of a service, by the name of the host, or of the server where it is no host's.

    Args:
        answers: what ``myia.vllm.gateway_info`` returned, as the results of a loop over the names of the gateways.
        backend: name of the service's backend. A gateway that does not run or does not know it has no servers.
        hosts: the hosts of the run. A server has the name of its host, or that of host and service where a machine has
            several.
    """
    names = {"%s-%s" % (name, backend.partition("_")[2]): name for name in hosts}
    found = {}
    for answer in answers:
        servers = ((answer.get("backends") or {}).get(backend) or {}).get("servers") or {}
        found[str(answer[answer["ansible_loop_var"]])] = {
            names.get(name, name): state for name, state in servers.items()
        }
    return found


def host(name: str, look: dict, known: dict[str, dict], silent_s: float, is_over: Callable[[str], bool]) -> dict:
    """Return what is known of one host, as ``plan.make`` takes it.

    Args:
        name: of the host, and of its server in the gateways.
        look: what ``myia.vllm.service_status_info`` returned; ``unreachable`` where it did not answer.
        known: of `pools`.
        silent_s: after how many seconds without a sign of life a lock does not count.
        is_over: whether the run of a lock's token is known to be over.
    """
    lock = look.get("lock") or {}
    counts = lock and float(lock.get("silent_s") or 0) < silent_s and not is_over(str(lock.get("token") or ""))
    return {
        "host": name,
        "reached": not look.get("unreachable", False),
        "why": str(look.get("msg") or ""),
        "healthy": bool(look.get("healthy")),
        "deployed_by": "%s since %s" % (lock.get("who"), lock.get("since")) if counts else "",
        "drained": [
            gateway for gateway, pool in sorted(known.items()) if name in pool and pool[name].get("admin") != "ready"
        ],
    }
