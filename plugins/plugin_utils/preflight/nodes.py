# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the hosts that serve one model together: the network between them, and what must be the same on all.

Pure Python; runs on the controller. Each problem names the host that has it, and all hosts get the same report.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import gpu as preflight_gpu
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding

#: Every check, in the order of the report.
IDS = (
    "node_reports",
    "node_names",
    "node_network",
    "node_packets",
    "node_clock",
    "node_gpus",
    "node_driver",
    "node_service",
)

#: How far clocks of nodes may differ, in seconds: far above what NTP leaves, little enough to read logs side by side (a
#: bound of ours; vLLM itself compares no clocks).
CLOCK_S = 5.0

#: What of a definition may differ between nodes, and why the rest may not: they are one engine.
_OWN = ("nodes", "base_url", "command", "gpu_devices", "sources", "neighbours")


def check(definition: dict, nodes: dict[str, dict]) -> list[dict]:
    """Return a finding of each check.

    Args:
        definition: the ``vllm_definition`` of one of them.
        nodes: by name, in the order of the ranks: ``met`` (of the module ``node_meeting``), ``host`` (of ``host_info``)
            and ``definition``; a host that has said nothing is an empty dictionary.
    """
    names = definition["nodes"]["names"]
    address = dict(zip(names, definition["nodes"]["addresses"]))
    port = definition["nodes"]["master_port"]
    silent = [name for name in names if not nodes.get(name)]
    found = [
        finding(
            "node_reports",
            not silent,
            "nothing of %s" % ", ".join(silent) if silent else "all %d hosts" % len(names),
            "every host of vllm_nodes in this run, each with its preflight passed",
            "See what is said of that host, and leave --limit and vllm_serial out: the hosts are one service.",
        )
    ]
    there = {name: nodes[name] for name in names if nodes.get(name)}
    found.append(_names(there, address))
    if silent:
        return found
    found += [
        _network(there, port),
        _packets(there),
        _clock(there),
        _gpus(there, definition),
        _driver(there, definition),
    ]
    found.append(_service(there))
    return [item for item in found if item is not None]


def _names(nodes: dict[str, dict], address: dict[str, str]) -> dict:
    wrong = []
    for name, node in nodes.items():
        for other, addresses in node["met"]["resolved"].items():
            if not addresses:
                wrong.append("%s does not know %s (%s)" % (name, address[other], other))
            elif any(ipaddress.ip_address(item.partition("%")[0]).is_loopback for item in addresses):
                wrong.append("on %s, %s (%s) is %s" % (name, address[other], other, ", ".join(addresses)))
    return finding(
        "node_names",
        not wrong,
        "; ".join(wrong) or "each knows the addresses of all",
        "on every host, an address of each in the network between them",
        "Set vllm_node_address of each host to its IP address there, or mend /etc/hosts (Debian writes the host's own "
        "name as 127.0.1.1).",
    )


def _network(nodes: dict[str, dict], port: int) -> dict:
    wrong = [
        "%s cannot listen: %s" % (name, node["met"]["problem"])
        for name, node in nodes.items()
        if node["met"]["problem"]
    ]
    mute = [name for name, node in nodes.items() if node["met"]["problem"]]
    for name, node in nodes.items():
        for other, call in node["met"]["calls"].items():
            if not call["connected"] and other not in mute:
                wrong.append("%s does not reach %s (%s)" % (name, other, call["error"]))
    return finding(
        "node_network",
        not wrong,
        "; ".join(wrong) or "each reaches all, on port %d" % (port + 1),
        "every host reached from every other on all TCP ports, %d and %d among them: vLLM picks most when it starts"
        % (port, port + 1),
        "Let the hosts pass each other's firewalls, free the port, or set vllm_nodes_port.",
    )


def _packets(nodes: dict[str, dict]) -> dict | None:
    calls = [(name, other, call) for name, node in nodes.items() for other, call in node["met"]["calls"].items()]
    wrong = [
        "%s to %s (%s)" % (name, other, call["error"])
        for name, other, call in calls
        if call["connected"] and not call["whole"]
    ]
    return finding(
        "node_packets",
        not wrong,
        "connections that carry a greeting, but no 256 KiB: %s" % "; ".join(wrong) if wrong else "full packets pass",
        "packets of full size both ways",
        "Most often the MTU of an interface is larger than the network's: compare `ip link` on the hosts, and try "
        "`ping -M do -s 1472 ADDRESS`.",
    )


def _clock(nodes: dict[str, dict]) -> dict | None:
    offsets = [
        (abs(call["offset_s"]), name, other)
        for name, node in nodes.items()
        for other, call in node["met"]["calls"].items()
        if call["offset_s"] is not None
    ]
    if not offsets:
        return None
    most, name, other = max(offsets)
    return finding(
        "node_clock",
        most <= CLOCK_S,
        "%s and %s are %.1f s apart" % (name, other, most),
        "clocks at most %g s apart" % CLOCK_S,
        "Turn on time synchronisation on each (timedatectl set-ntp true).",
    )


def _gpus(nodes: dict[str, dict], definition: dict) -> dict | None:
    if definition["accelerator"] != "nvidia":
        return None
    kinds = {}
    for name, node in nodes.items():
        cards = [gpu for gpu, _memory in preflight_gpu.wanted(node["definition"], node["host"])]
        kinds[name] = "%d x %s" % (
            len(node["definition"]["gpu_devices"]),
            " and ".join(sorted({str(gpu.get("name")) for gpu in cards})) or "unknown",
        )
    return _same(
        "node_gpus",
        kinds,
        "the same number and kind of GPUs on each",
        "Choose alike GPUs by vllm_gpu_devices of each host.",
    )


def _driver(nodes: dict[str, dict], definition: dict) -> dict | None:
    if definition["accelerator"] != "nvidia":
        return None
    drivers = {name: str(node["host"]["gpu"]["driver_version"] or "unknown") for name, node in nodes.items()}
    return _same(
        "node_driver",
        drivers,
        "the same driver on each",
        "It works with some pairs of drivers; give all the same when NCCL fails.",
        severity="warning",
    )


def _service(nodes: dict[str, dict]) -> dict:
    """The nodes are told the same, but for their place."""
    definitions = {name: node["definition"] for name, node in nodes.items()}
    first_name, first = next(iter(definitions.items()))
    wrong = []
    for name, other in definitions.items():
        differs = sorted(key for key in first if key not in _OWN and first[key] != other.get(key))
        differs += ["nodes"] if first["nodes"]["names"] != other["nodes"]["names"] else []
        if differs:
            wrong.append("%s and %s differ in %s" % (first_name, name, ", ".join(differs)))
    return finding(
        "node_service",
        not wrong,
        "; ".join(wrong) or "one service",
        "the same variables on every host of vllm_nodes, but vllm_node_address and vllm_gpu_devices",
        "Set them for the group rather than for a host.",
    )


def _same(identity: str, values: dict[str, str], needed: str, fix: str, severity: str = "error") -> dict:
    return finding(
        identity,
        len(set(values.values())) == 1,
        ", ".join("%s on %s" % (value, name) for name, value in values.items()),
        needed,
        fix,
        severity=severity,
    )
