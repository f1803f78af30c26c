# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin benchmark: what it asks the host for, what it returns, and a connection that breaks."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.myia.vllm.plugins.action import benchmark as plugin_file
from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import watcher as benchmark_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.common import retry

PROFILES = {"latency": [{"num_prompts": 5, "max_concurrency": 1, "input_tokens": 64, "output_tokens": 16}],
            "long": [{"num_prompts": 5, "input_tokens": 200000, "output_tokens": 16}]}  # fmt: skip
RUN = {"name": "1 at a time", "request_rate": None, **PROFILES["latency"][0]}
ANSWER = {"state": "running", "begun": True, "index": 0, "x": 0, "measured": 0, "kept_in": "", "problem": "",
          "lines": [], "other": {}, "note": "", "result": {}}  # fmt: skip
FIGURES = {**RUN, "completed": 5, "failed": 0, "duration_s": 1.0, "request_throughput": 5.0, "output_throughput": 80.0,
           "total_token_throughput": 400.0, "ttft_ms": {"p50": 1.0}, "tpot_ms": {"p50": 1.0}, "ok": True,
           "problem": ""}  # fmt: skip
RESULT = {"ok": True, "problem": "", "profile": "latency", "at": "T", "release": "r", "vllm_version": "0.32.0",
          "model": "m", "path": "/opt/vllm/medium/benchmarks/b", "runs": [FIGURES], "compared": {},
          "warnings": ["w"]}  # fmt: skip
OVER = ({**ANSWER, "state": "ended"}, {**ANSWER, "state": "ended", "result": RESULT})


@pytest.fixture
def printed(monkeypatch) -> list[str]:
    """The lines that go to the operator."""
    lines = []
    monkeypatch.setattr(plugin_file.live, "write", lines.append)
    return lines


@pytest.fixture
def run(action, monkeypatch, medium, printed):
    """Run the plugin against these answers; returns (result, what the module benchmark_step was asked).

    ``service`` is what the module service_query tells of the service.
    """

    def call(*answers, check: bool = False, service: dict | None = None, variables: dict | None = None, **args):
        given = {"definition": medium(variables or {}), "profile": "latency", "profiles": PROFILES, **args}
        plugin = action("benchmark", args=given)
        plugin._task.check_mode = check
        asked, left, now = [], list(answers), [0.0]

        def execute(module_name, module_args, task_vars=None, wrap_async=False):
            if module_name == "myia.vllm.service_query":
                call.queried = module_args
                return {"failed": True, "msg": "no container"} if service is None else service
            assert module_name == "myia.vllm.benchmark_step"
            asked.append(dict(module_args))
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        def sleep(seconds: float) -> None:
            now[0] += seconds

        monkeypatch.setattr(plugin, "_execute_module", execute)
        monkeypatch.setattr(benchmark_watcher, "POLL_S", 0.0)
        monkeypatch.setattr(retry.time, "sleep", sleep)
        monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
        return plugin.run(task_vars={"inventory_hostname": "gpu-1"}), asked

    return call


def test_measured(run, documentation, printed) -> None:
    """The result is what is documented, and the task has changed something: files on the host."""
    result, asked = run(ANSWER, *OVER)
    assert {key: result[key] for key in RESULT} == RESULT
    assert (result.get("failed"), result["changed"]) == (None, True)
    assert set(result) - {"changed"} == set(documentation("benchmark", "RETURN"))
    assert set(FIGURES) <= set(documentation("benchmark", "RETURN")["runs"]["contains"])
    assert [item["do"] for item in asked] == ["start", "inspect", "finish"]
    assert {key: value for key, value in asked[0].items() if key not in ("token", "who")} == {
        "do": "start", "dead": [], "project": "vllm-medium", "container": "myia-vllm-medium-qwen3",
        "folder": "/opt/vllm/medium", "profile": "latency", "runs": [RUN], "work": "generate", "on_busy": False,
        "timeout_s": 3600, "keep": 20, "warn_percent": 10.0,
    }  # fmt: skip
    assert len({item["token"] for item in asked}) == 1
    assert asked[0]["who"]
    assert len(asked[0]["token"].split(":")) == 4
    assert printed[0] == "gpu-1: myia-vllm-medium-qwen3 | latency: run 1 of 1 (1 at a time), begins"


@pytest.mark.parametrize(
    ("variables", "port", "scheme"),
    [
        ({}, 5002, "http"),
        ({"vllm_container_port": 8000}, 8000, "http"),
        ({"vllm_ssl_certfile": "/c", "vllm_ssl_keyfile": "/k"}, 5002, "https"),
    ],
)
def test_where_the_kind_is_asked_for(variables, port, scheme, run) -> None:
    """Inside the container, so at its port."""
    run(ANSWER, *OVER, variables=variables)
    assert (run.queried["port"], run.queried["scheme"]) == (port, scheme)


@pytest.mark.parametrize("fail", [True, False])
def test_incomplete(run, fail) -> None:
    """Figures that are not complete fail the task, unless it is told not to."""
    bad = {**RESULT, "ok": False, "problem": "one: 2 of 5 requests failed."}
    result, _asked = run(OVER[0], {**OVER[1], "result": bad}, fail=fail, on_busy=True)
    assert (result.get("failed", False), result["problem"], result["changed"]) == (fail, bad["problem"], True)
    assert ("msg" in result) == fail


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([{**ANSWER, "state": "refused", "problem": "There is no container c."}],
         "There is no container c. Run watch_medium.yml to see how the service is, or deploy_medium.yml to start it."),
        ([{**ANSWER, "state": "other", "other": {"token": "x", "who": "them", "at": "T", "silent_s": 2}}],
         "A benchmark of this service runs already, of them since T;"),
        ([{"failed": True, "msg": "boom hf_abcdefghijklmnop"}], "The host cannot be asked: boom hf_***"),
        ([{"failed": True, "module_stderr": "sudo: no", "module_stdout": "", "rc": 127}],
         "The host cannot be asked: sudo: no"),
    ],
)  # fmt: skip
def test_not_measured(run, documentation, answers, problem) -> None:
    """A result of the same shape, with the reason; nothing was changed."""
    result, _asked = run(*answers, fail=False)
    assert result["problem"].startswith(problem)
    assert (result["ok"], result["changed"], result["runs"], result["path"]) == (False, False, [], "")
    assert set(result) - {"changed"} == set(documentation("benchmark", "RETURN"))


def test_busy(run) -> None:
    """A service that refused after all."""
    busy = {**RESULT, "ok": False, "problem": "The service does not answer: x", "path": ""}
    result, _asked = run(OVER[0], {**OVER[1], "begun": False, "result": busy})
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == "The service does not answer: x Run watch_medium.yml to see how the service is, or " \
        "deploy_medium.yml to start it."  # fmt: skip


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"profile": "long"}, "the service takes 131072 (vllm_max_model_len)"),
        ({"profile": "none"}, "vllm_benchmark_profile: there is no profile none."),
        ({"keep": 0}, "vllm_benchmark_keep: found 0; set 1 or more."),
        ({"timeout_s": -1}, "vllm_benchmark_timeout_s: found -1; set 0 or more."),
        ({"warn_percent": -1}, "vllm_benchmark_warn_percent: found -1.0; set 0 or more."),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_values(run, args, said, check) -> None:
    """Refused before anything is measured, in check mode too, and whatever ``fail`` says."""
    result, asked = run(check=check, fail=False, **args)
    assert (result["failed"], result["ok"], result["changed"], asked) == (True, False, False, [])
    assert said in result["msg"]


def test_check_mode(run, printed) -> None:
    """Says what would be measured, and begins nothing."""
    result, asked = run(check=True)
    would = (
        "Would send 5 requests in 1 runs (latency) to myia-vllm-medium-qwen3 and keep the figures in "
        "/opt/vllm/medium/benchmarks."
    )
    assert (result["ok"], result["changed"], result["msg"], asked) == (True, True, would, [])
    assert printed == ["gpu-1: myia-vllm-medium-qwen3 | " + would]


LOST = AnsibleConnectionFailure("ssh: no route")


def test_connection_comes_back(run, printed) -> None:
    """It goes on where it was."""
    result, asked = run(ANSWER, LOST, {"unreachable": True, "msg": "still"}, *OVER)
    assert result["ok"]
    assert [item["do"] for item in asked] == ["start", "inspect", "inspect", "inspect", "finish"]
    assert sum("connection lost" in line for line in printed) == 1


def test_connection_stays_away(run) -> None:
    """A problem like any other, after the time that it has."""
    result, _asked = run(ANSWER, *[LOST] * 10, connection_timeout_s=5)
    assert (result["failed"], result["ok"], result["runs"]) == (True, False, [])
    assert result["msg"].startswith("The host did not answer for 5 s while its service was measured: ssh: no route.")


def told(tasks: list[str], length: int = 512, **files) -> dict:
    """What service_query tells of a service."""
    models = {"data": [{"id": "Qwen2.5-32B-Instruct-AWQ", "max_model_len": length}]}
    one = {"error": "", "status": 200}
    return {
        "tasks": tasks,
        "answers": [
            {"id": "models", **one, "body": json.dumps(models)},
            {"id": "files", **one, "problem": "", "labels": 1, **files},
        ],
    }


@pytest.mark.parametrize(
    ("service", "work", "tokens"),
    [
        (told(["generate"]), "generate", 64),
        (told(["embed", "token_embed"]), "embed", 64),
        (told(["classify", "token_classify"], keys=["sentence_transformers"]), "rerank", 64),
        # not told apart from a reward model: it has /rerank
        (told(["classify", "token_classify"], chat_template=True), "rerank", 64),
        (told(["embed"], length=48), "embed", 40),
    ],
)
def test_work_is_that_of_the_kind(run, medium, service, work, tokens) -> None:
    """A prompt that is too long for an encoder is as long as it takes."""
    definition = {**medium({}), "max_model_len": None}
    _result, asked = run(*OVER, service=service, definition=definition)
    assert asked[0]["work"] == work
    assert asked[0]["runs"][0]["input_tokens"] == tokens
    assert (asked[0]["runs"][0]["output_tokens"] is None) == (work != "generate")


@pytest.mark.parametrize("fail", [True, False])
@pytest.mark.parametrize(
    ("service", "kind"),
    [
        (told(["classify", "token_classify"], labels=4), "classify"),
        (told(["classify"], architectures=["XForRewardModel"]), "reward"),
        (told(["transcription"]), "transcription"),
    ],
)
def test_kinds_that_are_not_measured(run, printed, service, kind, fail) -> None:
    """Said, with the reason; only who asked for figures alone fails."""
    result, asked = run(service=service, fail=fail)
    assert asked == []
    assert (result["ok"], result.get("failed", False)) == (False, fail)
    assert "A service of kind %s is not measured" % kind in result["problem"]
    assert any("is not measured" in line for line in printed)
