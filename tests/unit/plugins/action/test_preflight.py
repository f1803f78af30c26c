# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin preflight: what it asks the host for, and what it makes of the answer."""

from __future__ import annotations

import copy

import pytest

DEFINITION = {
    "accelerator": "cpu",
    "gpu_devices": [],
    "port": 5002,
    "project": "vllm-medium",
    "dir": "/opt/vllm/medium",
    "model": "/m",
    "model_is_local": True,
}
HOST = {
    "os": {"id": "debian", "id_like": "", "version": "12", "name": "Debian 12"},
    "uid": 0,
    "port": {"listening": False, "owner": {}, "containers": []},
    "own_containers": [],
    "free_gib": {"/": 100.0},
    "model_present": True,
}


@pytest.fixture
def run(action, monkeypatch):
    """Run the plugin on a host that answers ``answer``."""

    def call(answer: dict, **args) -> tuple[dict, dict]:
        plugin = action("preflight", args={"definition": DEFINITION, **args})
        asked = {}
        monkeypatch.setattr(plugin, "_execute_module", lambda **more: asked.update(more) or copy.deepcopy(answer))
        return plugin.run(task_vars={}), asked

    return call


def test_passes(run) -> None:
    """All findings are returned, and the host is asked for what the definition needs."""
    result, asked = run({"host": HOST})
    assert (result.get("failed"), result["changed"], result["warnings"]) == (None, False, [])
    assert [item["id"] for item in result["findings"]] == ["operating_system", "root", "port", "disk", "model_path"]
    assert result["host"] == HOST
    assert asked["module_name"] == "myia.vllm.host_info"
    assert asked["module_args"] == {
        "port": 5002,
        "project": "vllm-medium",
        "paths": ["/opt/vllm/medium"],
        "model_path": "/m",
        "gpus": False,
    }


def test_model_of_a_hub_and_gpus(run) -> None:
    """No folder is looked for; GPUs are."""
    definition = {**DEFINITION, "accelerator": "nvidia", "gpu_devices": ["0"], "model": "a/b", "model_is_local": False}
    result, asked = run({"host": HOST}, definition=definition)
    assert (asked["module_args"]["model_path"], asked["module_args"]["gpus"]) == ("", True)
    assert "gpu_driver" in result["msg"]


def test_fails_with_every_problem(run) -> None:
    """One report of all of them."""
    result, _asked = run({"host": {**HOST, "uid": 1000, "free_gib": {"/": 1.0}}})
    assert result["failed"] is True
    assert result["msg"].startswith("2 preflight checks failed")
    assert "- root: " in result["msg"]
    assert "- disk: " in result["msg"]


def test_skipped_checks_warn(run) -> None:
    """A skipped check that failed is a warning; others still fail."""
    host = {**HOST, "uid": 1000, "free_gib": {"/": 1.0}}
    result, _asked = run({"host": host}, skip=["root", "disk"])
    assert "failed" not in result
    assert len(result["warnings"]) == 2
    assert "root failed and was skipped: found user id 1000" in result["warnings"][0]
    result, _asked = run({"host": host}, skip=["root"])
    assert result["failed"] is True
    assert "- root: " not in result["msg"]
    assert len(result["warnings"]) == 1


def test_less_disk_asked_for(run) -> None:
    """The needed space is an option."""
    assert "failed" not in run({"host": {**HOST, "free_gib": {"/": 1.0}}}, min_free_gib=0.5)[0]


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "boom"}, {"unreachable": True, "msg": "boom"}], ids=str)
def test_host_that_gives_no_answer(answer, run) -> None:
    """What went wrong is handed on as it is, without findings."""
    result, _asked = run(answer)
    assert {key: result[key] for key in answer} == answer
    assert "findings" not in result
