# SPDX-License-Identifier: GPL-3.0-or-later
"""One model over several hosts: which they are, what vLLM of each is told, and what the variables must say for that.

vLLM's own engine joins them, in one of two shapes. Without ``data-parallel-size`` the layers are split over the hosts
(``--nnodes``, from 0.11.1). With it each host has whole replicas of the model (``--data-parallel-size-local``). The
first host, the head, has the API and the rendezvous; the others run headless, or with ``data-parallel-hybrid-lb`` have
an API each. `read` resolves the names, everything else is pure.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    serve_options,
    tls,
    vllm_options,
    vllm_versions,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: First release of vLLM with ``--nnodes`` (vllm/engine/arg_utils.py).
FIRST_VERSION = (0, 11, 1)

#: Options of ``vllm serve`` that follow from ``vllm_nodes``.
OPTIONS = ("nnodes", "node-rank", "master-addr", "master-port", "headless", "distributed-executor-backend")

#: What the operator says of replicas over the hosts: how many there are in all, and whether each host has an API.
_SIZE, _HYBRID = "data-parallel-size", "data-parallel-hybrid-lb"

#: What follows of that for each host.
_DATA_OPTIONS = (
    "data-parallel-size-local", "data-parallel-address", "data-parallel-rpc-port", "data-parallel-start-rank",
)  # fmt: skip

#: Options of other ways to join replicas, and why they are none here.
_OTHER_WAYS = {
    "data-parallel-external-lb": "it is a process for each replica. Use data-parallel-hybrid-lb: an API for each host",
    "data-parallel-multi-port-external-lb": "it is a port for each replica. Use data-parallel-hybrid-lb: an API for "
    "each host",
    "data-parallel-rank": "it is a process for each replica. Set data-parallel-size, of all hosts together",
    "data-parallel-backend": "vLLM's own processes (mp) join the hosts here. Remove it",
}

#: Options of API servers: vLLM refuses them where there is none (vllm/entrypoints/cli/serve.py: ``--headless``).
_OF_SERVERS = ("api-server-count",)

#: An interface of Linux, or several, as NCCL and Gloo take them.
_INTERFACE = re.compile(r"^[A-Za-z0-9_.@-]{1,15}(,[A-Za-z0-9_.@-]{1,15})*\Z")


def read(given: object, inventory_name: str, groups: Mapping, hostvars: Mapping) -> dict:
    """Return the hosts of a service: ``{names, addresses, me, unknown}``, the first the head; empty for a single host.

    Args:
        given: the value of ``vllm_nodes``: names of the inventory, or one name of a group.
        inventory_name: the host whose service is defined.
        groups: Ansible's ``groups``.
        hostvars: Ansible's ``hostvars``.
    """
    names = [str(name) for name in (given if isinstance(given, (list, tuple)) else str(given or "").split(","))]
    names = [name.strip() for name in names if name.strip()]
    if len(names) == 1 and names[0] in groups:
        names = list(groups[names[0]])
    if not names:
        return {}
    addresses = []
    for name in names:
        address = name
        # not by get: what Ansible gives for a host that it does not know is no default
        if name in hostvars:
            known = hostvars[name]
            address = str(known.get("vllm_node_address") or known.get("ansible_host") or name)
        addresses.append(address)
    return {
        "names": names,
        "addresses": addresses,
        "me": inventory_name,
        "unknown": [name for name in names if name not in hostvars],
    }


def asked(v: dict) -> dict:
    """Return ``vllm_extra_options`` by the main name of each option; what cannot be read is told by `extra`."""
    given = v["vllm_extra_options"]
    try:
        names = [
            (vllm_options.long_name(v["vllm_version"], serve_options.option_name(name)), value)
            for name, value in given.items()
        ]
    # no version, or no dictionary
    except (ValueError, AttributeError, TypeError):
        return {}
    return dict(names)


def replicas(nodes: dict, extra_options: dict) -> int:
    """Return how many replicas of the model the hosts have together; 0 where its layers are split over them.

    Args:
        nodes: of `read`.
        extra_options: value by the main name of each option.
    """
    text = str(extra_options.get(_SIZE, "")).strip()
    return int(text) if nodes and text.isdigit() and int(text) > 1 else 0


def has_api(nodes: dict, extra_options: dict) -> bool:
    """Tell whether clients may ask this host: the head alone, or each where vLLM balances within a host only."""
    return rank(nodes) == 0 or bool(replicas(nodes, extra_options) and _is_true(extra_options.get(_HYBRID)))


def is_asked(definition: dict) -> bool:
    """Tell whether the host of a ``vllm_definition`` is asked itself; of several the head may be alone in that."""
    return (definition.get("nodes") or {}).get("has_api", True)


def own_options(nodes: dict, extra_options: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """Return what of ``vllm_extra_options`` this host is told: a headless one has no API servers."""
    if has_api(nodes, dict(extra_options)):
        return extra_options
    return [(name, value) for name, value in extra_options if name not in _OF_SERVERS]


def _is_true(value: object) -> bool:
    return value is True or str(value).strip().lower() == "true"


def count(nodes: dict) -> int:
    """Return over how many hosts the service is spread."""
    return len(nodes.get("names", ())) or 1


def rank(nodes: dict) -> int:
    """Return this host's place; 0 is the head, and a service of a single host."""
    return nodes["names"].index(nodes["me"]) if nodes and nodes["me"] in nodes["names"] else 0


def check(v: dict, nodes: dict, extra_options: dict, problems: Problems) -> None:
    """Note what is wrong with a service over ``nodes``."""
    if not nodes:
        return
    where = "vllm_nodes"
    if nodes["unknown"]:
        problems.add(
            where, "%s: no such host in the inventory. Name hosts of it, or one group." % _list(nodes["unknown"])
        )
    elif len(set(nodes["names"])) < len(nodes["names"]):
        problems.add(where, "%s: a host stands there twice. Name each once." % _list(nodes["names"]))
    elif len(nodes["names"]) < 2:
        problems.add(where, "%s is one host. Name two or more, the head first, or unset it." % _list(nodes["names"]))
    elif nodes["me"] not in nodes["names"]:
        problems.add(
            where,
            "%s are the hosts of this service, and %s is none of them, but it is asked to serve it. Add it, or leave "
            "it out of vllm_hosts." % (_list(nodes["names"]), nodes["me"]),
        )
    for name, address in zip(nodes["names"], nodes["addresses"]):
        if address in LOOPBACK or address.startswith("127."):
            problems.add(
                "vllm_node_address",
                "%s would be reached as %s, which is each host itself. Set vllm_node_address of %s to its address in "
                "the network of the nodes." % (name, address, name),
            )
    if replicas(nodes, extra_options):
        _check_replicas(v, nodes, extra_options, problems)
    else:
        _check_split(v, extra_options, problems)
    if v["vllm_network_mode"] != "host":
        problems.add(
            "vllm_network_mode",
            "%s: the nodes talk over ports that vLLM picks when it starts, and none of them is published. Set host."
            % v["vllm_network_mode"],
        )
    # where each has an API, none waits for another's
    alone = replicas(nodes, extra_options) and _is_true(extra_options.get(_HYBRID))
    if not alone and not v["vllm_api_key"] and v["vllm_publish_address"] in ("", *LOOPBACK):
        problems.add(
            "vllm_publish_address",
            "the API of the head would be seen by the head alone, and the other nodes wait for it. Set vllm_api_key, "
            "or 0.0.0.0 where the network is closed to others.",
        )
    _check_options(extra_options, problems)
    if tls.scheme(v) == "https":
        problems.add("vllm_ssl_certfile", "a service over several hosts speaks no TLS itself. Put a gateway before it.")
    if v["vllm_nodes_interface"] and not _INTERFACE.match(v["vllm_nodes_interface"]):
        problems.add("vllm_nodes_interface", "%r is no interface. Use for example eth1." % v["vllm_nodes_interface"])


def _check_options(extra_options: dict, problems: Problems) -> None:
    """Note which options say what follows from ``vllm_nodes``, or join replicas in another way."""
    taken = sorted(name for name in extra_options if name.partition(".")[0] in (*OPTIONS, *_DATA_OPTIONS))
    if taken:
        problems.add("vllm_extra_options", "%s follows from vllm_nodes. Remove it here." % _list(taken))
    for name, why_not in _OTHER_WAYS.items():
        value = extra_options.get(name)
        if value is not None and value is not False and value != "mp":
            problems.add("vllm_extra_options", "%s: %s." % (name, why_not))


def _check_split(v: dict, extra_options: dict, problems: Problems) -> None:
    """Note what is wrong with layers that are split over the hosts."""
    # one that is no version is told of already
    if not problems.about("vllm_version") and vllm_versions.release(v["vllm_version"]) < FIRST_VERSION:
        problems.add("vllm_version", "%s has no --nnodes; 0.11.1 is the first." % v["vllm_version"])
    idle = sorted(name for name in (_SIZE, _HYBRID) if extra_options.get(name) not in (None, False))
    if idle:
        problems.add(
            "vllm_extra_options",
            "%s: replicas over the hosts are asked for by data-parallel-size, of all hosts together and 2 or more. Set "
            "it, or leave both out where the layers are to be split over the hosts." % _list(idle),
        )


def _check_replicas(v: dict, nodes: dict, extra_options: dict, problems: Problems) -> None:
    """Note what is wrong with replicas over the hosts."""
    size, hosts = replicas(nodes, extra_options), count(nodes)
    if size % hosts:
        problems.add(
            "vllm_extra_options",
            "%s %d: as many replicas on each of the %d hosts of vllm_nodes are needed. Set a multiple of %d."
            % (_SIZE, size, hosts, hosts),
        )
    if not problems.about("vllm_version") and v["vllm_check_options"]:
        hybrid = _is_true(extra_options.get(_HYBRID))
        known = vllm_options.options(v["vllm_version"])
        needed = (_SIZE, *_DATA_OPTIONS, _HYBRID if hybrid else "headless")
        lacking = ["--" + name for name in needed if name not in known]
        if lacking:
            problems.add(
                "vllm_version",
                "%s has no %s, by which replicas are spread over hosts. Take a release that has, or give each host a "
                "service of its own behind a gateway." % (v["vllm_version"], _list(lacking)),
            )


def arguments(nodes: dict, port: int, extra_options: dict) -> list[str]:
    """Return what ``vllm serve`` of this host is told of the others."""
    if not nodes:
        return []
    place = rank(nodes)
    size = replicas(nodes, extra_options)
    if size:
        here = size // count(nodes)
        told = ["--data-parallel-size-local", str(here), "--data-parallel-address", nodes["addresses"][0]]
        told += ["--data-parallel-rpc-port", str(port)]
        # vLLM takes a rank for the wish for an API of its own, unless it is headless: the head of all has none
        told += ["--data-parallel-start-rank", str(place * here)] if place else []
        return told + ([] if has_api(nodes, extra_options) else ["--headless"])
    told = ["--distributed-executor-backend", "mp", "--nnodes", str(count(nodes)), "--node-rank", str(place)]
    told += ["--master-addr", nodes["addresses"][0], "--master-port", str(port)]
    return told + (["--headless"] if place else [])


def environment(v: dict, nodes: dict) -> list[tuple[str, str]]:
    """Return the variables by which the libraries of the workers find the right network."""
    if not nodes:
        return []
    found = []
    mine = nodes["addresses"][rank(nodes)]
    try:
        ipaddress.ip_address(mine)
        found.append(("VLLM_HOST_IP", mine))
    except ValueError:
        pass  # vLLM asks the routing table itself then
    if v["vllm_nodes_interface"]:
        found += [(name, v["vllm_nodes_interface"]) for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")]
    return found


def head_url(v: dict, nodes: dict) -> str:
    """Return where the head answers, as the other nodes reach it."""
    address = nodes["addresses"][0]
    return "http://%s:%d" % ("[%s]" % address if ":" in address else address, v["vllm_port"])


def told(v: dict, nodes: dict, extra_options: dict) -> dict:
    """Return what the definition says of the nodes; empty for a service of a single host."""
    if not nodes:
        return {}
    place = rank(nodes)
    size = replicas(nodes, extra_options)
    return {
        "names": nodes["names"],
        "addresses": nodes["addresses"],
        "rank": place,
        "count": count(nodes),
        "parallel": "data" if size else "pipeline",
        "replicas_here": size // count(nodes),
        "hybrid": bool(size and _is_true(extra_options.get(_HYBRID))),
        "has_api": has_api(nodes, extra_options),
        "interface": v["vllm_nodes_interface"],
        "head": nodes["names"][0],
        "master_address": nodes["addresses"][0],
        "master_port": v["vllm_nodes_port"],
        "peers": [name for name in nodes["names"] if name != nodes["me"]],
    }


def _list(names: list[str]) -> str:
    return ", ".join(names)
