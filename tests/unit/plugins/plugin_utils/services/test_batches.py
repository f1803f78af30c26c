# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of services: those of a machine one after the other, those of several machines side by side."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches

GROUP = batches.targets_group("gpu:box", every=True)


def groups(machines: dict[str, list[str]]) -> dict[str, list[str]]:
    """The inventory's groups for services by machine; a machine without any is a service itself."""
    found = {GROUP: [host for name, hosts in machines.items() for host in hosts or [name]]}
    found.update({batches.machine_group(name): hosts for name, hosts in machines.items() if hosts})
    return found


@pytest.mark.parametrize(
    ("machines", "serial", "wanted"),
    [
        pytest.param({"a": [], "b": []}, "100%", [], id="Ansible's own"),
        pytest.param({"a": ["a1"], "b": []}, "100%", [], id="one each"),
        pytest.param({"a": ["a1", "a2"]}, "100%", [["a1"], ["a2"]], id="one machine"),
        pytest.param(
            {"a": ["a1", "a2", "a3"], "b": [], "c": ["c1", "c2"]}, "100%", [["a1", "b", "c1"], ["a2", "c2"], ["a3"]],
            id="side by side",
        ),
        pytest.param(
            {"a": ["a1", "a2"], "b": ["b1", "b2"]}, 1, [["a1"], ["a2"], ["b1"], ["b2"]], id="machine by machine"
        ),
        pytest.param(
            {"a": ["a1", "a2"], "b": ["b1"], "c": ["c1"], "d": ["d1"]}, [1, "50%"],
            [["a1"], ["a2"], ["b1", "c1"], ["d1"]], id="growing",
        ),
        pytest.param({"a": ["a1", "a2"], "b": ["b1"]}, "1%", [["a1"], ["a2"], ["b1"]], id="at least one"),
        pytest.param({"a": ["a1", "a2"], "b": ["b1"]}, "some", [["a1", "b1"], ["a2"]], id="no number"),
        pytest.param({"a": ["a1", "a2"], "b": ["b1"]}, 0, [["a1", "b1"], ["a2"]], id="zero is all"),
    ],
)  # fmt: skip
def test_batches(machines, serial, wanted) -> None:
    """No batch has two services of one machine, and each service is in one."""
    assert batches.batches(groups(machines), GROUP, serial) == wanted


def test_of_run() -> None:
    """What plays read: hosts in the order of the batches, and their sizes; the pattern where nothing was looked for."""
    variables = {"groups": groups({"a": ["a1", "a2"], "b": []}), "vllm_every_service": "true"}
    assert batches.of_run(variables, ["gpu:box"]) == ["a1", "b", "a2"]
    assert batches.sizes_of_run(variables, ["gpu:box"]) == [2, 1]
    assert batches.of_run({**variables, "vllm_every_service": False}, ["gpu:box"]) == ["gpu:box"]
    assert batches.of_run({}, ["x"]) == ["x"]
    assert batches.sizes_of_run({}, ["x"]) == ["100%"]
    assert batches.sizes_of_run({"vllm_serial": 2}, ["x"]) == [2]
    assert batches.sizes_of_run({"vllm_serial": [1, "50%"]}, ["x"]) == [1, "50%"]


def test_order_of_the_inventory() -> None:
    """Hosts join a group when they have answered, which is another order each time."""
    found = groups({"b": ["b1", "b2"], "a": [], "c": ["c1"]})
    found["all"] = ["c1", "b2", "b1", "a", "b", "c"]
    assert batches.of_run({"groups": found, "vllm_every_service": True}, ["gpu:box"]) == ["a", "b1", "c1", "b2"]
    plain = {"all": ["a", "b", "c"], batches.targets_group("x"): ["c", "a", "b"]}
    assert batches.of_run({"groups": plain}, ["x"]) == ["a", "b", "c"]


def test_groups_are_known_again() -> None:
    """And differ by what they are for."""
    names = [batches.targets_group("x"), batches.targets_group("x", every=True), batches.machine_group("x")]
    assert len(set(names)) == 3
    assert all(map(batches.is_ours, names))
    assert all(name.isidentifier() for name in (batches.targets_group("a-b:!c"), batches.machine_group("192.0.2.1")))
    assert not batches.is_ours("medium")


@pytest.mark.parametrize("serial", [1, "2", "25%", 0, [1, "50%"], "100%"])
def test_serial(serial) -> None:
    """What Ansible takes for a size."""
    assert batches.problem_of(serial) == ""


@pytest.mark.parametrize("serial", ["abc", "-1", -1, "1.5", "50 %%", [1, "x"], {"a": 1}])
def test_serial_that_is_none(serial) -> None:
    """Named with what it should be; Ansible would end with a traceback."""
    assert batches.problem_of(serial).startswith("vllm_serial is ")
