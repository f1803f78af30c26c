# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin preflight: what it asks the host for, and what it makes of the answer."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.myia.vllm.plugins.action import preflight as plugin_file


@pytest.fixture
def run(action, monkeypatch, medium, host_with):
    """Run the plugin with variables, on a host that answers ``answer`` (the good host without)."""

    def call(answer: dict | None = None, variables: dict | None = None, task_vars=None, **args) -> tuple[dict, dict]:
        plugin = action("preflight", args={"definition": medium(variables or {}), **args})
        asked = {}
        answer = copy.deepcopy(answer or {"host": host_with({})})
        monkeypatch.setattr(plugin, "_execute_module", lambda **more: asked.update(more) or answer)
        return plugin.run(task_vars={**(variables or {}), **(task_vars or {})}), asked

    return call


def test_passes(run) -> None:
    """Findings, plan and host are returned, and the host is asked for what the definition needs."""
    result, asked = run()
    assert (result.get("failed"), result["changed"], result["warnings"]) == (None, False, [])
    assert (result["refused"], result["report"]) == (False, "")
    assert all(item["ok"] for item in result["findings"])
    assert result["capacity"]["fits"] == "yes"
    assert asked["module_name"] == "myia.vllm.host_info"
    # names only, but for what is the same for everybody
    env = asked["module_args"].pop("env")
    assert {name: value for name, value in env.items() if value is not None} == {
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"
    }
    assert {"HF_HUB_OFFLINE", "DO_NOT_TRACK"} <= set(env)
    assert asked["module_args"] == {
        "release": "/opt/vllm/medium/current",
        "port": 5002,
        "project": "vllm-medium",
        "container_name": "myia-vllm-medium-qwen3",
        "adapters": [],
        "query_adapters": True,
        "paths": ["/opt/vllm/medium"],
        "mounts": [],
        "files": [],
        "certificate": "",
        "certificate_key": "",
        "networks": [],
        "model_path": "",
        "model": "Qwen/Qwen2.5-32B-Instruct-AWQ",
        "revision": "",
        "query_hub": True,
        "hf_endpoint": "",
        "hf_token": "",
        "hf_cache": "vllm-hf-cache",
        "image": "vllm/vllm-openai:v0.32.0",
        "pull": "missing",
        "gpus": True,
    }


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    result, _asked = run()
    assert set(result) - {"changed", "warnings"} == set(documentation("preflight", "RETURN"))


def test_fails_with_every_problem(run, host_with) -> None:
    """One report of all of them."""
    result, _asked = run({"host": host_with({"uid": 1000, "free_gib": {"/": 1.0}})})
    assert result["failed"] is True
    assert result["msg"].startswith("2 preflight checks failed")
    assert "- root: " in result["msg"]
    assert "- disk: " in result["msg"]
    assert "findings" not in result


def test_refuses_nothing(run, host_with) -> None:
    """The result is kept, for the role to refuse it and for a later report."""
    result, _asked = run({"host": host_with({"uid": 1000, "clock.skew_s": 900.0})}, refuse=False)
    assert "failed" not in result
    assert result["refused"] is True
    assert result["warnings"] == []
    assert "- root: " in result["report"]
    assert result["host"]["uid"] == 1000


def test_skipped_checks_warn(run, host_with) -> None:
    """A skipped check that failed is a warning; others still fail, with the skipped one in their report."""
    host = host_with({"uid": 1000, "free_gib": {"/": 1.0}})
    result, _asked = run({"host": host}, skip=["root", "disk"])
    assert "failed" not in result
    assert len(result["warnings"]) == 2
    assert "root failed and was skipped: found user id 1000" in result["warnings"][0]
    result, _asked = run({"host": host}, skip=["root"])
    assert result["failed"] is True
    assert "\n- root: " not in result["msg"]
    assert "- (skipped) root: " in result["msg"]


def test_unknown_id(run) -> None:
    """A misspelt id is refused before the host is asked."""
    result, asked = run(skip=["gpu_memmory", "root", "xyzzy"])
    assert result["failed"] is True
    assert result["msg"] == (
        "vllm_preflight_skip: no check is called gpu_memmory; did you mean gpu_memory? no check is called xyzzy; see "
        "the role's README. Nothing was changed."
    )
    assert asked == {}


def test_less_disk_asked_for(run, host_with) -> None:
    """The needed space is an option."""
    host = host_with({"free_gib": {"/": 1.0}})
    assert "failed" not in run({"host": host}, min_free_gib=0.5)[0]
    assert run({"host": host})[0]["failed"] is True


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "boom"}, {"unreachable": True, "msg": "boom"}], ids=str)
def test_host_that_gives_no_answer(answer, run) -> None:
    """What went wrong is returned as it is, without findings."""
    result, _asked = run(answer)
    assert {key: result[key] for key in answer} == answer
    assert "findings" not in result


def test_secrets(run, host_with, planted) -> None:
    """The token goes to the module, whose option hides it, and nowhere else; no variable of the container does."""
    variables = {**planted, "vllm_extra_env": {"SECRET": "PLANTED-env"}}
    host = host_with({"uid": 1000, "model.error": {"kind": "gated", "text": "a. b."}})
    for refuse in (True, False):
        result, asked = run({"host": host}, variables, refuse=refuse)
        assert "PLANTED" not in json.dumps(result, default=str)
        assert asked["module_args"].pop("hf_token") == planted["vllm_hf_token"]
        assert "PLANTED" not in json.dumps(asked["module_args"])


@pytest.mark.parametrize(
    ("skew", "time", "expected"),
    [
        pytest.param(7.0, 0.0, (7.0, "hub and registry"), id="by-the-net"),
        pytest.param(None, 105.0, (0.0, "this controller"), id="within"),
        pytest.param(None, 90.0, (-10.0, "this controller"), id="behind"),
        pytest.param(None, 530.0, (420.0, "this controller"), id="ahead"),
    ],
)
def test_compare_clock(skew, time, expected) -> None:
    """Without a date from the net the controller's clock counts, give or take how long the host took."""
    clock = {"skew_s": skew, "time": time}
    plugin_file.compare_clock(clock, 100.0, 110.0)
    assert (clock["skew_s"], clock["by"]) == expected
