# SPDX-License-Identifier: GPL-3.0-or-later
"""The module benchmark_step, run as a program with a stand-in docker."""

from __future__ import annotations

import json
import os
import time

import pytest

RUN = {"name": "one", "num_prompts": 5, "request_rate": None, "max_concurrency": 1, "input_tokens": 64,
       "output_tokens": 16}  # fmt: skip
INSPECTED = [{"Id": "c0ffee", "State": {"Status": "running"}, "Config": {"Cmd": ["m", "--port", "5002"]}}]
EVENTS = [{"event": "begun", "vllm_version": "0.32.0"}, {"event": "run", "index": 0},
          {"event": "result", "raw": '{"completed": 5}'}, {"event": "end"}]  # fmt: skip


@pytest.fixture
def run(run_module, tools, tmp_path):
    """Run the module; docker tells the events of a benchmark that goes well."""
    (tmp_path / "inspected").write_text(json.dumps(INSPECTED), encoding="utf-8")
    (tmp_path / "events").write_text("\n".join(map(json.dumps, EVENTS)) + "\n", encoding="utf-8")
    script = 'printf "%%s\\n" "$@" >> %s/asked; case "$1" in container) cat %s/inspected;; exec) cat %s/events;; esac'
    folder = tools("docker", script % (tmp_path, tmp_path, tmp_path))

    def call(do: str, **more) -> dict:
        given = {"do": do, "token": "t", "project": "vllm-medium", "container": "c", "folder": str(tmp_path / "medium"),
                 "profile": "p", "runs": [RUN], "run_dir": str(tmp_path / "run")}  # fmt: skip
        return run_module("benchmark_step", search="%s:%s" % (folder, os.environ["PATH"]), **{**given, **more})

    return call


def test_over_several_calls(run, documentation, tmp_path) -> None:
    """Begun by one call, seen by the next ones, finished by the last; each answers what is documented."""
    answer = run("inspect")
    assert (answer["state"], answer["changed"]) == ("absent", False)
    documented = set(documentation("benchmark_step", "RETURN"))
    assert set(answer) - {"changed", "invocation", "_output"} == documented
    assert run("start")["state"] in ("running", "ended")
    end = time.monotonic() + 10
    while (answer := run("inspect"))["state"] == "running":
        assert time.monotonic() < end
    # Ansible adds a state of its own to some keys, "path" for one
    assert (answer["state"], answer["measured"], answer["problem"], answer["changed"]) == ("ended", 1, "", False)
    assert set(answer) - {"changed", "invocation", "_output"} == documented
    answer = run("finish")
    assert (answer["changed"], answer["result"]["ok"], answer["result"]["vllm_version"]) == (True, True, "0.32.0")
    assert os.listdir(tmp_path / "medium" / "benchmarks") == [os.path.basename(answer["result"]["path"])]
    assert run("finish", token="another")["state"] == "absent"
    # the programs are handed over as they are
    asked = (tmp_path / "asked").read_text(encoding="utf-8")
    assert "def warm_up(" in asked
    assert '"port": 5002' in asked


@pytest.mark.parametrize("do", ["start", "finish"])
def test_check_mode(do, run, tmp_path) -> None:
    """Looks only."""
    answer = run(do, check=True)
    assert (answer["state"], answer["changed"]) == ("absent", False)
    assert not (tmp_path / "asked").exists()


def test_refused(run, tmp_path) -> None:
    """No failure of the module: the caller says it."""
    (tmp_path / "inspected").write_text(
        json.dumps([{**INSPECTED[0], "State": {"Status": "created"}}]), encoding="utf-8"
    )
    answer = run("start")
    assert (answer["state"], answer["problem"], answer["changed"]) == ("refused", "The container c is created.", False)
