# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin prefetch: what it asks the host for, and how it bears a connection that breaks."""

from __future__ import annotations

import time

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.myia.vllm.plugins.action import prefetch as plugin_file
from ansible_collections.myia.vllm.plugins.plugin_utils.prefetch import watcher as prefetch_watcher

MODEL_FACTS = {"models": [{"id": "own/model"}], "bytes": 5, "changed": True, "warnings": []}
ANSWER = {"state": "running", "x": 1, "y": 5, "detail": "", "log": [], "exit_code": None, "facts": {}, "problem": ""}
DONE = {**ANSWER, "state": "done", "exit_code": 0, "facts": MODEL_FACTS}
RELEASE = {"path": "/opt/vllm/medium/releases/r", "name": "r"}


@pytest.fixture
def printed(monkeypatch) -> list[str]:
    """The lines that go to the operator."""
    lines = []
    monkeypatch.setattr(plugin_file.live, "write", lines.append)
    return lines


@pytest.fixture
def run(action, monkeypatch, medium, printed):
    """Run the plugin against these answers; returns (result, what was asked, seconds waited)."""

    def call(*answers, check: bool = False, variables=None, **args):
        given = {"step": "weights", "definition": medium(variables or {}), "release": RELEASE, **args}
        plugin = action("prefetch", args=given)
        plugin._task.check_mode = check
        asked, waited, left = [], [], list(answers)

        def execute(module_name, module_args, task_vars, wrap_async):
            assert module_name == "myia.vllm.prefetch_step"
            asked.append(dict(module_args))
            if module_args["do"] == "clean":
                return {**ANSWER, "state": "absent"}
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(plugin, "_execute_module", execute)
        monkeypatch.setattr(prefetch_watcher, "POLL_S", 0.0)
        monkeypatch.setattr(time, "sleep", waited.append)
        monkeypatch.setattr(time, "monotonic", lambda: float(sum(waited)))
        result = plugin.run(task_vars={"inventory_hostname": "gpu-1"})
        return result, asked, waited

    return call


def test_weights(run, documentation, printed) -> None:
    """Asked for from the release; the result is what is documented."""
    result, asked, _waited = run(ANSWER, DONE)
    assert (result.get("failed"), result["changed"], result["bytes"]) == (None, True, 5)
    assert result["weights"] == {"models": MODEL_FACTS["models"]}
    assert [item["do"] for item in asked] == ["start", "inspect", "clean"]
    assert {key: value for key, value in asked[0].items() if key != "do"} == {
        "step": "weights",
        "image": "vllm/vllm-openai:v0.32.0",
        "pull": "missing",
        "project": "vllm-medium",
        "release": RELEASE["path"],
        "service": "medium-prefetch",
        "container": "myia-vllm-medium-qwen3-prefetch",
        "models": [{"id": "Qwen/Qwen2.5-32B-Instruct-AWQ", "revision": "", "load_format": "auto"}],
        "hf_cache": "vllm-hf-cache",
        "lock": {},
    }
    documented = set(documentation("prefetch", "RETURN"))
    assert set(result) - {"changed", "warnings"} == documented - {"image"}
    assert printed[0] == "gpu-1 | weights: 1 B of 5 B (20 %)"


def test_image(run) -> None:
    """The other step."""
    facts = {"image": "i", "id": "sha256:a", "changed": False, "bytes": 0}
    result, asked, _waited = run({**ANSWER, "state": "complete", "facts": facts}, step="image", lock={"folder": "f"})
    assert result["image"] == {"name": "i", "id": "sha256:a"}
    assert (asked[0]["step"], asked[0]["lock"]) == ("image", {"folder": "f"})


def test_nothing_to_download(run) -> None:
    """A model of the host's own, or without prefetch: the host is not even asked."""
    for variables in ({"vllm_prefetch": False}, {"vllm_model": "/srv/m"}):
        result, asked, _waited = run(variables=variables)
        assert (result.get("failed"), result["changed"], result["weights"], asked) == (None, False, {"models": []}, [])


@pytest.mark.parametrize(
    ("step", "answer", "changed"),
    [
        ("weights", {**ANSWER, "state": "absent"}, True),
        ("weights", {**DONE, "state": "complete", "facts": {**MODEL_FACTS, "changed": False}}, False),
        ("image", {**ANSWER, "state": "absent", "facts": {"image": "i", "id": "", "changed": False, "bytes": 0}}, True),
        # with pull always nobody knows whether there is a newer one
        (
            "image",
            {**ANSWER, "state": "absent", "facts": {"image": "i", "id": "a", "changed": False, "bytes": 0}},
            False,
        ),
    ],
)
def test_check_mode(step, answer, changed, run) -> None:
    """One look."""
    result, asked, _waited = run(answer, check=True, step=step)
    assert (result.get("failed"), result["changed"]) == (None, changed)
    assert [item["do"] for item in asked] == ["inspect"]


LOST = [
    pytest.param(AnsibleConnectionFailure("no route"), id="exception"),
    pytest.param({"unreachable": True, "msg": "no route"}, id="unreachable"),
    pytest.param({"failed": True, "module_stdout": "", "module_stderr": "no route", "rc": 255, "msg": ""}, id="ended"),
]


@pytest.mark.parametrize("lost", LOST)
def test_connection_comes_back(lost, run, printed) -> None:
    """It is waited for, with a line, and then all goes on."""
    result, asked, waited = run(ANSWER, lost, lost, lost, DONE)
    assert (result.get("failed"), result["changed"]) == (None, True)
    assert [item["do"] for item in asked] == ["start", "inspect", "inspect", "inspect", "inspect", "clean"]
    assert waited == [1.0, 2.0, 4.0]
    assert printed[1] == "gpu-1 | connection lost, trying again (no route)"


@pytest.mark.parametrize("lost", LOST)
def test_connection_stays_away(lost, run) -> None:
    """After the time limit it fails, and says that the download goes on."""
    result, _asked, waited = run(*[lost] * 50, connection_timeout_s=40)
    assert result["failed"] is True
    assert result["msg"].splitlines()[0] == "The host has not answered for 40 s: no route"
    assert "goes on by itself" in result["msg"]
    assert result["msg"].endswith("The running service was not touched.")
    assert waited == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_broken_module(run) -> None:
    """A fault of the module itself is no lost connection."""
    answer = {
        "failed": True,
        "module_stdout": "",
        "module_stderr": "Traceback (most recent call last)",
        "rc": 1,
        "msg": "boom",
    }
    result, asked, _waited = run(answer)
    assert (result["failed"], len(asked)) == (True, 1)
    assert "boom" in result["msg"]


def test_failure(run) -> None:
    """One message and the diagnosis."""
    log = ["huggingface_hub.errors.GatedRepoError: 403 Client Error."]
    result, asked, _waited = run({**ANSWER, "state": "failed", "exit_code": 1, "log": log})
    assert (result["failed"], result["changed"], result["step"]) == (True, False, "weights")
    assert (result["diagnosis"]["id"], result["diagnosis"]["ref"]) == ("model-gated", "V50")
    assert result["msg"].splitlines()[0].startswith("model-gated (V50), in the phase download: ")
    assert asked[-1]["do"] == "clean"


def test_own_failures(run) -> None:
    """Entries of users count; ones that are none are refused before the host is asked."""
    entry = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["own failure"]}
    failed = {**ANSWER, "state": "failed", "exit_code": 1, "log": ["own failure"]}
    assert run(failed, extra_failures=[entry])[0]["diagnosis"]["id"] == "own"
    result, asked, _waited = run(extra_failures=[{"id": "x"}])
    assert (result["failed"], asked) == (True, [])
    assert "extra_failures, entry 1 (x): class is missing." in result["msg"]
