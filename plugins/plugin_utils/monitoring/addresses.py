# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell at which address monitoring reaches a service and its machine.

/metrics asks nobody for a key, so it stays private.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import MonitoringError

#: Addresses that stand for every address of a host.
EVERY = ("0.0.0.0", "::", "")


def is_private(address: str) -> bool:
    """Tell whether an address is no public one; a host name is left to whoever gave it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return True
    # RFC 6598: addresses between a provider's customers, which overlay networks take
    return found.is_private or found in ipaddress.ip_network("100.64.0.0/10")


def of_machine(host: str, said: str, found: str, same_machine: bool) -> str:
    """Return the address at which monitoring reaches a machine.

    Args:
        host: the inventory's name of the machine.
        said: ``vllm_monitoring_address``; empty for none.
        found: its address on the default route; empty where it has none.
        same_machine: whether Prometheus runs there.

    Raises:
        MonitoringError: there is none, or it is a public one.
    """
    if same_machine:
        return "127.0.0.1"
    address = said or found
    if not address:
        raise MonitoringError(
            "vllm_monitoring_address: %s has no default route that tells its address. Set the address at which the "
            "monitoring host reaches it, for this host." % host
        )
    if not said and not is_private(address):
        raise MonitoringError(
            "vllm_monitoring_address: %s has the public address %s. What its exporters say is not for everybody: set "
            "an address of a private network, by which the monitoring host reaches it." % (host, address)
        )
    return address


def of_service(definition: dict, machine: str, same_machine: bool) -> tuple[str, str]:
    """Return (address with port at which Prometheus reaches a service, a warning or "").

    Args:
        definition: ``vllm_definition``.
        machine: what `of_machine` returned.
        same_machine: whether Prometheus runs on the service's machine.

    Raises:
        MonitoringError: the service cannot be reached from there.
    """
    port, published = definition["port"], definition["publish_address"]
    if not definition["published"]:
        raise MonitoringError(
            "vllm_publish is false: %s has no port on its host that Prometheus could ask. Publish it on a private "
            "address (vllm_publish: true, vllm_publish_address)." % definition["name"]
        )
    if published in LOOPBACK:
        if same_machine:
            return with_port(published, port), ""
        raise MonitoringError(
            "vllm_publish_address: %s answers on %s alone, and Prometheus is on another host. Publish it on the "
            "private address of its host by which the monitoring host reaches it, for example vllm_publish_address: %s."
            % (definition["name"], published, machine)
        )
    if published in EVERY:
        warning = (
            "vllm_publish_address: %s is published on every address of its host, where /metrics and /health answer "
            "without a key. Publish it on a private address, or close port %s for others." % (definition["name"], port)
        )
        return with_port(machine, port), warning
    return with_port(published, port), ""


def with_port(address: str, port: int) -> str:
    """Return address and port as one text; of IPv6 the address stands in brackets."""
    return "[%s]:%d" % (address, port) if ":" in address else "%s:%d" % (address, port)
