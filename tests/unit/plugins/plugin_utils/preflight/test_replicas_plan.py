# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned for whole replicas of a model on each of several hosts: each is one of its own."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks, host, model, plan_table

#: Of the definition, for one host with two replicas of two GPUs each.
FOUR = ["0", "1", "2", "3"]


@pytest.fixture
def four(host_with) -> dict:
    """A host with four cards, of which the last is smaller."""
    found = host_with({})
    cards = found["gpu"]["gpus"]
    small = {"memory_total_mib": cards[1]["memory_total_mib"] - 1000}
    for index, more in ((2, {}), (3, small)):
        cards.append({**cards[1], "index": index, "uuid": "GPU-%d" % index, **more})
    return found


def spread(definition: dict, parallel: str, here: int, gpus: list[str]) -> dict:
    """The same service over two hosts."""
    nodes = {"count": 2, "names": ["a", "b"], "parallel": parallel, "replicas_here": here}
    return {**definition, "nodes": nodes, "gpu_devices": gpus, "extra_options": ["data-parallel-size"] if here else []}


@pytest.mark.parametrize(("here", "gpus"), [(1, FOUR[:2]), (2, FOUR)])
def test_each_replica_is_planned_alone(here, gpus, four, medium) -> None:
    """The same as of one host with the cards of one replica, the smallest of them."""
    alone = medium({})
    cards = four["gpu"]["gpus"][:2] if here == 1 else four["gpu"]["gpus"][2:]
    wanted = model.plan_of(alone, four["model"], [card["memory_total_mib"] for card in cards], cards[0]["name"], 131072)
    plan, why_not = model.planned(spread(alone, "data", here, gpus), four)
    assert why_not == ""
    assert plan["kv_cache_gib_per_gpu"] == wanted["kv_cache_gib_per_gpu"]
    assert plan["weights_gib_per_gpu"] == wanted["weights_gib_per_gpu"]


def test_layers_over_hosts_are_planned_over_all(four, medium) -> None:
    """The other shape: half of the layers is half of the weights."""
    alone = model.planned(medium({}), four)[0]
    over = spread({**medium({}), "pipeline_parallel_size": 2}, "pipeline", 0, FOUR[:2])
    assert model.planned(over, four)[0]["weights_gib_per_gpu"] < alone["weights_gib_per_gpu"]


@pytest.mark.parametrize(("experts", "severity"), [(0, "error"), (8, "warning")])
def test_what_does_not_fit(experts, severity, four, medium) -> None:
    """Without experts a no is a proof; with them all replicas hold a part each, which is not counted."""
    for card in four["gpu"]["gpus"]:
        card["memory_total_mib"] = 6000
    if experts:
        four["model"]["config"] = {**four["model"]["config"], "num_experts": experts}
    found = checks.check(spread(medium({}), "data", 2, FOUR), four, None)["findings"]
    assert {item["id"]: item["severity"] for item in found if not item["ok"]}["capacity"] == severity


def test_gpus_of_one_replica(four, medium) -> None:
    """A replica stays within its host: one of four GPUs does not fit beside another."""
    found = model.tensor_parallel(
        spread({**medium({}), "tensor_parallel_size": 4}, "data", 2, FOUR), four["model"]["config"]
    )
    assert (found["ok"], found["found"]) == (False, "4 x 1 workers on 2 GPUs")


@pytest.mark.parametrize(("here", "ok"), [(0, True), (1, True), (2, False)])
def test_shared_memory_of_each_replica(here, ok, host_with, medium) -> None:
    """Engines of one host have a queue each."""
    definition = {**spread(medium({}), "data", here, FOUR), "ipc": "host"}
    assert host.shm(definition, host_with({"shm_free_mib": 1.5 * host._SHM_NEEDED_MIB}))["ok"] is ok


def test_table(four, medium) -> None:
    """Whose plan it is."""
    looked = {"host": four, "capacity": None, "no_capacity": "", "kind": None, "findings": []}
    definition = spread(medium({}), "data", 2, FOUR)
    text = " ".join(" ".join(plan_table._head(definition, looked)).split())
    assert "tensor 2 x pipeline 1, 2 replicas on each of a, b; this is the plan of one" in text
    assert ", over a, b" in " ".join(plan_table._head(spread(definition, "pipeline", 0, FOUR), looked))
