# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a gateway has behind it, and on which hosts: made of the definitions of all services' hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import nodes

#: Addresses that only the machine itself reaches.
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: Addresses that mean all of a machine's.
_ANY = ("0.0.0.0", "::")

#: What HAProxy takes as a server's name (configuration guide, "server").
_SERVER_NAME = re.compile(r"^[A-Za-z0-9._:-]+\Z")
#: A host's name or address as a server's, without its port.
_ADDRESS = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.:_-]*\Z")


def read(found: list[dict], gateway: dict) -> tuple[list[dict], list[str], list[str]]:
    """Return the pools of a gateway, what is wrong, and what the operator should know.

    Args:
        found: for each service of each host ``host`` (its name in the inventory), ``definition``, ``api_key``,
            ``address`` (that the operator said for it; empty for none) and ``ansible_host``.
        gateway: ``host`` and ``ansible_host`` of the gateway.

    Returns:
        A pool for each service: ``name``, ``backend``, ``models`` (its served names), ``scheme``, ``api_key`` and
        ``servers`` with ``name``, ``address`` and ``port``. No problem or warning holds a key.
    """
    pools: dict[str, dict] = {}
    problems: list[str] = []
    warnings: list[str] = []
    for item in sorted(found, key=lambda item: item["host"]):
        definition = item["definition"]
        if not nodes.is_asked(definition):
            # one of several hosts that serve together, of which the head takes all requests
            continue
        address, wrong, told = _address(item, gateway)
        problems += wrong
        warnings += told
        models = [*definition["served_model_names"], *(entry["name"] for entry in definition["lora_adapters"])]
        server = {"name": item["host"], "address": address, "port": definition["port"]}
        if not _SERVER_NAME.match(item["host"]):
            problems.append("%s: HAProxy takes no such name of a server. Use letters, digits, . - _ :" % item["host"])
        own = {
            "name": definition["name"],
            "backend": "vllm_%s" % definition["name"],
            "models": models,
            "scheme": definition["scheme"],
            "api_key": item["api_key"],
            "servers": [],
        }
        pool = pools.setdefault(definition["name"], own)
        pool["servers"].append(server)
        problems += _differences(pool, own, item["host"])
    problems += _same_models(list(pools.values()))
    return [pools[name] for name in sorted(pools)], problems, warnings


def _address(item: dict, gateway: dict) -> tuple[str, list[str], list[str]]:
    """Return where the gateway reaches a service, what is wrong with it, and what should be known."""
    host, definition = item["host"], item["definition"]
    published = definition["publish_address"]
    if definition["network_mode"] == "host":
        published = published or "0.0.0.0"
    elif not definition["published"]:
        return "", ["%s: vllm_publish is false, so no gateway reaches %s. Publish it." % (host, definition["name"])], []
    at_home = item["ansible_host"] == gateway["ansible_host"] or host == gateway["host"]
    address = str(item["address"] or "")
    if not address:
        address = published if published not in _ANY else item["ansible_host"]
        if at_home and published in _ANY:
            address = "127.0.0.1" if published == "0.0.0.0" else "::1"
    if not _ADDRESS.match(address):
        return address, ["%s: vllm_gateway_server_address is %r; expected a name or an address." % (host, address)], []
    if published in _LOOPBACK and not at_home:
        text = (
            "%s: vllm_publish_address: %s is published on %s, which the gateway %s does not reach. Set "
            "vllm_publish_address to the host's private address, and deploy the service before the gateway."
        )
        return address, [text % (host, definition["name"], published, gateway["host"])], []
    warnings = []
    if published in _ANY:
        text = (
            "%s: %s listens on all addresses (vllm_publish_address), so it is reached past the gateway, too. Set "
            "vllm_publish_address to the host's private address."
        )
        warnings.append(text % (host, definition["name"]))
    elif _is_public(published):
        text = "%s: %s is published on %s, which is no private address: it is reached past the gateway, too."
        warnings.append(text % (host, definition["name"], published))
    return address, [], warnings


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _differences(pool: dict, own: dict, host: str) -> list[str]:
    """Return how a host's service differs from that of the hosts before, of which each request reaches any."""
    first = pool["servers"][0]["name"]
    pairs = (
        ("models", "vllm_served_model_name (or vllm_model)"),
        ("scheme", "vllm_ssl_certfile"),
        ("api_key", "vllm_api_key"),
    )
    return [
        "%s: %s is not that of %s, though both are the service %s. Give all hosts of a service the same."
        % (host, variable, first, own["name"])
        for key, variable in pairs
        if own[key] != pool[key]
    ]


def _same_models(pools: list[dict]) -> list[str]:
    """Return which name of a model stands for several services."""
    owner: dict[str, str] = {}
    problems = []
    for pool in pools:
        for model in pool["models"]:
            if owner.setdefault(model, pool["name"]) != pool["name"]:
                problems.append(
                    "vllm_served_model_name: %r is a name of the services %s and %s. Give each its own, or one "
                    "vllm_name to both where they are replicas." % (model, owner[model], pool["name"])
                )
    return problems
