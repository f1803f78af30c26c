# SPDX-License-Identifier: GPL-3.0-or-later
"""One model over several hosts: which they are, what vLLM of each is told, and what the variables must say for that.

vLLM's own engine joins them (``--nnodes``, from 0.11.1): the first host, the head, has the API and the rendezvous of
``torch.distributed``; the others run headless. `read` resolves the names, everything else is pure.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import tls, vllm_versions
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import LOOPBACK
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: First release of vLLM with ``--nnodes`` (vllm/engine/arg_utils.py).
FIRST_VERSION = (0, 11, 1)

#: Options of ``vllm serve`` that follow from ``vllm_nodes``.
OPTIONS = ("nnodes", "node-rank", "master-addr", "master-port", "headless", "distributed-executor-backend")

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


def count(nodes: dict) -> int:
    """Return over how many hosts the model is split."""
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
    # one that is no version is told of already
    if not problems.about("vllm_version") and vllm_versions.release(v["vllm_version"]) < FIRST_VERSION:
        problems.add("vllm_version", "%s has no --nnodes; 0.11.1 is the first." % v["vllm_version"])
    if v["vllm_network_mode"] != "host":
        problems.add(
            "vllm_network_mode",
            "%s: the nodes talk over ports that vLLM picks when it starts, and none of them is published. Set host."
            % v["vllm_network_mode"],
        )
    if not v["vllm_api_key"] and v["vllm_publish_address"] in ("", *LOOPBACK):
        problems.add(
            "vllm_publish_address",
            "the API of the head would be seen by the head alone, and the other nodes wait for it. Set vllm_api_key, "
            "or 0.0.0.0 where the network is closed to others.",
        )
    taken = sorted(name for name in extra_options if name.partition(".")[0] in OPTIONS)
    if taken:
        problems.add("vllm_extra_options", "%s follows from vllm_nodes. Remove it here." % _list(taken))
    several = sorted(name for name in extra_options if name.startswith("data-parallel-"))
    if several:
        problems.add(
            "vllm_extra_options",
            "%s: one model over several hosts and data parallel are not joined here. Put a gateway before several "
            "such services instead." % _list(several),
        )
    if tls.scheme(v) == "https":
        problems.add("vllm_ssl_certfile", "a service over several hosts speaks no TLS itself. Put a gateway before it.")
    if v["vllm_nodes_interface"] and not _INTERFACE.match(v["vllm_nodes_interface"]):
        problems.add("vllm_nodes_interface", "%r is no interface. Use for example eth1." % v["vllm_nodes_interface"])


def arguments(nodes: dict, port: int) -> list[str]:
    """Return what ``vllm serve`` of this host is told of the others."""
    if not nodes:
        return []
    place = rank(nodes)
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


def told(v: dict, nodes: dict) -> dict:
    """Return what the definition says of the nodes; empty for a service of a single host."""
    if not nodes:
        return {}
    place = rank(nodes)
    return {
        "names": nodes["names"],
        "addresses": nodes["addresses"],
        "rank": place,
        "count": count(nodes),
        "head": nodes["names"][0],
        "master_address": nodes["addresses"][0],
        "master_port": v["vllm_nodes_port"],
        "peers": [name for name in nodes["names"] if name != nodes["me"]],
    }


def _list(names: list[str]) -> str:
    return ", ".join(names)
