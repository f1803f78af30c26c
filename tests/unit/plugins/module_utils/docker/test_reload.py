# SPDX-License-Identifier: GPL-3.0-or-later
"""How a running engine takes a change over: when a reload is enough, when a restart is safe, when it is refused."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.docker import reload as engine_reload

CONTAINERS = {
    "b": {"name": "web", "image": "nginx:1", "started": "t1", "gpu": False},
    "a": {"name": "db", "image": "postgres", "started": "t2", "gpu": False},
}
SAFE = ["live_restore", "reload", "restart"]


@pytest.mark.parametrize(
    ("action", "given", "steps", "keeps", "refusal"),
    [
        pytest.param("none", {}, [], True, "", id="nothing"),
        pytest.param("restart", {"answering": False}, [], True, "", id="no-engine"),
        pytest.param("reload", {}, ["reload"], True, "", id="reload"),
        pytest.param("restart", {"containers": {}}, ["restart"], True, "", id="nobody-there"),
        pytest.param("restart", {"live_restore": True}, ["restart"], True, "", id="live-restore-on"),
        pytest.param("restart", {}, SAFE, True, "", id="live-restore-turned-on"),
        pytest.param("restart", {"may_stop": True}, SAFE, True, "", id="kept-although-they-might-be-stopped"),
        pytest.param("restart", {"swarm": True}, [], True, "swarm", id="swarm"),
        pytest.param("restart", {"configured": {"live-restore": False}}, [], True, "daemon.json", id="turned-off"),
        pytest.param("restart", {"may_live_restore": False}, [], True, "docker_engine_live_restore", id="not-allowed"),
        pytest.param("restart", {"swarm": True, "may_stop": True}, ["restart"], False, "", id="allowed-to-stop"),
        pytest.param(
            "restart",
            {"live_restore": True, "pending": {"live-restore": "reload"}, "swarm": True},
            [],
            True,
            "swarm",
            id="live-restore-on-its-way-out",
        ),
        pytest.param(
            "restart",
            {"live_restore": True, "pending": {"live-restore": "reload"}, "configured": {"live-restore": True}},
            ["restart"],
            True,
            "",
            id="live-restore-just-turned-on",
        ),
    ],
)
def test_decide(action, given, steps, keeps, refusal) -> None:
    """The steps, whether the containers go on, and why nothing is done."""
    engine = {
        "answering": given.get("answering", True),
        "live_restore": given.get("live_restore", False),
        "swarm": given.get("swarm", False),
    }
    plan = engine_reload.decide(
        action,
        engine,
        given.get("containers", CONTAINERS),
        given.get("configured", {}),
        given.get("pending", {}),
        given.get("may_stop", False),
        given.get("may_live_restore", True),
    )
    assert (plan["steps"], plan["keeps"]) == (steps, keeps)
    assert bool(plan["refusal"]) == bool(refusal)
    if refusal:
        assert refusal in plan["refusal"]
        assert "2 running containers: db (postgres), web (nginx:1)" in plan["refusal"]
        assert "docker_engine_allow_container_restart" in plan["refusal"]


def test_lost() -> None:
    """Gone, or started anew: both did not go on running."""
    again = {"b": {**CONTAINERS["b"], "started": "t9"}}
    assert engine_reload.lost(CONTAINERS, CONTAINERS) == []
    assert engine_reload.lost(CONTAINERS, again) == ["db", "web"]
    assert engine_reload.lost({}, CONTAINERS) == []
