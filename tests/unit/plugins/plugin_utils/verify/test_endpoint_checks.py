# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints are asked, and what is made of the answers: one healthy service, and one fault at a time."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import endpoint_checks

DEFINITION = {
    "served_model_name": "qwen",
    "max_model_len": 2048,
    "version": "0.32.0",
    "api_key_required": True,
    "publish_address": "0.0.0.0",
    "base_url": "http://127.0.0.1:5002",
}
ROUTES = [
    "/load",
    "/version",
    "/health",
    "/metrics",
    "/tokenize",
    "/detokenize",
    "/v1/models",
    "/ping",
    "/invocations",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
]
CHAT = {"choices": [{"message": {"content": "Hello", "role": "assistant"}}], "usage": {"completion_tokens": 8}}
GUARDED = {
    "/v1/models": 401,
    "/v1/chat/completions": 401,
    "/v1/completions": 401,
    "/v1/responses": 401,
    "/v1/embeddings": 401,
}
OPEN = {"/health": 200, "/version": 200, "/metrics": 200, "/ping": 200}


def answer(status: int = 200, body: object = "", **more) -> dict:
    """An answer to a question of kind http."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {"status": status, "body": text, "content_type": "application/json", "error": "", "duration_s": 0.1, **more}


def healthy() -> dict[str, dict]:
    """What a healthy vLLM 0.32 with a key answers."""
    stream = 'data: {"choices": []}\n\ndata: {"choices": []}\n\ndata: [DONE]\n'
    return {
        "openapi": answer(paths={path: ["get"] for path in ROUTES if path != "/invocations"}),
        "health": answer(),
        "version": answer(body={"version": "0.32.0+cpu"}),
        "models": answer(body={"data": [{"id": "qwen", "max_model_len": 2048}]}),
        "chat": answer(body=CHAT),
        "chat-stream": answer(body=stream, content_type="text/event-stream; charset=utf-8"),
        "completions": answer(body={"choices": [{"text": "Hi"}], "usage": {"completion_tokens": 8}}),
        "responses": answer(body={"object": "response", "status": "incomplete", "output": [{"type": "reasoning"}]}),
        "tokenize": answer(tokens=30, text=endpoint_checks.ROUND_TRIP),
        "metrics": answer(body='# HELP\nvllm:num_requests_running{engine="0"} 0.0\n'),
        "embeddings": answer(404, {"detail": "Not Found"}),
        "without-key": answer(statuses=dict(GUARDED)),
        "wrong-key": answer(statuses=dict(GUARDED)),
        "open": answer(statuses=dict(OPEN)),
    }


def by_id(checks: list[dict]) -> dict[str, dict]:
    return {item["id"]: item for item in checks}


def test_every_question_is_asked_and_judged() -> None:
    """Each answer that judge reads is asked for, with an id of its own."""
    asked = [question["id"] for question in endpoint_checks.questions(DEFINITION)]
    assert sorted(asked) == sorted(healthy())
    guarded = next(item for item in endpoint_checks.questions(DEFINITION) if item["id"] == "wrong-key")
    assert {path for _method, path in guarded["routes"]} == set(GUARDED)
    checks = endpoint_checks.judge(DEFINITION, healthy())
    assert {item["status"] for item in checks} == {"passed"}, checks
    assert [item["id"] for item in checks if item["group"] == "access"] == [
        "access-without-key",
        "access-wrong-key",
        "access-open",
        "access-unguarded",
    ]
    assert [item["id"] for item in checks if not item["must"]] == ["access-unguarded"]


FAULTS = {
    "a route is missing": ("openapi", answer(paths={"/health": ["get"]}), "endpoint-openapi", "/v1/chat/completions"),
    "no health": ("health", answer(503, "dead"), "endpoint-health", "found HTTP 503, expected 200"),
    "another release": ("version", answer(body={"version": "0.11.0"}), "endpoint-version", "found 0.11.0, expected"),
    "no version": ("version", answer(body="<html>"), "endpoint-version", "tells no version"),
    "another model": (
        "models",
        answer(body={"data": [{"id": "other"}]}),
        "endpoint-models",
        "found other, expected qwen",
    ),
    "another length": (
        "models",
        answer(body={"data": [{"id": "qwen", "max_model_len": 1024}]}),
        "endpoint-models",
        "found 1024 tokens",
    ),
    "models is a list": ("models", answer(body=[1]), "endpoint-models", "no model"),
    "no token": ("chat", answer(body={"choices": [], "usage": {}}), "endpoint-chat", "no token"),
    "an answer of no length": (
        "chat",
        answer(body={**CHAT, "usage": {"completion_tokens": 0}}),
        "endpoint-chat",
        "no token",
    ),
    "chat dies": ("chat", {"error": "ConnectError: refused", "duration_s": 1.0}, "endpoint-chat", "no answer: Connect"),
    "stream without end": (
        "chat-stream",
        answer(body='data: {"a": 1}\n', content_type="text/event-stream"),
        "endpoint-chat-stream",
        "[DONE]",
    ),
    "stream that is none": ("chat-stream", answer(body=CHAT), "endpoint-chat-stream", "expected text/event-stream"),
    "completion fails": ("completions", answer(500, "oops"), "endpoint-completions", "found HTTP 500"),
    "empty response": (
        "responses",
        answer(body={"object": "response", "output": []}),
        "endpoint-responses",
        "no output",
    ),
    "text is mangled": ("tokenize", answer(tokens=3, text="Gr"), "endpoint-tokenize", "expected"),
    "no detokenizer": ("tokenize", answer(404, tokens=3, text=""), "endpoint-tokenize", "found HTTP 404"),
    "other metrics": ("metrics", answer(body="python_gc 1"), "endpoint-metrics", "vllm:num_requests_running"),
    "no metrics": ("metrics", answer(404), "endpoint-metrics", "found HTTP 404"),
    "embeddings of a generating model": ("embeddings", answer(body={"data": []}), "endpoint-embeddings", "it answers"),
    "embeddings crash": ("embeddings", answer(500), "endpoint-embeddings", "found HTTP 500, expected a refusal"),
    "no key needed": (
        "without-key",
        answer(statuses={**GUARDED, "/v1/completions": 200}),
        "access-without-key",
        "/v1/completions",
    ),
    "a body is looked at before the key": (
        "without-key",
        answer(statuses={**GUARDED, "/v1/responses": 400}),
        "access-without-key",
        "/v1/responses",
    ),
    "any key will do": ("wrong-key", answer(statuses={**GUARDED, "/v1/models": 200}), "access-wrong-key", "/v1/models"),
    "health needs a key": ("open", answer(statuses={**OPEN, "/health": 401}), "access-open", "/health (401)"),
    "inference without a key": (
        "openapi",
        answer(paths={path: [] for path in ROUTES}),
        "access-unguarded",
        "/invocations",
    ),
}


@pytest.mark.parametrize(("asked", "given", "name", "reason"), FAULTS.values(), ids=FAULTS)
def test_one_fault(asked: str, given: dict, name: str, reason: str) -> None:
    """Exactly the check that is about it fails, and says what was found."""
    checks = endpoint_checks.judge(DEFINITION, {**healthy(), asked: given})
    assert [item["id"] for item in checks if item["status"] != "passed"] == [name]
    found = by_id(checks)[name]
    assert found["status"] == "failed"
    assert reason in found["reason"]


def test_hidden_description_is_no_failure() -> None:
    """disable-fastapi-docs is a good idea."""
    checks = by_id(endpoint_checks.judge(DEFINITION, {**healthy(), "openapi": answer(404, paths={})}))
    assert checks["endpoint-openapi"]["status"] == "skipped"
    assert "disable-fastapi-docs" in checks["endpoint-openapi"]["reason"]


def test_description_that_answers_an_error() -> None:
    checks = by_id(endpoint_checks.judge(DEFINITION, {**healthy(), "openapi": answer(500, paths={})}))
    assert "found HTTP 500" in checks["endpoint-openapi"]["reason"]


POOLING = {
    "openapi": answer(
        paths={path: [] for path in ("/health", "/version", "/v1/models", "/tokenize", "/detokenize", "/v1/embeddings")}
    ),
    "embeddings": answer(body={"data": [{"embedding": [0.1, 0.2]}]}),
    "chat": answer(404, {"detail": "Not Found"}),
}


def test_pooling_model() -> None:
    """It gives vectors and refuses to chat; a vector too long for the answer to be kept whole is one too."""
    answers = {**healthy(), **copy.deepcopy(POOLING)}
    assert endpoint_checks.kind(answers) == "pooling"
    checks = by_id(endpoint_checks.judge(DEFINITION, answers))
    assert {item["status"] for item in checks.values()} == {"passed"}, checks
    assert checks["endpoint-embeddings"]["evidence"] == "2 numbers"
    assert "endpoint-completions" not in checks
    answers["embeddings"]["body"] = '{"data": [{"embedding": [0.1, 0.'
    assert by_id(endpoint_checks.judge(DEFINITION, answers))["endpoint-embeddings"]["status"] == "passed"
    answers["embeddings"]["body"] = '{"data": []}'
    assert by_id(endpoint_checks.judge(DEFINITION, answers))["endpoint-embeddings"]["status"] == "failed"


@pytest.mark.parametrize("status", [0, 500])
def test_broken_chat_makes_no_pooling_model(status: int) -> None:
    """Only a refusal does, and only where embeddings answer."""
    assert endpoint_checks.kind({"chat": {"status": status}, "embeddings": {"status": 200}}) == "generate"
    assert endpoint_checks.kind({"chat": {"status": 404}, "embeddings": {"status": 404}}) == "generate"


def test_other_refusals_of_a_chat_are_failures() -> None:
    """Only the lack of a template excuses a model that generates."""
    given = answer(400, {"error": {"message": "max_tokens is too large"}})
    checks = endpoint_checks.judge(DEFINITION, {**healthy(), "chat": given})
    assert endpoint_checks.kind({**healthy(), "chat": given}) == "generate"
    assert by_id(checks)["endpoint-chat"]["status"] == "failed"


def test_without_a_key_there_is_nothing_to_check() -> None:
    definition = {**DEFINITION, "api_key_required": False, "publish_address": "127.0.0.1"}
    asked = [question["id"] for question in endpoint_checks.questions(definition)]
    assert not {"without-key", "wrong-key", "open"} & set(asked)
    checks = by_id(endpoint_checks.judge(definition, {name: healthy()[name] for name in asked}))
    assert checks["access-key"]["status"] == "skipped"
    assert "127.0.0.1" in checks["access-key"]["reason"]


@pytest.mark.parametrize(
    ("seen", "status", "reason"),
    [
        ({"status": 200, "error": "", "duration_s": 0.1}, "passed", ""),
        ({"status": 503, "error": ""}, "failed", "found HTTP 503"),
        (
            {"status": -1, "error": "Connection refused"},
            "failed",
            "no answer on http://127.0.0.1:5002: Connection refused",
        ),
    ],
)
def test_published(seen: dict, status: str, reason: str) -> None:
    """A service that answers inside its container only is of no use."""
    found = endpoint_checks.published(DEFINITION, seen)
    assert (found["status"], found["must"]) == (status, True)
    assert reason in found["reason"]


def test_not_asked_fails_whatever_was_asked() -> None:
    """A service that stopped answering fails every check that was left."""
    answers = {name: endpoint_checks.NOT_ASKED for name in healthy()}
    checks = endpoint_checks.judge(DEFINITION, answers)
    assert {item["status"] for item in checks if item["id"] != "access-unguarded"} == {"failed"}
