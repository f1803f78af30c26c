# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugins of a fleet: what they read from the hosts' variables, and what they return."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.lookup import fleet_batches
from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import plan

LOOKS = {"a": {"healthy": True}, "b": {"healthy": False}, "c": {"healthy": True}}


def hostvars(**more: dict) -> dict:
    """Variables of three hosts, as after the first look."""
    return {name: {"__vllm_fleet_look": look, **more.get(name, {})} for name, look in LOOKS.items()}


def gateway(**usable: bool) -> dict:
    """What the look at a gateway returned, as the result of a loop."""
    servers = {name: {"admin": "ready", "usable": value} for name, value in usable.items()}
    return {"ansible_loop_var": "x", "x": "g", "backends": {"vllm_medium": {"servers": servers}}}


def test_plan(action, documentation) -> None:
    """The host that does not answer comes first; each batch has its group."""
    args = {"hosts": ["a", "b", "c"], "backend": "vllm_medium", "gateways": [gateway(a=True)], "serial": 2}
    found = action("fleet_plan", args=args).run(task_vars={"hostvars": hostvars()})
    assert found["batches"] == [["b"], ["a", "c"]]
    assert [item["group"] for item in found["members"]] == [plan.group_of(0), plan.group_of(1), plan.group_of(1)]
    assert found["text"] == "Order: b; then a, c.\nb comes first: its service does not answer."
    assert (found["changed"], found.get("failed"), found["problem"]) == (False, None, "")
    assert set(found) - {"changed"} == set(documentation("fleet_plan", "RETURN"))


def test_turn(action) -> None:
    """With a host it only tells whether that one may go."""
    args = {"hosts": ["a"], "backend": "vllm_medium", "turn": "a", "gateways": [gateway(a=True, c=False)]}
    found = action("fleet_plan", args=args).run(task_vars={"hostvars": hostvars()})
    assert found["problem"].startswith("g: only a gets requests, and c does not.")
    assert "batches" not in found


def test_replica_of_several_hosts(action) -> None:
    """Its hosts are of one batch, and each of them has its turn or none; the gateway knows the head alone."""
    definition = {"vllm_definition": {"nodes": {"names": ["a", "c"]}}}
    variables = {"hostvars": hostvars(a=definition, c=definition, b={"vllm_definition": {"nodes": {}}})}
    args = {"hosts": ["a", "b", "c"], "backend": "vllm_medium", "gateways": [gateway(a=True, b=True)]}
    assert action("fleet_plan", args=args).run(task_vars=variables)["batches"] == [["b"], ["a", "c"]]
    for usable, words in ((True, ""), (False, "g: only a gets requests, and b does not.")):
        for turn in ("a", "c"):
            args = {
                "hosts": ["a", "c"],
                "backend": "vllm_medium",
                "gateways": [gateway(a=True, b=usable)],
                "turn": turn,
            }
            problem = action("fleet_plan", args=args).run(task_vars=variables)["problem"]
            assert problem.startswith(words)
            assert bool(problem) == bool(words)


@pytest.mark.parametrize(("sizes", "expected"), [(False, ["b", "a", "c"]), (True, [1, 2])])
def test_batches_are_read_from_the_groups(sizes: bool, expected: list) -> None:
    """Hosts in their order, or sizes; before there is a plan no host."""
    groups = {plan.group_of(0): ["b"], plan.group_of(1): ["a", "c"], "all": ["a", "b", "c"]}
    lookup = fleet_batches.LookupModule()
    lookup.set_options = lambda **_given: None
    lookup.get_option = lambda _name: sizes
    assert lookup.run([], {"groups": groups}) == expected
    assert lookup.run([], {"groups": {}}) == ([1] if sizes else [])


def test_report(action, tmp_path, documentation) -> None:
    """A row for each host, also for one whose roles returned nothing; the report lies where it says."""
    done = {
        "vllm_fleet_result": {"begun": True, "failure": ""},
        "vllm_report_result": {"report": {"verdict": "deployed", "summary": "Release r2 serves.", "path": "/x/a/b/c"}},
        "vllm_service_result": {"release": {"name": "r2", "start": {"downtime_s": 12.5}}},
        "__vllm_service_speed": {"verdict": "not_slower", "text": "Not slower."},
    }
    failed = {"vllm_fleet_result": {"begun": True, "failure": "it broke"}}
    failed["vllm_report_result"] = {"report": {"verdict": "failed_went_back"}}
    plugin = action("fleet_report", args={"hosts": ["a", "b", "c"], "service": "medium", "dir": str(tmp_path)})
    plugin._task.check_mode = False
    found = plugin.run(task_vars={"hostvars": hostvars(a=done, b=failed)})
    assert [row["state"] for row in found["hosts"]] == ["deployed", "failed", "not_reached"]
    assert (found["verdict"], found["ok"], found["changed"]) == ("fleet_stopped", False, False)
    assert found["hosts"][0]["gate"] == "Not slower."
    assert "  b: failed\n    it broke\n" in found["closing"]
    written = json.loads((pathlib.Path(found["path"]) / "report.json").read_text(encoding="utf-8"))
    assert written["verdict"]["id"] == "fleet_stopped"
    assert set(found) - {"changed"} == set(documentation("fleet_report", "RETURN"))


def test_report_without_a_folder(action, tmp_path) -> None:
    """A folder that cannot be written is a warning; the message comes all the same."""
    (tmp_path / "reports").write_text("a file", encoding="utf-8")
    plugin = action("fleet_report", args={"hosts": ["a"], "service": "medium", "dir": str(tmp_path), "problem": "no"})
    plugin._task.check_mode = False
    found = plugin.run(task_vars={"hostvars": {}})
    assert (found["path"], found["verdict"]) == ("", "fleet_refused")
    assert found["warnings"][0].startswith("The report of the fleet could not be written to ")
    assert found["closing"].startswith("Fleet refused. no")
