# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin service_checks, with a service that answers right in place of the module service_query."""

from __future__ import annotations

import copy

import pytest
from ansible.errors import AnsibleError

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import endpoint_checks

from ..plugin_utils.verify.test_endpoint_checks import KINDS, healthy, of_kind
from ..plugin_utils.verify.test_functional_checks import BUILTIN, RIGHT
from ..plugin_utils.verify.test_kind_checks import RIGHT as OF_KINDS

DEFINITION = {
    "served_model_name": "qwen",
    "max_model_len": 2048,
    "version": "0.32.0",
    "api_key_required": True,
    "publish_address": "0.0.0.0",
    "scheme": "http",
    "base_url": "http://127.0.0.1:5002",
    "container_name": "vllm-medium",
    "container_port": 5002,
    "dir": "/opt/vllm/medium",
    "extra_options": ["reasoning-parser", "enable-auto-tool-choice", "tool-call-parser"],
}
ENDPOINT_KINDS = ("paths", "http", "round_trip", "status_of_many", "model_files")
#: What the log of a service of each kind says.
TASKS = {
    "embed": ["embed", "token_embed"],
    "rerank": ["classify", "token_classify"],
    "classify": ["classify", "token_classify"],
    "token_classify": ["token_classify"],
    "reward": ["token_classify"],
    "transcription": ["transcription"],
}
FILES = {
    "rerank": {"labels": 1},
    "classify": {"labels": 4},
    "token_classify": {"architectures": ["BertForTokenClassification"]},
    "reward": {"architectures": ["Qwen2ForRewardModel"]},
}
CHATS = sorted(RIGHT)


@pytest.fixture
def run(action, monkeypatch, capsys):
    """Run the plugin; the module answers ``at_once`` questions a call, with ``changes``. Calls come second."""

    def call(
        at_once: int = 99, changes: dict | None = None, module=None, tasks: list | None = None, **args
    ) -> tuple[dict, list[dict]]:
        asked: list[dict] = []

        def query(module_name, module_args, task_vars, wrap_async):
            assert module_name == "myia.vllm.service_query"
            asked.append(copy.deepcopy(module_args))
            if module:
                return module(module_args)
            questions = module_args["questions"]
            told = []
            for question in questions[:at_once]:
                name = question["id"]
                known = {**healthy(), **(changes or {})} if question["kind"] in ENDPOINT_KINDS else {
                    **RIGHT, **(changes or {})}  # fmt: skip
                answer = known[name]
                told.append({"error": "", "duration_s": 0.1, "gone": False, **answer, "id": name})
            return {
                "answers": told,
                "left": [question["id"] for question in questions[at_once:]],
                "gone": False,
                "tasks": (["generate"] if tasks is None else tasks) if module_args["tasks"] else [],
                "published": {"status": 200, "error": "", "duration_s": 0.0} if module_args["url"] else {},
            }

        plugin = action("service_checks", args={"definition": DEFINITION, "checks": BUILTIN, **args})
        monkeypatch.setattr(plugin, "_execute_module", query)
        return plugin.run(task_vars={"inventory_hostname": "box"}), asked

    return call


def test_healthy_service(run) -> None:
    """Two round trips; every check passed."""
    result, asked = run()
    assert (result["ok"], result["problem"], result["kind"], result.get("failed")) == (True, "", "chat", None)
    assert (result["kinds"], result["kind_told_by"].startswith("the log line")) == (["chat"], True)
    assert (len(asked), asked[0]["url"], asked[1]["url"]) == (2, DEFINITION["base_url"], "")
    assert {(given["scheme"], given["port"]) for given in asked} == {("http", 5002)}
    assert {item["status"] for item in result["checks"]} == {"passed"}
    assert {item["group"] for item in result["checks"]} == {"endpoint", "access", "functional"}
    assert result["counts"]["passed"] == len(result["checks"])


def test_one_question_a_round_trip(run) -> None:
    """Whatever the time allows, every question is asked once, and the published address is asked for once."""
    result, asked = run(at_once=1)
    assert result["ok"]
    assert len(asked) == len(endpoint_checks.questions(DEFINITION)) + len(CHATS)
    # the address and the log are asked for once
    assert [bool(item["url"]) for item in asked].count(True) == 1
    assert [item["tasks"] for item in asked].count(True) == 1


def test_required_check_fails(run) -> None:
    result, _asked = run(changes={"arithmetic": {"message": {"content": "41"}}})
    assert (result["failed"], result["ok"], result["counts"]["failed"]) == (True, False, 1)
    assert "arithmetic" in result["msg"]
    result, _asked = run(changes={"arithmetic": {"message": {"content": "41"}}}, fail=False)
    assert (result.get("failed"), result["ok"]) == (None, False)


def test_warning_does_not_fail(run) -> None:
    result, _asked = run(changes={"latency": {"first_token_s": 99.0, "total_s": 99.0, "chunks": 1}})
    assert (result["ok"], result["counts"]["warned"]) == (True, 1)


def changes_of(kind: str) -> dict:
    """What differs from a service that chats: its endpoints, and its answers to the role's questions."""
    files = {**healthy()["files"], "chat_template": False, **FILES.get(kind, {})}
    right = {name: answer for name, answer, _evidence in OF_KINDS.values()}
    return {**right, **of_kind(kind), "files": files}


@pytest.mark.parametrize("kind", KINDS)
def test_service_of_another_kind(run, kind: str) -> None:
    """It is asked the questions of its kind, and nothing else is told of it."""
    result, asked = run(changes=changes_of(kind), tasks=TASKS[kind])
    assert (result["kind"], result["ok"], result["problem"]) == (kind, True, "")
    assert len(asked) == 2
    functional = [item["id"] for item in result["checks"] if item["group"] == "functional"]
    assert functional == [item["id"] for item in BUILTIN if item["kind"] == {"embed": "embed"}.get(kind, kind)]
    assert {item["status"] for item in result["checks"] if item["must"]} == {"passed"}


def test_own_check_for_another_kind_is_shown(run) -> None:
    """With the reason why it is not asked."""
    extra = [{"id": "mine", "kind": "chat", "prompt": "Hi", "expect": {"contains": "a"}}]
    result, _asked = run(changes=changes_of("embed"), tasks=TASKS["embed"], extra_checks=extra)
    found = next(item for item in result["checks"] if item["id"] == "mine")
    assert (found["status"], result["ok"]) == ("skipped", True)
    assert found["reason"].endswith("this one is embed")


def test_kind_that_cannot_be_told_apart(run) -> None:
    """What only one of the two must do is a warning."""
    changes = {**changes_of("rerank"), "files": {**healthy()["files"], "labels": 1, "chat_template": True}}
    changes["ranking"] = {**changes["ranking"], "order": [2, 1, 0]}
    result, _asked = run(changes=changes, tasks=TASKS["rerank"])
    assert (result["kind"], result["kinds"], result["ok"]) == ("", ["rerank", "reward"], True)
    found = next(item for item in result["checks"] if item["id"] == "ranking")
    assert (found["status"], found["must"]) == ("failed", False)


def test_chat_that_transcribes_is_asked_both(run) -> None:
    heard = {"transcription": {"status": 200, "body": "", "text": "a"}}
    heard["transcription-words"] = heard["transcription"]
    result, _asked = run(changes=heard, tasks=["generate", "transcription"])
    assert (result["kind"], result["ok"]) == ("chat", True)
    assert {"transcription", "chat"} <= {item["id"] for item in result["checks"]}


def test_length_of_the_service_counts(run) -> None:
    """Where the operator left it to vLLM, half of what /v1/models tells is left to the prompt."""
    _result, asked = run(definition={**DEFINITION, "max_model_len": None})
    limits = {item["id"]: item.get("max_tokens") for item in asked[1]["questions"]}
    assert limits["reasoning"] == 1024


@pytest.mark.parametrize("name", ["endpoint-metrics", "access-wrong-key", "endpoint-published", "chat"])
def test_any_check_can_be_left_out(run, name: str) -> None:
    result, _asked = run(skip=[name])
    assert name not in {item["id"] for item in result["checks"]}
    assert result["ok"]


def test_service_that_stops_answering(run) -> None:
    """What is left is not asked; all that is required of any service fails."""

    def module(args):
        first = [
            {"id": question["id"], "error": "ConnectError", "gone": True, "duration_s": 1.0, "status": 0}
            for question in args["questions"][:2]
        ]
        left = [question["id"] for question in args["questions"][2:]]
        return {"answers": first, "left": left, "gone": True, "published": {"status": -1, "error": "refused"}}

    result, asked = run(module=module)
    # no kind can be told, so no question to the model is begun
    assert (result["ok"], len(asked)) == (False, 1)
    must = {item["id"]: item["status"] for item in result["checks"] if item["must"]}
    assert set(must.values()) == {"failed"}
    assert "not asked" in result["msg"]


def test_nobody_to_ask(run) -> None:
    """No container: one message with what to do, and a result that a report can show."""
    result, _asked = run(module=lambda _args: {"failed": True, "msg": "Nobody can be asked: No such container: x"})
    assert result["failed"] is True
    assert (result["ok"], result["checks"], result["kind"]) == (False, [], "")
    assert "No such container: x Run watch_medium.yml" in result["msg"]


def test_lock_that_is_lost(run) -> None:
    """The run stops, asks nothing more, and the role can tell why."""
    lost = {
        "answers": [],
        "left": ["x"],
        "gone": False,
        "published": {},
        "lock_problem": "its lock was taken over by bob",
    }
    result, asked = run(module=lambda _args: lost, token="mine")
    assert (len(asked), asked[0]["token"], result["ok"]) == (1, "mine", False)
    assert result["lock_problem"] == "its lock was taken over by bob"
    assert result["msg"].startswith("This run stops: its lock was taken over by bob.")


def test_model_without_template_is_asked_no_question(run) -> None:
    """It completes texts, and that is what it is checked for."""
    refused = {"status": 400, "body": '{"error": {"message": "default chat template is no longer allowed"}}'}
    changes = {name: refused for name in ("chat", "chat-stream", "responses")}
    changes["completion"] = OF_KINDS["completion"][1]
    result, asked = run(changes=changes)
    assert (result["ok"], result["kind"], len(asked)) == (True, "base", 2)
    skipped = {item["id"]: item["reason"] for item in result["checks"] if item["status"] == "skipped"}
    assert {"endpoint-chat", "endpoint-chat-stream", "endpoint-responses", "concurrency", "chat"} <= set(skipped)
    completion = next(item for item in result["checks"] if item["id"] == "completion")
    assert completion["status"] == "passed"
    assert set(skipped.values()) == {"the model has no chat template"}


def test_host_that_is_away(run, monkeypatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)
    result, _asked = run(module=lambda _args: {"unreachable": True, "msg": "no route"}, connection_timeout_s=0)
    assert "did not answer for 0 s" in result["msg"]


def test_bad_checks_are_refused_before_anything_is_asked(run) -> None:
    with pytest.raises(AnsibleError, match="vllm_verify_skip: there is no check nothing"):
        run(skip=["nothing"])
