# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what hosts and gateways say of a fleet.

Private to this collection; may change at any time.
"""

from __future__ import annotations


def pools(answers: list[dict], backend: str) -> dict[str, dict]:
    """Return of each gateway the servers of a service, by the server's name.

    Args:
        answers: of the gateways, ``gateway`` (its name) and ``look`` (what ``myia.vllm.gateway_info`` returned).
        backend: name of the service's backend. A gateway that does not run or does not know it has no servers.
    """
    found = {}
    for answer in answers:
        backends = (answer.get("look") or {}).get("backends") or {}
        found[str(answer["gateway"])] = dict((backends.get(backend) or {}).get("servers") or {})
    return found


def host(name: str, look: dict, known: dict[str, dict]) -> dict:
    """Return what is known of one host, as ``plan.make`` takes it.

    Args:
        name: of the host, and of its server in the gateways.
        look: what ``myia.vllm.service_status_info`` returned; ``unreachable`` where it did not answer.
        known: of `pools`.
    """
    return {
        "host": name,
        "reached": not look.get("unreachable", False),
        "why": str(look.get("msg") or ""),
        "healthy": bool(look.get("healthy")),
        "drained": [
            gateway for gateway, pool in sorted(known.items()) if name in pool and pool[name].get("admin") != "ready"
        ],
    }
