# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin service_lock: who this run is, and what is known of a run that has the lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible.errors import AnsibleError

from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock
from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_identity


@pytest.fixture
def run(action, monkeypatch, tmp_path):
    """Run the plugin; the module behind it works on a real folder. What it was asked comes second, call by call."""
    lock = service_lock.Lock(str(tmp_path), 300)

    def call(variables: dict | None = None, **args) -> tuple[dict, list[dict]]:
        asked: list[dict] = []

        def module(name: str, module_args: dict, task_vars: dict) -> dict:
            assert name == "myia.vllm.service_lock"
            asked.append(json.loads(json.dumps(module_args)))
            if module_args["state"] == "absent":
                lock.release(module_args["token"])
                return {"changed": False}
            token = module_args["token"]
            return {"changed": False, "token": token, **lock.take(token, module_args["holder"], module_args["dead"])}

        plugin = action("service_lock", args={"folder": str(tmp_path), **args})
        monkeypatch.setattr(plugin, "_execute_module", module)
        return plugin.run(task_vars=variables or {}), asked

    return call


def dead_token() -> str:
    """The token of a run on this controller that is over."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    parts = (run_identity._controller(), str(process.pid), run_identity._started(process.pid), "abc")
    process.communicate()
    return ":".join(parts)


def test_taken_and_given_back(run) -> None:
    """The run is named by its process and its play; its token gives the lock back."""
    result, asked = run({"ansible_play_name": "Deploy"})
    assert (result.get("failed"), result["taken"], len(asked)) == (None, True, 1)
    assert result["token"].split(":")[1] == str(os.getppid())
    assert asked[0]["holder"]["run"] == "Deploy"
    assert asked[0]["silent_s"] == 300
    result, asked = run(state="absent", token=result["token"])
    assert (result.get("failed"), len(asked)) == (None, 1)
    assert run()[0]["taken"] is True


def test_refused(run) -> None:
    """By a run that lives: who it is, since when, and what to do."""
    alive = ":".join((run_identity._controller(), str(os.getpid()), run_identity._started(os.getpid()), "abc"))
    run(token=alive, holder={"who": "anna on host, process 7", "run": "Deploy"})
    result, asked = run()
    assert result["failed"] is True
    assert "is being deployed by anna on host, process 7 (Deploy) since 20" in result["msg"]
    assert "its last sign of life was 0 s ago" in result["msg"]
    assert "after 300 s without a sign of life (vllm_service_lock_silent_s)" in result["msg"]
    assert len(asked) == 1
    assert "after 5 s without" in run(silent_s=5)[0]["msg"]


def test_run_on_another_controller(run) -> None:
    """Nobody here knows whether it lives."""
    run(token="elsewhere:1:5:abc", holder={"who": "anna"})
    result, asked = run()
    assert (result["failed"], len(asked)) == (True, 1)
    assert " by anna since " in result["msg"]


def test_run_that_is_over(run) -> None:
    """A run of this controller that was killed does not keep anybody waiting."""
    dead = dead_token()
    run(token=dead, holder={"who": "anna"})
    result, asked = run()
    assert (result.get("failed"), result["taken"], result["was"]) == (None, True, "the run that held it is over")
    assert [call["dead"] for call in asked] == [[], [dead]]


def test_damaged_lock(run, tmp_path) -> None:
    """An unknown holder is one too."""
    (tmp_path / service_lock.FILE).write_text("{", encoding="utf-8")
    assert "by an unknown holder since an unknown time" in run()[0]["msg"]


def test_module_that_fails(run, action, monkeypatch, tmp_path) -> None:
    """What went wrong is returned as it is."""
    plugin = action("service_lock", args={"folder": str(tmp_path)})
    monkeypatch.setattr(plugin, "_execute_module", lambda *_args, **_more: {"failed": True, "msg": "no folder"})
    result = plugin.run(task_vars={})
    assert (result["failed"], result["msg"]) == (True, "no folder")


@pytest.mark.parametrize("args", [{"state": "absent"}, {"state": "other"}, {"nonsense": 1}], ids=str)
def test_wrong_options(args, run) -> None:
    """Refused before the host is asked."""
    with pytest.raises(AnsibleError):
        run(**args)
