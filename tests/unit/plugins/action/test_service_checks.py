# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin service_checks, with a service that answers right in place of the module service_query."""

from __future__ import annotations

import copy

import pytest
from ansible.errors import AnsibleError

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import endpoint_checks

from ..plugin_utils.verify.test_endpoint_checks import healthy
from ..plugin_utils.verify.test_functional_checks import BUILTIN, RIGHT

DEFINITION = {
    "served_model_name": "qwen",
    "max_model_len": 2048,
    "version": "0.32.0",
    "api_key_required": True,
    "publish_address": "0.0.0.0",
    "base_url": "http://127.0.0.1:5002",
    "container_name": "vllm-medium",
    "port": 5002,
    "dir": "/opt/vllm/medium",
    "extra_options": ["reasoning-parser", "enable-auto-tool-choice", "tool-call-parser"],
}
ENDPOINT_KINDS = ("paths", "http", "round_trip", "status_of_many")


@pytest.fixture
def run(action, monkeypatch, capsys):
    """Run the plugin; the module answers ``at_once`` questions a call, with ``changes``. Calls come second."""

    def call(at_once: int = 99, changes: dict | None = None, module=None, **args) -> tuple[dict, list[dict]]:
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
                answer = (healthy() if question["kind"] in ENDPOINT_KINDS else RIGHT)[name]
                answer = (changes or {}).get(name, answer)
                told.append({"error": "", "duration_s": 0.1, "gone": False, **answer, "id": name})
            return {
                "answers": told,
                "left": [question["id"] for question in questions[at_once:]],
                "gone": False,
                "published": {"status": 200, "error": "", "duration_s": 0.0} if module_args["url"] else {},
            }

        plugin = action("service_checks", args={"definition": DEFINITION, "checks": BUILTIN, **args})
        monkeypatch.setattr(plugin, "_execute_module", query)
        return plugin.run(task_vars={"inventory_hostname": "box"}), asked

    return call


def test_healthy_service(run) -> None:
    """Two round trips; every check passed."""
    result, asked = run()
    assert (result["ok"], result["problem"], result["kind"], result.get("failed")) == (True, "", "generate", None)
    assert (len(asked), asked[0]["url"], asked[1]["url"]) == (2, DEFINITION["base_url"], "")
    assert {item["status"] for item in result["checks"]} == {"passed"}
    assert {item["group"] for item in result["checks"]} == {"endpoint", "access", "functional"}
    assert result["counts"]["passed"] == len(result["checks"])


def test_one_question_a_round_trip(run) -> None:
    """Whatever the time allows, every question is asked once, and the published address is asked for once."""
    result, asked = run(at_once=1)
    assert result["ok"]
    assert len(asked) == len(endpoint_checks.questions(DEFINITION)) + len(BUILTIN)
    assert [bool(item["url"]) for item in asked].count(True) == 1


def test_required_check_fails(run) -> None:
    result, _asked = run(changes={"arithmetic": {"message": {"content": "41"}}})
    assert (result["failed"], result["ok"], result["counts"]["failed"]) == (True, False, 1)
    assert "arithmetic" in result["msg"]
    result, _asked = run(changes={"arithmetic": {"message": {"content": "41"}}}, fail=False)
    assert (result.get("failed"), result["ok"]) == (None, False)


def test_warning_does_not_fail(run) -> None:
    result, _asked = run(changes={"latency": {"first_token_s": 99.0, "total_s": 99.0, "chunks": 1}})
    assert (result["ok"], result["counts"]["warned"]) == (True, 1)


def test_pooling_model_is_asked_no_question(run) -> None:
    changes = {
        "chat": {"status": 404, "body": ""},
        "embeddings": {"status": 200, "body": '{"data":[{"embedding":[1]}]}'},
        "openapi": {"status": 200, "paths": {path: [] for path in (*endpoint_checks.ROUTES, "/v1/embeddings")}},
    }
    result, asked = run(changes=changes)
    assert (result["kind"], result["ok"], len(asked)) == ("pooling", True, 1)
    reasons = {(item["status"], item["reason"]) for item in result["checks"] if item["group"] == "functional"}
    assert reasons == {("skipped", "this model gives embeddings, no text")}


def test_service_that_stops_answering(run) -> None:
    """What is left is not asked, and fails."""

    def module(args):
        first = [
            {"id": question["id"], "error": "ConnectError", "gone": True, "duration_s": 1.0, "status": 0}
            for question in args["questions"][:2]
        ]
        left = [question["id"] for question in args["questions"][2:]]
        return {"answers": first, "left": left, "gone": True, "published": {"status": -1, "error": "refused"}}

    result, asked = run(module=module)
    assert (result["ok"], len(asked)) == (False, 2)
    assert {item["status"] for item in result["checks"] if item["must"]} == {"failed"}
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
    """It completes texts, and that is all that it is checked for."""
    refused = {"status": 400, "body": '{"error": {"message": "default chat template is no longer allowed"}}'}
    changes = {name: refused for name in ("chat", "chat-stream", "responses")}
    result, asked = run(changes=changes)
    assert (result["ok"], result["kind"], len(asked)) == (True, "base", 1)
    skipped = {item["id"]: item["reason"] for item in result["checks"] if item["status"] == "skipped"}
    assert {"endpoint-chat", "endpoint-chat-stream", "endpoint-responses", "concurrency", "chat"} <= set(skipped)
    assert set(skipped.values()) == {"the model has no chat template"}


def test_host_that_is_away(run, monkeypatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)
    result, _asked = run(module=lambda _args: {"unreachable": True, "msg": "no route"}, connection_timeout_s=0)
    assert "did not answer for 0 s" in result["msg"]


def test_bad_checks_are_refused_before_anything_is_asked(run) -> None:
    with pytest.raises(AnsibleError, match="vllm_verify_skip: there is no check nothing"):
        run(skip=["nothing"])
