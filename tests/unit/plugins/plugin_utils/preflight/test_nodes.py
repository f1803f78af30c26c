# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that serve one model together: each fault is named with its host, and sound hosts are passed."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks, nodes

NAMES, ADDRESSES = ["gpu-1", "gpu-2"], ["10.0.0.1", "10.0.0.2"]


def call(**changes: object) -> dict:
    """A call that went well, but for ``changes``."""
    return {"connected": True, "whole": True, "offset_s": 0.01, "error": "", **changes}


@pytest.fixture
def sound(medium, host_with) -> dict[str, dict]:
    """Two hosts that can serve a model together."""
    found = {}
    for rank, name in enumerate(NAMES):
        definition = {**medium({}), "nodes": {
            "names": NAMES, "addresses": ADDRESSES, "rank": rank, "count": 2, "head": "gpu-1",
            "master_address": ADDRESSES[0], "master_port": 29501, "peers": [NAMES[1 - rank]],
            "parallel": "pipeline", "replicas_here": 0, "hybrid": False, "has_api": rank == 0, "interface": "eth1",
        }}  # fmt: skip
        met = {
            "problem": "",
            "resolved": {"gpu-1": ["10.0.0.1"], "gpu-2": ["10.0.0.2"]},
            "own_name": {"name": name, "addresses": ["10.0.0.%d" % (rank + 1)]},
            "interfaces": {"lo": ["127.0.0.1", "::1"], "eth1": ["10.0.0.%d" % (rank + 1)]},
            "calls": {NAMES[1 - rank]: call()},
            "heard": [NAMES[1 - rank]],
        }
        found[name] = {"definition": definition, "host": host_with({}), "met": met}
    return found


def several(hosts: dict[str, dict], path: str, *values: object) -> None:
    """Set what stands at ``path`` of each host."""
    for node, value in zip(hosts.values(), values):
        *heads, last = path.split(".")
        place = node
        for head in heads:
            place = place[head]
        place[last] = value


def failing(hosts: dict[str, dict], pull: str = "missing") -> dict[str, dict]:
    """The findings that are not ok, by id."""
    found = nodes.check(next(item for item in hosts.values() if item)["definition"], hosts, pull)
    assert [item["id"] for item in found] == [
        identity for identity in nodes.IDS if identity in {i["id"] for i in found}
    ]
    return {item["id"]: item for item in found if not item["ok"]}


def test_sound_hosts(sound) -> None:
    """No false alarm."""
    assert failing(sound) == {}
    found = {item["id"] for item in nodes.check(sound["gpu-1"]["definition"], sound)}
    assert found == set(nodes.IDS) - {"node_replicas"}


@pytest.mark.parametrize(
    ("path", "value", "identity", "words"),
    [
        (
            "met.interfaces", {"eth0": ["10.0.0.2"], "ib0": ["10.9.0.2"]},
            "node_interface", "no eth1 on gpu-2 (but eth0, ib0)",
        ),
        ("met.interfaces", {"eth1": ["fe80::1", "169.254.3.4"]}, "node_interface", "eth1 on gpu-2 has only fe80::1"),
        ("met.interfaces", {"eth1": ["10.0.0.1"]}, "node_interface", "10.0.0.1 is eth1 on gpu-1 and on gpu-2"),
        (
            "met.resolved", {"gpu-1": ["10.0.0.1"], "gpu-2": ["127.0.1.1"]},
            "node_names", "on gpu-2, 10.0.0.2 (gpu-2) is 127.0.1.1",
        ),
        ("met.resolved", {"gpu-1": [], "gpu-2": ["10.0.0.2"]}, "node_names", "gpu-2 does not know 10.0.0.1 (gpu-1)"),
        (
            "met.calls", {"gpu-1": call(connected=False, whole=False, offset_s=None, error="timed out")},
            "node_network", "gpu-2 does not reach gpu-1 (timed out)",
        ),
        ("met.problem", "port 29502: Address already in use", "node_network", "gpu-2 cannot listen: port 29502"),
        ("met.calls", {"gpu-1": call(whole=False, error="timed out")}, "node_packets", "gpu-2 to gpu-1 (timed out)"),
        ("met.calls", {"gpu-1": call(offset_s=-600.2)}, "node_clock", "600.2 s apart"),
        ("definition.gpu_devices", ["0"], "node_gpus", "1 x NVIDIA GeForce RTX 4090 on gpu-2"),
        ("host.gpu.gpus", "other cards", "node_gpus", "NVIDIA L4 on gpu-2"),
        ("host.gpu.driver_version", "570.1", "node_driver", "570.1 (CUDA 13.0) on gpu-2"),
        ("host.gpu.cuda_version", "12.8", "node_driver", "(CUDA 12.8) on gpu-2"),
        ("definition.image", "vllm/vllm-openai:v0.31.0", "node_service", "gpu-1 and gpu-2 differ in image"),
    ],
)  # fmt: skip
def test_faults(path, value, identity, words, sound) -> None:
    """Each names the host, and nothing else is found for it."""
    place = sound["gpu-2"]
    *heads, last = path.split(".")
    for head in heads:
        place = place[head]
    if value == "other cards":
        value = [{**gpu, "name": "NVIDIA L4"} for gpu in copy.deepcopy(place[last])]
    place[last] = value
    found = failing(sound)
    assert words in found[identity]["found"]
    assert found[identity]["fix"]
    assert set(found) <= {identity, "node_service"}
    assert (identity in {item["id"] for item in checks.refused(list(found.values()), [])}) is (
        identity != "node_driver"
    )


def test_silent_host(sound) -> None:
    """A host that was refused, or that is not part of the run, keeps the others from going on."""
    sound["gpu-2"] = {}
    assert "nothing of gpu-2" in failing(sound)["node_reports"]["found"]


def test_ids_may_be_skipped() -> None:
    """The ids are known to vllm_preflight_skip."""
    assert checks.unknown_ids(list(nodes.IDS)) == []


def replicas(hosts: dict[str, dict], hybrid: bool = False, here: int = 1) -> None:
    """Make the hosts have whole replicas each."""
    for node in hosts.values():
        node["definition"]["nodes"].update(parallel="data", replicas_here=here, hybrid=hybrid)


def with_experts(hosts: dict[str, dict]) -> None:
    """Make the model one of experts."""
    several(
        hosts, "host.model.config", *[{**node["host"]["model"]["config"], "num_experts": 8} for node in hosts.values()]
    )


@pytest.mark.parametrize("interface", ["", "eth1"])
@pytest.mark.parametrize("shape", ["layers", "replicas", "replicas of experts"])
def test_own_name_that_is_loopback(shape, interface, sound) -> None:
    """Gloo listens there and the others wait, unless an interface is named, or nothing of PyTorch talks over hosts."""
    several(
        sound, "met.own_name", {"name": "gpu-1", "addresses": ["10.0.0.1"]}, {"name": "b", "addresses": ["127.0.1.1"]}
    )
    for node in sound.values():
        node["definition"]["nodes"]["interface"] = interface
    if shape != "layers":
        replicas(sound)
    if shape == "replicas of experts":
        with_experts(sound)
    found = failing(sound)
    assert set(found) == ({"node_names"} if not interface and shape != "replicas" else set())
    assert not found or "gpu-2 takes its own name b for 127.0.1.1" in found["node_names"]["found"]


ONE, OTHER, PULLED = "sha256:" + "1" * 64, "sha256:" + "2" * 64, "sha256:" + "3" * 64


@pytest.mark.parametrize(
    ("digests", "pull", "refused", "words"),
    [
        (([ONE], [ONE]), "missing", False, "the same on each"),
        (([ONE], [OTHER]), "missing", True, "sha256:111111111111 on gpu-1, sha256:222222222222 on gpu-2"),
        # engines that keep images in different ways
        (([ONE, PULLED], [OTHER, PULLED]), "missing", False, "the same on each"),
        (([ONE], [OTHER]), "always", False, "pulled on gpu-1, gpu-2, and compared then"),
        (([ONE], []), "missing", False, "pulled on gpu-2, and compared then"),
        (([], []), "missing", False, "pulled on gpu-1, gpu-2"),
    ],
)
def test_images(digests, pull, refused, words, sound) -> None:
    """One tag may be two images."""
    several(sound, "host.image_digests", *digests)
    assert set(failing(sound, pull)) == ({"node_image"} if refused else set())
    found = nodes.check(sound["gpu-1"]["definition"], sound, pull)
    assert words in next(item["found"] for item in found if item["id"] == "node_image")


@pytest.mark.parametrize(
    ("path", "each", "local", "words"),
    [
        ("host.model.files_bytes", (900, None), True, "no weights on gpu-2"),
        ("host.model.files_bytes", (900, None), False, ""),
        ("host.model.files_bytes", (900, 899), True, "900 bytes of weights on gpu-1, 899 bytes of weights on gpu-2"),
        ("host.model.files_bytes", (900, 899), False, "899 bytes of weights on gpu-2"),
        ("host.model.files_bytes", (900, 900), True, ""),
        (
            "host.model.commit",
            ("a" * 40, "b" * 40),
            False,
            "commit aaaaaaaaaaaa on gpu-1, commit bbbbbbbbbbbb on gpu-2",
        ),
        ("host.model.commit", ("a" * 40, ""), False, ""),
        ("host.model.config", ({"a": 1}, {"a": 2}), True, "config.json is not the same on gpu-1 and gpu-2"),
        ("host.model.config", ({"a": 1, "_name_or_path": "x"}, {"a": 1, "_name_or_path": "y"}), True, ""),
    ],
)
def test_models(path, each, local, words, sound) -> None:
    """What is copied by hand has to be the same; what is downloaded is compared once more when it has been."""
    several(sound, path, *each)
    if local:
        several(sound, "definition.prefetch", {"models": []}, {"models": []})
    found = failing(sound)
    assert set(found) == ({"node_model"} if words else set())
    assert not words or (words in found["node_model"]["found"] and found["node_model"]["fix"])
    assert not words or found["node_model"]["severity"] == ("error" if local else "warning")


@pytest.mark.parametrize(
    ("hybrid", "here", "experts", "severity"),
    [
        (True, 1, False, "error"), (True, 2, False, "warning"), (True, 1, True, None), (False, 1, False, None),
    ],
)  # fmt: skip
def test_balance_within_a_host(hybrid, here, experts, severity, sound) -> None:
    """Hosts that share nothing are services of their own."""
    replicas(sound, hybrid, here)
    if experts:
        with_experts(sound)
    found = failing(sound)
    assert set(found) == ({"node_replicas"} if severity else set())
    assert not severity or found["node_replicas"]["severity"] == severity
