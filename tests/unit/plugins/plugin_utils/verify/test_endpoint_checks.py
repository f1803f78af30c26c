# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints are asked, and what is made of the answers: one healthy service, and one fault at a time."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import endpoint_checks, service_kind

DEFINITION = {
    "served_model_name": "qwen",
    "max_model_len": 2048,
    "version": "0.32.0",
    "api_key_required": True,
    "publish_address": "0.0.0.0",
    "scheme": "http",
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
    "/v1/audio/transcriptions": 401,
    "/v1/score": 401,
    "/v1/rerank": 401,
}
OPEN = {"/health": 200, "/version": 200, "/metrics": 200, "/ping": 200}


CHATS = service_kind.Told("chat", ("chat",), "its log")
NOT_THERE = {"detail": "Not Found"}


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
        "files": answer(problem="", architectures=["Qwen3ForCausalLM"], chat_template=True, vision=False, keys=[]),
        **{
            name: answer(404, NOT_THERE)
            for name in ("embeddings", "score", "rerank", "classify", "pooling", "transcriptions")
        },
        "without-key": answer(statuses=dict(GUARDED)),
        "wrong-key": answer(statuses=dict(GUARDED)),
        "open": answer(statuses=dict(OPEN)),
    }


def judged(answers: dict[str, dict], told: service_kind.Told = CHATS, definition: dict = DEFINITION) -> list[dict]:
    return endpoint_checks.judge(definition, answers, told)


def by_id(checks: list[dict]) -> dict[str, dict]:
    return {item["id"]: item for item in checks}


def test_every_question_is_asked_and_judged() -> None:
    """Each answer that judge reads is asked for, with an id of its own."""
    asked = [question["id"] for question in endpoint_checks.questions(DEFINITION)]
    assert sorted(asked) == sorted(healthy())
    guarded = next(item for item in endpoint_checks.questions(DEFINITION) if item["id"] == "wrong-key")
    assert {path for _method, path in guarded["routes"]} == set(GUARDED)
    checks = judged(healthy())
    assert {item["status"] for item in checks} == {"passed"}, checks
    assert [item["id"] for item in checks if item["group"] == "access"] == [
        "access-without-key",
        "access-wrong-key",
        "access-open",
        "access-unguarded",
    ]
    assert [item["id"] for item in checks if not item["must"]] == ["endpoint-kind", "access-unguarded"]
    assert {item["id"] for item in checks} <= set(endpoint_checks.IDS)


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
    checks = judged({**healthy(), asked: given})
    assert [item["id"] for item in checks if item["status"] != "passed"] == [name]
    found = by_id(checks)[name]
    assert found["status"] == "failed"
    assert reason in found["reason"]


def test_hidden_description_is_no_failure() -> None:
    """disable-fastapi-docs is a good idea."""
    checks = by_id(judged({**healthy(), "openapi": answer(404, paths={})}))
    assert checks["endpoint-openapi"]["status"] == "skipped"
    assert "disable-fastapi-docs" in checks["endpoint-openapi"]["reason"]


def test_description_that_answers_an_error() -> None:
    checks = by_id(judged({**healthy(), "openapi": answer(500, paths={})}))
    assert "found HTTP 500" in checks["endpoint-openapi"]["reason"]


def vector(numbers: object) -> dict:
    return answer(body={"data": [{"embedding": numbers}]})


#: For each kind what it has beside the common routes, and how its endpoints answer.
KINDS = {
    "embed": ("/v1/embeddings", {"embeddings": vector([0.1, 0.2])}),
    "rerank": (
        "/rerank /score /classify",
        {
            "rerank": answer(body={"results": [{"index": 0, "relevance_score": 0.0}]}),
            "score": answer(body={"data": [{"score": 0.5}]}),
        },
    ),
    "classify": ("/classify", {"classify": answer(body={"data": [{"label": "a", "probs": [0.5, 0.5]}]})}),
    "token_classify": ("/pooling", {"pooling": answer(body={"data": [{"data": [[0.5, 0.5]]}]})}),
    "reward": ("/pooling", {"pooling": answer(body={"data": [{"data": [0.5]}]})}),
    "transcription": ("/v1/audio/transcriptions", {"transcriptions": answer(422, {"detail": "Field required"})}),
}


def of_kind(kind: str) -> dict[str, dict]:
    """What a healthy service answers that does not write."""
    routes, answers = KINDS[kind]
    refused = dict.fromkeys(("chat", "chat-stream", "completions", "responses"), answer(404, NOT_THERE))
    paths = {path: [] for path in (*endpoint_checks.ROUTES, *routes.split())}
    # an encoder's tokenizer folds case
    lossy = answer(tokens=9, text="gruse, [UNK] and [UNK] from 42 tests.")
    return {**healthy(), **refused, **copy.deepcopy(answers), "openapi": answer(paths=paths), "tokenize": lossy}


def told(*kinds: str) -> service_kind.Told:
    return service_kind.Told(kinds[0] if len(kinds) == 1 else "", kinds, "its log")


@pytest.mark.parametrize("kind", KINDS)
def test_good_service_of_each_kind(kind: str) -> None:
    """It answers its own endpoints and refuses to chat; nothing of a chat is asked of it."""
    checks = by_id(judged(of_kind(kind), told(kind)))
    bad = {name: item["reason"] for name, item in checks.items() if item["status"] != "passed"}
    assert set(bad) <= {"access-unguarded"}, bad
    assert {"endpoint-" + part for part in endpoint_checks.REQUIRED[kind]} <= set(checks)
    assert checks["endpoint-chat"]["what"].endswith("this is a service of kind %s" % kind)
    assert not {"endpoint-completions", "endpoint-responses"} & set(checks)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_without_its_endpoints_fails(kind: str) -> None:
    answers = {**of_kind(kind), "openapi": answer(paths={path: [] for path in endpoint_checks.ROUTES})}
    answers.update(dict.fromkeys(endpoint_checks.REQUIRED[kind], answer(404, NOT_THERE)))
    bad = [item["id"] for item in judged(answers, told(kind)) if item["status"] == "failed"]
    assert bad == ["endpoint-openapi", *("endpoint-" + part for part in endpoint_checks.REQUIRED[kind])]


def test_what_is_left_of_several_kinds() -> None:
    """Only what all of them have in common is required."""
    checks = by_id(judged(of_kind("rerank"), told("rerank", "reward")))
    assert not {"endpoint-rerank", "endpoint-pooling", "endpoint-score"} & set(checks)
    assert checks["endpoint-chat"]["status"] == "passed"
    assert checks["endpoint-kind"]["evidence"].startswith("rerank or reward (not told apart), by its log")


def test_no_kind_at_all_fails() -> None:
    found = by_id(judged(healthy(), service_kind.Told("", (), "nothing tells it")))["endpoint-kind"]
    assert (found["status"], found["must"]) == ("failed", True)
    assert "nothing tells it" in found["reason"]


def test_another_kind_than_expected_is_a_warning() -> None:
    definition = {**DEFINITION, "kind": {"name": "embed"}}
    found = by_id(judged(healthy(), CHATS, definition))["endpoint-kind"]
    assert (found["status"], found["must"]) == ("failed", False)
    assert "found chat, by its log; expected embed" in found["reason"]
    assert by_id(judged(of_kind("embed"), told("embed"), definition))["endpoint-kind"]["status"] == "passed"


def test_vectors_of_tokens_only() -> None:
    """Late interaction has no vectors of texts, so no /v1/embeddings."""
    answers = {**of_kind("token_classify"), "score": answer(body={"data": [{"score": 3.0}]})}
    answers["openapi"] = answer(paths={path: [] for path in (*endpoint_checks.ROUTES, "/pooling", "/score")})
    checks = by_id(judged(answers, service_kind.Told("embed", ("embed",), "its log", tokens_only=True)))
    assert (checks["endpoint-pooling"]["status"], checks["endpoint-score"]["status"]) == ("passed", "passed")
    assert "endpoint-embeddings" not in checks


def test_long_vectors() -> None:
    """A body that was cut is no JSON any more."""
    answers = of_kind("embed")
    answers["embeddings"]["body"] = '{"data": [{"embedding": [0.1, 0.'
    assert by_id(judged(answers, told("embed")))["endpoint-embeddings"]["status"] == "passed"
    for body in ('{"data": []}', "<html>"):
        answers["embeddings"]["body"] = body
        assert by_id(judged(answers, told("embed")))["endpoint-embeddings"]["status"] == "failed"


@pytest.mark.parametrize(("wanted", "length"), [(None, 2048), ("auto", 2048), (-1, 2048), ("", 2048), (512, 512)])
def test_length_that_vllm_chooses(wanted: object, length: int) -> None:
    """What the operator did not say is what /v1/models says."""
    definition = {**DEFINITION, "max_model_len": wanted}
    assert endpoint_checks.length_of(definition, healthy()) == length
    found = by_id(judged(healthy(), CHATS, definition))["endpoint-models"]
    assert (found["status"] == "passed") == (wanted != 512)
    if wanted != 512:
        assert found["evidence"] == "qwen, 2048 tokens, chosen by vLLM"


def test_length_that_nobody_tells() -> None:
    """An adapter has none of its own."""
    models = answer(body={"data": [{"id": "base", "max_model_len": 2048}, {"id": "qwen", "max_model_len": None}]})
    definition = {**DEFINITION, "max_model_len": None}
    assert endpoint_checks.length_of(definition, {"models": models}) is None
    assert by_id(judged({**healthy(), "models": models}, CHATS, definition))["endpoint-models"]["status"] == "passed"


def test_kind_of_answers() -> None:
    """Log, routes, files and answers come together, and what was found before the start decides among the rest."""
    assert endpoint_checks.tell_kind(DEFINITION, ["generate"], healthy()).kind == "chat"
    refused = answer(400, {"error": {"message": "default chat template is no longer allowed"}})
    assert endpoint_checks.tell_kind(DEFINITION, ["generate"], {**healthy(), "chat": refused}).kind == "base"
    answers = {**of_kind("rerank"), "files": answer(problem="", chat_template=True)}
    assert endpoint_checks.tell_kind(DEFINITION, [], answers).candidates == ("rerank", "reward")
    assert endpoint_checks.tell_kind({**DEFINITION, "kind": {"name": "reward"}}, [], answers).kind == "reward"
    assert endpoint_checks.tell_kind(DEFINITION, [], {}).candidates == ()


def test_other_refusals_of_a_chat_are_failures() -> None:
    """Only the lack of a template excuses a model that generates."""
    given = answer(400, {"error": {"message": "max_tokens is too large"}})
    checks = judged({**healthy(), "chat": given})
    assert endpoint_checks.tell_kind(DEFINITION, ["generate"], {**healthy(), "chat": given}).kind == "chat"
    assert by_id(checks)["endpoint-chat"]["status"] == "failed"


def test_without_a_key_there_is_nothing_to_check() -> None:
    definition = {**DEFINITION, "api_key_required": False, "publish_address": "127.0.0.1"}
    asked = [question["id"] for question in endpoint_checks.questions(definition)]
    assert not {"without-key", "wrong-key", "open"} & set(asked)
    checks = by_id(judged({name: healthy()[name] for name in asked}, CHATS, definition))
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


def test_published_by_tls() -> None:
    """What is not tested is said."""
    found = endpoint_checks.published({**DEFINITION, "scheme": "https"}, {"status": 200, "error": ""})
    assert (found["status"], "certificate was not looked at" in found["evidence"]) == ("passed", True)


def test_not_asked_fails_whatever_was_asked() -> None:
    """A service that stopped answering fails every check that was left."""
    answers = {name: endpoint_checks.NOT_ASKED for name in healthy()}
    for kind in (CHATS, service_kind.Told("", (), "nothing tells it")):
        checks = [item for item in judged(answers, kind) if item["must"]]
        assert {item["status"] for item in checks if item["id"] != "endpoint-kind"} == {"failed"}


@pytest.mark.parametrize(
    ("models", "asked", "name", "reason"),
    [
        (["qwen", "sql", "tone"], {}, None, ""),
        (["qwen", "sql"], {}, "endpoint-models", "expected the adapter tone (vllm_lora_adapters)"),
        (["qwen", "sql", "tone"], {"adapter tone": answer(500, "no")}, "endpoint-adapters", "tone: "),
        (["qwen", "sql", "tone"], {"adapter sql": None}, "endpoint-adapters", "sql: "),
    ],
)
def test_adapters(models, asked, name, reason) -> None:
    """Each is listed and answers by its own name; its length is not told."""
    definition = {**DEFINITION, "lora_adapters": [{"name": "sql"}, {"name": "tone"}]}
    ids = [item["id"] for item in endpoint_checks.questions(definition)]
    assert {"adapter sql", "adapter tone"} <= set(ids)
    answers = healthy()
    answers["models"] = answer(
        body={"data": [{"id": id_, "max_model_len": 2048 if id_ == "qwen" else None} for id_ in models]}
    )
    answers.update({"adapter sql": answers["completions"], "adapter tone": answers["completions"], **asked})
    checks = by_id(judged({key: value for key, value in answers.items() if value}, definition=definition))
    bad = [item["id"] for item in checks.values() if item["status"] == "failed"]
    assert bad == ([name] if name else [])
    if name:
        assert reason in checks[name]["reason"]


def test_several_served_names() -> None:
    """All of them are listed."""
    definition = {**DEFINITION, "served_model_names": ["qwen", "gpt-4"]}
    checks = by_id(judged(healthy(), definition=definition))
    assert "expected gpt-4 (vllm_served_model_name)" in checks["endpoint-models"]["reason"]
