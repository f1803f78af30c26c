# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a fleet, its batches, and whether a host may be taken out of service."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import looks, plan


def seen(*hosts: str, **changes: dict) -> list[dict]:
    """Hosts that all serve, with changes by name."""
    usual = {"reached": True, "why": "", "healthy": True, "drained": [], "deployed_by": ""}
    return [{"host": host, **usual, **changes.get(host, {})} for host in hosts]


@pytest.mark.parametrize(
    ("canary", "serial", "expected"),
    [
        (1, 1, [["a"], ["b"], ["c"], ["d"]]),
        (1, 2, [["a"], ["b", "c"], ["d"]]),
        ("1", "100%", [["a"], ["b", "c", "d"]]),
        ("50%", "25%", [["a", "b"], ["c"], ["d"]]),
        # a share below one host is one host
        ("10%", 3, [["a"], ["b", "c", "d"]]),
        (1, [1, 2], [["a"], ["b"], ["c", "d"]]),
        (3, 9, [["a", "b", "c"], ["d"]]),
    ],
)
def test_batches(canary: object, serial: object, expected: list) -> None:
    """The canary comes first, then as many at a time as was said; the last size holds for the rest."""
    made = plan.make(seen("a", "b", "c", "d"), canary, serial)
    assert (made["batches"], made["first"], made["problem"]) == (expected, [], "")


@pytest.mark.parametrize(
    ("changes", "order", "why"),
    [
        # a run was killed when c was out of the pool
        ({"c": {"drained": ["gateway-1"]}}, "cabd", "gateway-1 keeps requests from it"),
        ({"b": {"healthy": False}}, "bacd", "its service does not answer"),
        ({"d": {"healthy": False, "drained": ["g1", "g2"]}}, "dabc", "g1, g2 keeps requests from it"),
        # nobody serves yet: a first deployment goes by the inventory
        ({name: {"healthy": False} for name in "abcd"}, "abcd", None),
    ],
)
def test_hosts_that_serve_nobody_come_first(changes: dict, order: str, why: str | None) -> None:
    """They cost nobody anything, and are what a run that was killed has left."""
    made = plan.make(seen(*"abcd", **changes), 1, 1)
    assert "".join(host for batch in made["batches"] for host in batch) == order
    assert [item["why"] for item in made["first"]] == ([] if why is None else [why])


@pytest.mark.parametrize(
    ("changes", "canary", "serial", "problem"),
    [
        ({}, 0, 1, "vllm_fleet_canary is 0. Set how many"),
        ({}, True, 1, "vllm_fleet_canary is True."),
        ({}, 1, "some", "vllm_serial is 'some'."),
        ({}, 1, [2, "-1"], "vllm_serial is '-1'."),
        ({}, 1, [], "vllm_serial is []."),
        ({}, "100%", 1, "vllm_fleet_canary, vllm_serial: a, b, c would be taken out of service at the same time"),
        # a serves alone
        ({"b": {"drained": ["g"]}, "c": {"healthy": False}}, 1, 1, ""),
        # b is out already, so that the canary of two would end with a, but c goes on
        ({"b": {"drained": ["g"]}}, 2, 1, ""),
        ({"b": {"reached": False, "why": "timed out"}}, 1, 1, "b: no answer (timed out)."),
        ({"c": {"deployed_by": "eve on x since 1"}}, 1, 1, "c: is being deployed by eve on x since 1."),
    ],
)
def test_what_is_refused(changes: dict, canary: object, serial: object, problem: str) -> None:
    """Nothing is begun then, and the message says so."""
    made = plan.make(seen("a", "b", "c", **changes), canary, serial)
    assert made["problem"].startswith(problem)
    assert bool(made["batches"]) == (not problem)
    assert not problem or made["problem"].endswith("Nothing was changed.")


PAIRS = {name: pair for pair in (["a", "b"], ["c", "d"]) for name in pair}


@pytest.mark.parametrize(
    ("hosts", "changes", "canary", "serial", "expected", "first"),
    [
        ("abcde", {}, 1, 1, ["ab", "cd", "e"], ""),
        # the inventory may name them in any order, and one of them is enough to bring all to the front
        ("acebd", {}, 1, 2, ["ab", "cde"], ""),
        ("abcde", {"d": {"healthy": False}}, 1, 1, ["cd", "ab", "e"], "d"),
        ("abcde", {"c": {"drained": ["g"]}}, 1, 1, ["cd", "ab", "e"], "c"),
        # of three, not of five
        ("abcde", {}, "67%", 1, ["abcd", "e"], ""),
        # one replica alone is a fleet
        ("ab", {}, 1, 1, ["ab"], ""),
    ],
)
def test_hosts_that_serve_together_are_one(hosts, changes, canary, serial, expected, first) -> None:
    """They are deployed at the same time, and count as one."""
    made = plan.make(seen(*hosts, **changes), canary, serial, {**PAIRS, "e": []})
    assert made["problem"] == ""
    assert ["".join(batch) for batch in made["batches"]] == expected
    assert "".join(item["host"] for item in made["first"]) == first


@pytest.mark.parametrize(
    ("hosts", "canary", "problem"),
    [
        ("abc", 1, "c, d serve one model together (vllm_nodes), and not all of them are in this run."),
        ("abcd", 2, "vllm_fleet_canary, vllm_serial: a, b, c, d would be taken out of service at the same time"),
    ],
)
def test_what_is_refused_of_hosts_that_serve_together(hosts, canary, problem) -> None:
    """Half of a replica is none, and all replicas at once leave nobody."""
    made = plan.make(seen(*hosts), canary, 1, PAIRS)
    assert made["problem"].startswith(problem)
    assert made["batches"] == []


def test_one_host_alone_is_a_fleet() -> None:
    """Its gateway holds requests while it is switched."""
    assert plan.make(seen("a"), "100%", "100%")["batches"] == [["a"]]


def test_groups_carry_the_plan() -> None:
    """In the order of the batches, past other groups; ten and more of them, too."""
    groups = {plan.group_of(number): ["h%d" % number] for number in (10, 2, 0)}
    assert plan.planned({"all": ["x"], **groups}) == [["h0"], ["h2"], ["h10"]]
    assert plan.planned({"all": ["x"]}) == []


def pool(**usable: bool) -> dict:
    """A gateway's servers."""
    return {name: {"usable": value, "admin": "ready"} for name, value in usable.items()}


@pytest.mark.parametrize(
    ("batch", "pools", "problem"),
    [
        (["a"], {"g": pool(a=True, b=True)}, ""),
        (["a"], {"g": pool(a=True, b=False, c=False)}, "g: only a gets requests, and b, c do not."),
        (["a", "b"], {"g": pool(a=True, b=True, c=False)}, "g: only a and b gets requests, and c does not."),
        # it serves nobody itself
        (["a"], {"g": pool(a=False, b=False)}, ""),
        # alone in the pool
        (["a"], {"g": pool(a=True)}, ""),
        # a gateway that does not know the service
        (["a"], {"g": {}}, ""),
        (["a"], {"g": pool(a=True, b=True), "h": pool(a=True, b=False)}, "h: only a gets requests"),
        (["a"], {}, ""),
    ],
)
def test_turn(batch: list, pools: dict, problem: str) -> None:
    """The last server that gets requests stays, where there should be others."""
    found = plan.turn_problem("a", batch, pools)
    assert found.startswith(problem) and bool(found) == bool(problem)


def test_looks() -> None:
    """Servers are known by their host, that of a machine with several services by both names."""
    answers = [
        {"ansible_loop_var": "x", "x": "g1", "backends": {"vllm_chat": {"servers": {
            "a": {"admin": "ready"}, "m-chat": {"admin": "drain"}, "old": {"admin": "maint"}}}}},
        {"ansible_loop_var": "x", "x": "g2", "running": False, "backends": {}},
    ]  # fmt: skip
    pools = looks.pools(answers, "vllm_chat", ["a", "m"])
    assert {name: sorted(servers) for name, servers in pools.items()} == {"g1": ["a", "m", "old"], "g2": []}
    lock = {"token": "t", "who": "eve", "since": "noon", "silent_s": 10}
    found = looks.host("m", {"healthy": True, "lock": lock}, pools, 300, lambda _token: False)
    assert found == {
        "host": "m", "reached": True, "why": "", "healthy": True, "drained": ["g1"], "deployed_by": "eve since noon"
    }  # fmt: skip
    # a lock of a run that is over, or silent for long, holds nobody up
    assert looks.host("m", {"lock": lock}, pools, 300, lambda _token: True)["deployed_by"] == ""
    assert looks.host("m", {"lock": lock}, pools, 10, lambda _token: False)["deployed_by"] == ""
    away = looks.host("a", {"unreachable": True, "msg": "no route"}, pools, 300, lambda _token: False)
    assert (away["reached"], away["why"], away["healthy"], away["drained"]) == (False, "no route", False, [])
