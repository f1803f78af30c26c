# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that asks inside the container, with a service of two functions in place of a vLLM.

That it works with the real client libraries and the real vLLM is shown by the Molecule scenario vllm_verify.
"""

from __future__ import annotations

import inspect
import json
import sys
import types

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.verify import client as verify_client


class Response:
    """As httpx gives it."""

    def __init__(self, status: int, body: object = None, content_type: str = "application/json") -> None:
        self.status_code, self.headers = status, {"content-type": content_type}
        self.text = body if isinstance(body, str) else json.dumps(body)

    def json(self):
        return json.loads(self.text)


class Service:
    """Answers by functions: ``requests`` of (method, path, body, key) and ``chats`` of (question, messages, more)."""

    model = "qwen"

    def __init__(self, requests=None, chats=None) -> None:
        self.requests, self.chats, self.asked = requests, chats, []

    def request(self, method, path, body=None, key="right", timeout_s=None):
        self.asked.append((method, path, body, key))
        return self.requests(method, path, body, key)

    def chat(self, question, messages, **more):
        self.asked.append((messages, more))
        return self.chats(messages, more)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_how_it_asks(scheme, monkeypatch) -> None:
    """By the scheme of the service, past any proxy, and without a look at the certificate."""
    asked = []
    httpx, openai = types.ModuleType("httpx"), types.ModuleType("openai")
    httpx.Client = lambda **more: asked.append(more)
    openai.OpenAI = lambda **more: asked.append(more)
    monkeypatch.setitem(sys.modules, "httpx", httpx)
    monkeypatch.setitem(sys.modules, "openai", openai)
    verify_client.Service({"scheme": scheme, "port": 5002, "model": "qwen", "timeout_s": 5})
    direct, for_openai, library = asked
    assert direct["base_url"] == "%s://127.0.0.1:5002" % scheme
    assert library["base_url"] == "%s://127.0.0.1:5002/v1" % scheme
    assert [(item["verify"], item["trust_env"]) for item in (direct, for_openai)] == [(False, False)] * 2


def test_http_keeps_both_ends_of_a_long_body() -> None:
    """The end of a stream tells whether it ended well."""
    long = "a" * verify_client.KEPT + "data: [DONE]"
    service = Service(lambda *_: Response(200, long, "text/event-stream"))
    told = verify_client.http(service, {"method": "POST", "path": "/x", "body": {}, "key": "none"})
    assert (told["status"], told["content_type"], len(told["body"])) == (
        200,
        "text/event-stream",
        verify_client.KEPT,
    )
    assert told["body"].endswith("data: [DONE]")
    assert service.asked == [("POST", "/x", {}, "none")]


@pytest.mark.parametrize(("status", "paths"), [(200, {"/health": ["get", "post"]}), (404, {})])
def test_paths(status: int, paths: dict) -> None:
    service = Service(lambda *_: Response(status, {"paths": {"/health": {"post": {}, "get": {}}}}))
    assert verify_client.paths(service, {}) == {"status": status, "paths": paths}


def test_status_of_many() -> None:
    """A POST without a body would be refused for that."""
    service = Service(lambda method, path, body, key: Response(401 if key == "none" else 200))
    told = verify_client.status_of_many(service, {"routes": [["GET", "/a"], ["POST", "/b"]], "key": "none"})
    assert told == {"statuses": {"/a": 401, "/b": 401}}
    assert [asked[2] for asked in service.asked] == [None, {}]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (Response(200, {"tokens": [1, 2]}), Response(200, {"prompt": "ü"}), (200, 2, "ü")),
        (Response(404, "no"), None, (404, 0, "")),
        (Response(200, {"tokens": [1]}), Response(500, "no"), (500, 1, "")),
    ],
)
def test_round_trip(first, second, told: tuple) -> None:
    service = Service(lambda _method, path, *_: first if path == "/tokenize" else second)
    found = verify_client.round_trip(service, {"text": "ü"})
    assert (found["status"], found["tokens"], found["text"]) == told


CALL = {"id": "7", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": ["a"]}}}


@pytest.fixture
def jsonschema(monkeypatch):
    """The library of the image, as far as it is used: an object lacks a key or does not."""

    class ValidationError(Exception):
        message = "'a' is a required property"

    def validate(found, schema):
        if set(schema.get("required", [])) - set(found):
            raise ValidationError

    module = types.SimpleNamespace(validate=validate, ValidationError=ValidationError)
    monkeypatch.setitem(sys.modules, "jsonschema", module)


def test_tool_result_is_handed_back(jsonschema) -> None:
    """The turn after the call holds the model's own call, and an answer for each of its calls."""
    service = Service(chats=lambda messages, _more: {"tool_calls": [CALL]} if len(messages) == 1 else {"content": "18"})
    told = verify_client.tools(service, {"messages": [{"role": "user"}], "tools": [TOOL], "result": {"t": 18}})
    assert (told["follow_up"], told["schema_problem"]) == ({"content": "18"}, "")
    assert service.asked[1][0][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "7", "content": '{"t": 18}'},
    ]


@pytest.mark.parametrize(
    ("calls", "result", "problem", "chats"),
    [
        ([], {}, "", 1),
        ([CALL], None, "", 1),
        ([{**CALL, "function": {"name": "f", "arguments": "{}"}}], None, "'a' is a required property", 1),
        ([{**CALL, "function": {"name": "f", "arguments": "a"}}], None, "no JSON", 1),
        ([{**CALL, "function": {"name": "g", "arguments": "{}"}}], {}, "", 2),
    ],
)
def test_tool_calls_that_end_there(jsonschema, calls: list, result, problem: str, chats: int) -> None:
    service = Service(chats=lambda *_: {"tool_calls": calls})
    told = verify_client.tools(service, {"messages": [{"role": "user"}], "tools": [TOOL], "result": result})
    assert problem in told["schema_problem"]
    assert bool(problem) == bool(told["schema_problem"])
    assert len(service.asked) == chats


def test_structured(jsonschema) -> None:
    service = Service(chats=lambda _messages, more: {"content": json.dumps(more["response_format"]["json_schema"])})
    schema = {"required": ["name", "schema"]}
    assert verify_client.structured(service, {"messages": [], "schema": schema})["schema_problem"] == ""
    assert verify_client.structured(service, {"messages": [], "schema": {"required": ["x"]}})["schema_problem"]


def words(messages: list) -> int:
    """Tokens of a chat: its words and ten of the template."""
    return 10 + len(messages[0]["content"].split())


@pytest.mark.parametrize("tokens", [40, 100, 1843, 117964])
@pytest.mark.parametrize("depth", [0, 0.5, 1])
def test_needle_is_hidden_in_a_text_as_long_as_wanted(tokens: int, depth: float) -> None:
    """Within one repeat of the filler, at the depth that was asked for."""
    seen = []
    service = Service(
        lambda _method, _path, body, _key: Response(200, {"count": words(body["messages"])}),
        lambda messages, _more: seen.append(messages[0]["content"]) or {"content": "apple"},
    )
    question = {"tokens": tokens, "depth": depth, "filler": "The sky is blue.", "needle": "NEEDLE", "prompt": "What?"}
    told = verify_client.needle(service, question)
    assert tokens - 4 <= told["prompt_tokens"] <= tokens
    before, after = seen[0].split("NEEDLE")
    share = len(before) / (len(before) + len(after))
    assert abs(share - depth) < 0.2
    assert seen[0].endswith("\n\nWhat?")


def test_needle_in_a_context_that_is_too_short() -> None:
    """It asks all the same, and what the service says is told."""
    service = Service(lambda *_: Response(200, {"count": 999}), lambda *_: {"content": ""})
    question = {"tokens": 10, "depth": 0.5, "filler": "a", "needle": "b", "prompt": "c"}
    assert verify_client.needle(service, question)["prompt_tokens"] == 999


def test_many_at_a_time() -> None:
    """One that fails leaves the others."""
    numbers = iter(range(5))

    def chats(*_):
        if next(numbers) == 2:
            raise ValueError("no")
        return {"content": "x"}

    told = verify_client.many(Service(chats=chats), {"requests": 5, "messages": []})
    assert (len(told["messages"]), told["errors"]) == (4, ["ValueError: no"])


class Gone(Exception):
    """As httpx.TransportError."""


class Refused(Exception):
    status_code, body = 400, {"message": "bad request"}


@pytest.fixture
def kinds(monkeypatch):
    """Kinds of questions that end as their names say, and a clock that each question moves on by ten seconds."""
    clock = [0.0]

    def ends(error):
        def ask(_service, _question):
            clock[0] += 10
            if error:
                raise error
            return {"told": True}

        return ask

    monkeypatch.setattr(verify_client.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        verify_client, "KINDS", {"well": ends(None), "gone": ends(Gone("x")), "refused": ends(Refused())}
    )
    monkeypatch.setitem(sys.modules, "httpx", types.SimpleNamespace(TransportError=Gone))
    monkeypatch.setitem(sys.modules, "openai", types.SimpleNamespace(APIConnectionError=Gone))


@pytest.mark.parametrize(
    ("asked", "budget_s", "answered", "gone"),
    [
        ("well well well", 100, 3, False),
        ("well well well", 15, 2, False),
        ("well well", 0, 1, False),
        ("gone well gone well", 100, 4, False),
        ("gone gone well", 100, 2, True),
        ("refused refused refused", 100, 3, False),
        ("", 100, 0, False),
    ],
)
def test_asks_until_the_time_is_over_or_nobody_answers(kinds, asked, budget_s, answered, gone) -> None:
    questions = [{"id": str(number), "kind": kind} for number, kind in enumerate(asked.split())]
    told = verify_client.answers({"questions": questions, "budget_s": budget_s}, None)
    assert [item["id"] for item in told["answers"]] == [str(number) for number in range(answered)]
    assert told["left"] == [str(number) for number in range(answered, len(questions))]
    assert told["gone"] is gone


def test_errors_are_answers(kinds) -> None:
    refused = verify_client.answer(None, {"id": "a", "kind": "refused"})
    assert refused == {"status": 400, "id": "a", "error": "Refused: bad request", "gone": False, "duration_s": 10}
    assert verify_client.answer(None, {"id": "a", "kind": "gone"})["gone"] is True
    assert "KeyError" in verify_client.answer(None, {"id": "a", "kind": "unknown"})["error"]
    assert verify_client.answer(None, {"id": "a", "kind": "well"})["error"] == ""


def test_the_program_needs_nothing_of_the_collection() -> None:
    """It runs in the image, where there is no Ansible."""
    source = inspect.getsource(verify_client)
    assert "ansible" not in source
    # Linux takes no longer argument (MAX_ARG_STRLEN, 128 KiB)
    assert len(source.encode()) < 100_000
