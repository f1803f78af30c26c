# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the hosts that serve one model together: the network between them, and what must be the same on all.

Pure Python; runs on the controller. Each problem names the host that has it, and all hosts get the same report.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import gpu as preflight_gpu
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding

#: Every check, in the order of the report.
IDS = (
    "node_reports",
    "node_names",
    "node_interface",
    "node_network",
    "node_packets",
    "node_clock",
    "node_gpus",
    "node_driver",
    "node_image",
    "node_model",
    "node_replicas",
    "node_service",
)

#: How far clocks of nodes may differ, in seconds: far above what NTP leaves, little enough to read logs side by side (a
#: bound of ours; vLLM itself compares no clocks).
CLOCK_S = 5.0

#: What of a definition may differ between nodes, and why the rest may not: they are one engine.
_OWN = ("nodes", "base_url", "command", "gpu_devices", "sources", "neighbours")


def check(definition: dict, nodes: dict[str, dict], pull: str = "missing") -> list[dict]:
    """Return a finding of each check.

    Args:
        definition: the ``vllm_definition`` of one of them.
        nodes: by name, in the order of the ranks: ``met`` (of the module ``node_meeting``), ``host`` (of ``host_info``)
            and ``definition``; a host that has said nothing is an empty dictionary.
        pull: vllm_service_pull.
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
    found += [_names(there, address, definition), _interface(there, definition)]
    if silent:
        return [item for item in found if item is not None]
    found += [
        _network(there, port),
        _packets(there),
        _clock(there),
        _gpus(there, definition),
        _driver(there, definition),
        _image(there, definition, pull),
        _model(there, definition),
        _replicas(there, definition),
        _service(there),
    ]
    return [item for item in found if item is not None]


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _experts(node: dict) -> bool | None:
    """Tell whether a model has experts, over which all replicas are one engine; None where it is not known."""
    try:
        config = node["host"]["model"]["config"] or {}
        return bool(model_config.shape(config, node["definition"]["hf_overrides"])["experts"])
    except ValueError:
        return None


def _talks(nodes: dict[str, dict], definition: dict) -> bool:
    """Tell whether PyTorch of the hosts talks to each other: replicas do for their experts only."""
    return definition["nodes"]["parallel"] == "pipeline" or any(_experts(node) is not False for node in nodes.values())


def _names(nodes: dict[str, dict], address: dict[str, str], definition: dict) -> dict:
    wrong = []
    for name, node in nodes.items():
        # PyTorch's Gloo listens at what the host's own name means, where no interface is named
        own = node["met"]["own_name"]
        loops = bool(own["addresses"]) and _is_loopback(own["addresses"][0])
        if loops and not definition["nodes"]["interface"] and _talks(nodes, definition):
            wrong.append("%s takes its own name %s for %s" % (name, own["name"], own["addresses"][0]))
        for other, addresses in node["met"]["resolved"].items():
            if not addresses:
                wrong.append("%s does not know %s (%s)" % (name, address[other], other))
            elif any(map(_is_loopback, addresses)):
                wrong.append("on %s, %s (%s) is %s" % (name, address[other], other, ", ".join(addresses)))
    return finding(
        "node_names",
        not wrong,
        "; ".join(wrong) or "each knows the addresses of all",
        "on every host, an address of each in the network between them",
        "Set vllm_node_address of each host to its IP address there, and vllm_nodes_interface, or mend /etc/hosts "
        "(Debian writes the host's own name as 127.0.1.1).",
    )


def _interface(nodes: dict[str, dict], definition: dict) -> dict | None:
    """The interface that NCCL and Gloo are told is there on each host, with an address that others can reach."""
    wanted = definition["nodes"]["interface"].split(",")
    known = {name: node["met"]["interfaces"] for name, node in nodes.items() if node["met"]["interfaces"]}
    if wanted == [""] or not known:
        return None
    wrong, owner = [], {}
    for name, interfaces in known.items():
        # Gloo takes one name, NCCL any that begins so; of several, one that is there will do
        there = [item for label, addresses in interfaces.items() for item in addresses if label in wanted]
        usable = [item for item in there if not _is_loopback(item) and not _is_link_local(item)]
        if not there:
            wrong.append("no %s on %s (but %s)" % (" or ".join(wanted), name, ", ".join(sorted(interfaces))))
        elif not usable:
            wrong.append("%s on %s has only %s" % (" and ".join(wanted), name, ", ".join(there)))
        for item in usable:
            if owner.setdefault(item, name) != name:
                wrong.append("%s is %s on %s and on %s" % (item, " or ".join(wanted), owner[item], name))
    return finding(
        "node_interface",
        not wrong,
        "; ".join(wrong) or "%s on each" % " or ".join(wanted),
        "vllm_nodes_interface on every host, up, with an address of its own in the network between them",
        "Name the interface that `ip route get` shows for the address of another host, for a host alone where it has "
        "another name there.",
    )


def _is_link_local(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_link_local


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
    drivers = {
        name: "%s (CUDA %s)" % (gpu["driver_version"] or "unknown", gpu["cuda_version"] or "unknown")
        for name, gpu in ((name, node["host"]["gpu"]) for name, node in nodes.items())
    }
    return _same(
        "node_driver",
        drivers,
        "the same driver on each",
        "It works with some pairs of drivers; give all the same when NCCL fails.",
        severity="warning",
    )


def _image(nodes: dict[str, dict], definition: dict, pull: str) -> dict:
    """The image is the same where it is there; what is pulled is compared when it has been."""
    known = {name: node["host"]["image_digests"] for name, node in nodes.items() if node["host"]["image_digests"]}
    lacking = [name for name in nodes if name not in known]
    first = next(iter(known.values()), [])
    others = [name for name, digests in known.items() if not set(digests) & set(first)]
    pulled = pull == "always"
    if others and not pulled:
        found = ", ".join("%s on %s" % (digests[0][:19], name) for name, digests in known.items())
    elif pulled or lacking:
        found = "pulled on %s, and compared then" % ", ".join(nodes if pulled else lacking)
    else:
        found = "the same on each"
    return finding(
        "node_image",
        pulled or not others,
        "%s: %s" % (definition["image"], found),
        "the same image on each",
        "Name it by its digest in vllm_image, or set vllm_service_pull to always for one run.",
    )


def _model(nodes: dict[str, dict], definition: dict) -> dict:
    """Configuration and weights are the same where they are there; what is downloaded is compared when it has been."""
    models = {name: node["host"]["model"] for name, node in nodes.items()}
    told = {
        name: {key: value for key, value in model["config"].items() if key != "_name_or_path"}
        for name, model in models.items()
        if model["config"]
    }
    wrong = []
    names = list(told)
    if any(told[name] != told[names[0]] for name in names):
        wrong.append("config.json is not the same on %s" % " and ".join(names))
    weights = {name: model["files_bytes"] for name, model in models.items()}
    there = [name for name, size in weights.items() if size is not None]
    lacking = [name for name in weights if name not in there]
    downloaded = bool(definition["prefetch"]["models"])
    if there and lacking and not downloaded:
        wrong.append("no weights on %s" % ", ".join(lacking))
    commits = {name: model["commit"] for name, model in models.items() if model["commit"]}
    if len(set(commits.values())) > 1:
        wrong.append(", ".join("commit %s on %s" % (commit[:12], name) for name, commit in commits.items()))
    elif len({weights[name] for name in there}) > 1:
        wrong.append(", ".join("%d bytes of weights on %s" % (weights[name], name) for name in there))
    return finding(
        "node_model",
        not wrong,
        "; ".join(wrong) or "nothing that differs",
        "the same files of %s on each" % definition["model"],
        "Pin it by vllm_model_revision, or delete what is in the cache of the host that lags behind."
        if downloaded
        else "Copy the same folder to each host, in full.",
        # what is downloaded before the switch is compared once more
        severity="warning" if downloaded else "error",
    )


def _replicas(nodes: dict[str, dict], definition: dict) -> dict | None:
    """Replicas that balance within a host only have something to share: else they are services of their own.

    vLLM says so itself of one replica a process (vllm/engine/arg_utils.py of 0.32: "Non-MoE models do not support
    external data parallel mode"). With one on each host nothing connects the hosts, so that none would notice the loss
    of another.
    """
    experts = _experts(next(iter(nodes.values())))
    shape = definition["nodes"]
    if shape["parallel"] != "data" or not shape["hybrid"] or experts is None:
        return None
    return finding(
        "node_replicas",
        experts,
        "a model with%s experts, %d replicas on each host, each host with an API"
        % ("" if experts else "out", shape["replicas_here"]),
        "experts, which all replicas share, where data-parallel-hybrid-lb is set",
        "Leave vllm_nodes and data-parallel-size out, so that each host has its own service behind the gateway, of "
        "which one may be lost; or leave data-parallel-hybrid-lb out for one address without a gateway.",
        severity="error" if shape["replicas_here"] == 1 else "warning",
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
