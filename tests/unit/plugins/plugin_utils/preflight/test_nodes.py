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
        }}  # fmt: skip
        met = {
            "problem": "",
            "resolved": {"gpu-1": ["10.0.0.1"], "gpu-2": ["10.0.0.2"]},
            "calls": {NAMES[1 - rank]: call()},
            "heard": [NAMES[1 - rank]],
        }
        found[name] = {"definition": definition, "host": host_with({}), "met": met}
    return found


def failing(hosts: dict[str, dict]) -> dict[str, dict]:
    """The findings that are not ok, by id."""
    found = nodes.check(next(item for item in hosts.values() if item)["definition"], hosts)
    assert [item["id"] for item in found] == [
        identity for identity in nodes.IDS if identity in {i["id"] for i in found}
    ]
    return {item["id"]: item for item in found if not item["ok"]}


def test_sound_hosts(sound) -> None:
    """No false alarm."""
    assert failing(sound) == {}
    assert {item["id"] for item in nodes.check(sound["gpu-1"]["definition"], sound)} == set(nodes.IDS)


@pytest.mark.parametrize(
    ("path", "value", "identity", "words"),
    [
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
        ("host.gpu.driver_version", "570.1", "node_driver", "570.1 on gpu-2"),
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
