# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a running service questions and tell what it answered; whether an answer is right is judged elsewhere.

This file runs INSIDE the service's own container, as ``python3 -c <this text>`` with the questions as JSON on standard
input, and with the text of ``kind_questions.py``, which knows those for other kinds of service than chat. It uses what
vLLM's image carries anyway: the ``openai`` client, and ``httpx``, which that client is built on (tried with openai 3.57
and httpx 0.28 of vLLM 0.32). So a host needs nothing, and the API key never leaves the container: it is read from its
environment. It prints one JSON object as the last line: ``answers``, ``left`` (ids of questions that were not asked)
and ``gone`` (whether that is because the service does not answer any more, else the time was over).

A question is a dictionary with ``id``, ``kind`` (a key of KINDS) and what that kind needs; an answer has ``id``,
``duration_s``, ``error`` (empty when the service answered as HTTP should), ``gone`` (whether no answer came at all) and
what that kind tells.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import sys
import time

#: Characters of a body or text that an answer keeps: long enough for every list of models and for a line of evidence.
KEPT = 20_000

#: A key that no service has.
_WRONG_KEY = "wrong-key-sent-by-vllm-verify"

#: Questions without any answer, one after the other, after which no more are asked: an engine that hangs would let each
#: of them wait for its whole time.
_GONE = 2

#: Most tries to make a text as long as wanted; each asks the service to count its tokens.
_COUNT_TRIES = 6


class Service:
    """The service as its clients see it."""

    def __init__(self, settings: dict) -> None:
        """Take ``scheme``, ``port``, ``model`` (served name) and ``timeout_s`` (of one request).

        A certificate is not looked at: it names what clients ask for, not 127.0.0.1.
        """
        import httpx
        import openai

        self.url = "%s://127.0.0.1:%d" % (settings["scheme"], settings["port"])
        self.model = settings["model"]
        # several keys may be allowed; clients send one
        self.key = (os.environ.get("VLLM_API_KEY") or _key_file()).split(",")[0]
        # no proxy of the environment stands before a service of this container
        self.http = httpx.Client(base_url=self.url, timeout=settings["timeout_s"], trust_env=False, verify=False)
        self.openai = openai.OpenAI(
            base_url=self.url + "/v1",
            api_key=self.key or "none",
            max_retries=0,
            timeout=settings["timeout_s"],
            http_client=httpx.Client(trust_env=False, timeout=settings["timeout_s"], verify=False),
        )

    def request(self, method: str, path: str, body=None, key: str = "right", timeout_s: float | None = None):
        """Return httpx's response; ``key`` is ``right``, ``wrong`` or ``none``."""
        sent = {"right": self.key, "wrong": _WRONG_KEY, "none": ""}[key]
        more = {} if timeout_s is None else {"timeout": timeout_s}
        return self.http.request(
            method, path, json=body, headers={"Authorization": "Bearer " + sent} if sent else {}, **more
        )

    def upload(self, path: str, fields: dict, name: str, content: bytes, kind: str, timeout_s: float):
        """Return httpx's response to a form with a file."""
        headers = {"Authorization": "Bearer " + self.key} if self.key else {}
        return self.http.post(
            path, data=fields, files={"file": (name, content, kind)}, headers=headers, timeout=timeout_s
        )

    def chat(self, question: dict, messages: list, **more) -> dict:
        """Return the message of the model as a dictionary, with ``finish_reason`` and ``usage`` beside its own keys."""
        request = {key: question[key] for key in ("max_tokens", "temperature", "extra_body") if key in question}
        answer = self.openai.chat.completions.create(
            model=self.model, messages=messages, **request, **more, timeout=question.get("timeout_s", 120)
        )
        choice = answer.choices[0]
        return {
            **choice.message.model_dump(exclude_none=True),
            "finish_reason": choice.finish_reason,
            "usage": answer.usage.model_dump(exclude_none=True) if answer.usage else {},
        }


def http(service: Service, question: dict) -> dict:
    """Send one request: ``method``, ``path``, ``body``, ``key``. Tell ``status``, ``body`` and ``content_type``."""
    response = service.request(
        question["method"], question["path"], question.get("body"), question.get("key", "right"),
        question.get("timeout_s"),
    )  # fmt: skip
    text = response.text
    return {
        "status": response.status_code,
        "content_type": response.headers.get("content-type", ""),
        # the end of a stream tells most
        "body": text if len(text) <= KEPT else text[: KEPT // 2] + text[-KEPT // 2 :],
    }


def paths(service: Service, question: dict) -> dict:
    """Tell the routes that the service describes in its /openapi.json: ``status``, ``paths`` {path: [methods]}."""
    response = service.request("GET", "/openapi.json", key="none")
    routes = response.json().get("paths", {}) if response.status_code == 200 else {}
    return {"status": response.status_code, "paths": {path: sorted(methods) for path, methods in routes.items()}}


def status_of_many(service: Service, question: dict) -> dict:
    """Send the same empty request to several ``routes`` [[method, path]]; tell ``statuses`` {path: status}."""
    found = {}
    for method, path in question["routes"]:
        body = {} if method == "POST" else None
        found[path] = service.request(method, path, body, question["key"]).status_code
    return {"statuses": found}


def round_trip(service: Service, question: dict) -> dict:
    """Tokenize ``text`` and put the tokens together again; tell both statuses and what came back as ``text``."""
    there = service.request("POST", "/tokenize", {"model": service.model, "prompt": question["text"],
                                                  "add_special_tokens": False})  # fmt: skip
    if there.status_code != 200:
        return {"status": there.status_code, "body": there.text[:KEPT], "tokens": 0, "text": ""}
    tokens = there.json().get("tokens") or []
    back = service.request("POST", "/detokenize", {"model": service.model, "tokens": tokens})
    text = back.json().get("prompt", "") if back.status_code == 200 else ""
    return {"status": back.status_code, "body": back.text[:KEPT], "tokens": len(tokens), "text": text}


def schema_problem(text: str, schema: dict) -> str:
    """Return why ``text`` is not JSON of ``schema``; empty when it is."""
    import jsonschema  # a requirement of vLLM's own (mistral_common)

    try:
        jsonschema.validate(json.loads(text), schema)
    except ValueError as error:
        return "no JSON: %s" % error
    except jsonschema.ValidationError as error:
        return error.message[:KEPT]
    return ""


def chat(service: Service, question: dict) -> dict:
    """Ask ``messages`` once; tell ``message``."""
    return {"message": service.chat(question, question["messages"])}


def structured(service: Service, question: dict) -> dict:
    """Ask ``messages`` for JSON of a ``schema``; tell ``message`` and ``schema_problem``."""
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": question["schema"]}}
    message = service.chat(question, question["messages"], response_format=wanted)
    return {"message": message, "schema_problem": schema_problem(message.get("content") or "", question["schema"])}


def tools(service: Service, question: dict) -> dict:
    """Ask with ``tools``, then hand the ``result`` of the tool back.

    Tell ``message``, ``follow_up`` (the message after that) and ``schema_problem`` (of the first call's arguments).
    """
    messages = list(question["messages"])
    message = service.chat(question, messages, tools=question["tools"], tool_choice="auto")
    calls = message.get("tool_calls") or []
    schemas = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in question["tools"]}
    called = calls[0]["function"] if calls else {}
    problem = schema_problem(called.get("arguments") or "", schemas.get(called.get("name"), {})) if calls else ""
    told = {"message": message, "follow_up": {}, "schema_problem": problem}
    if calls and question.get("result") is not None:
        messages.append({"role": "assistant", "content": message.get("content"), "tool_calls": calls})
        for call in calls:
            messages.append(
                {"role": "tool", "tool_call_id": call.get("id", ""), "content": json.dumps(question["result"])}
            )
        told["follow_up"] = service.chat(question, messages, tools=question["tools"])
    return told


def needle(service: Service, question: dict) -> dict:
    """Hide a sentence in a long text and ask for it; tell ``message`` and ``prompt_tokens``.

    The question has ``tokens`` (length of the whole prompt), ``depth`` (0 = at the beginning, 1 = at the end),
    ``filler`` (a text that is repeated), ``needle`` and ``prompt`` (what is asked at the end).
    """

    def messages(repeats: int) -> list:
        lines = [question["filler"]] * repeats
        lines.insert(round(repeats * question["depth"]), question["needle"])
        return [{"role": "user", "content": "%s\n\n%s" % (" ".join(lines), question["prompt"])}]

    def count(repeats: int) -> int:
        asked = {"model": service.model, "messages": messages(repeats), **question.get("extra_body", {})}
        return service.request("POST", "/tokenize", asked).json()["count"]

    # tokens grow evenly with the repeats: two counts give the slope, and the result is made sure of
    first, second = count(1), count(11)
    slope = max(1e-6, (second - first) / 10)
    repeats = max(1, 1 + int((question["tokens"] - first) / slope))
    for _try in range(_COUNT_TRIES):
        length = count(repeats)
        if length <= question["tokens"] or repeats == 1:
            break
        repeats = max(1, repeats - max(1, int((length - question["tokens"]) / slope) + 1))
    return {"message": service.chat(question, messages(repeats)), "prompt_tokens": length}


def many(service: Service, question: dict) -> dict:
    """Ask ``messages`` as often as ``requests`` says, at the same time; tell ``messages`` and ``errors``."""

    def one(_number: int) -> tuple[dict, str]:
        try:
            return service.chat(question, question["messages"]), ""
        except Exception as error:
            return {}, said(error)

    with concurrent.futures.ThreadPoolExecutor(question["requests"]) as pool:
        results = list(pool.map(one, range(question["requests"])))
    return {
        "messages": [message for message, error in results if not error],
        "errors": [error for _message, error in results if error],
    }


def stream(service: Service, question: dict) -> dict:
    """Ask ``messages`` streamed; tell ``first_token_s``, ``total_s``, ``chunks`` and the ``text``."""
    begun_s = time.monotonic()
    first_s, chunks, text = None, 0, ""
    request = {key: question[key] for key in ("max_tokens", "temperature", "extra_body") if key in question}
    answer = service.openai.chat.completions.create(
        model=service.model, messages=question["messages"], stream=True, **request,
        timeout=question.get("timeout_s", 120),
    )  # fmt: skip
    for chunk in answer:
        delta = chunk.choices[0].delta.model_dump(exclude_none=True) if chunk.choices else {}
        piece = delta.get("content") or delta.get("reasoning") or delta.get("reasoning_content") or ""
        if piece and first_s is None:
            first_s = time.monotonic() - begun_s
        chunks += bool(piece)
        text += piece
    return {"first_token_s": first_s, "total_s": time.monotonic() - begun_s, "chunks": chunks, "text": text[:KEPT]}


KINDS = {
    "http": http,
    "paths": paths,
    "status_of_many": status_of_many,
    "round_trip": round_trip,
    "chat": chat,
    "structured": structured,
    "tools": tools,
    "needle": needle,
    "many": many,
    "stream": stream,
}


def said(error: Exception) -> str:
    """Return what an error says, with the service's own words where it answered."""
    body = getattr(error, "body", None)
    words = body.get("message") if isinstance(body, dict) else None
    return ("%s: %s" % (type(error).__name__, words or error)).strip()[:KEPT]


def _no_answer(error: Exception) -> bool:
    """Tell whether an error means that nothing came back, not even a refusal."""
    import httpx
    import openai

    return isinstance(error, (httpx.TransportError, openai.APIConnectionError))


def answer(service: Service, question: dict) -> dict:
    """Return the answer to one question; never raises."""
    begun_s = time.monotonic()
    gone = False
    try:
        told = KINDS[question["kind"]](service, question)
        error = ""
    except Exception as problem:  # whatever a client library raises is an answer here
        told, error, gone = {"status": getattr(problem, "status_code", 0)}, said(problem), _no_answer(problem)
    took_s = round(time.monotonic() - begun_s, 3)
    return {**told, "id": question["id"], "error": error, "gone": gone, "duration_s": took_s}


def answers(order: dict, service: Service) -> dict:
    """Ask question after question until the time is over, the first in any case, or until the service is gone."""
    begun_s = time.monotonic()
    given: list[dict] = []
    for question in order["questions"]:
        gone = len(given) >= _GONE and all(item["gone"] for item in given[-_GONE:])
        if gone or (given and time.monotonic() - begun_s > order["budget_s"]):
            left = [item["id"] for item in order["questions"][len(given) :]]
            return {"answers": given, "left": left, "gone": gone}
        given.append(answer(service, question))
    return {"answers": given, "left": [], "gone": False}


def _key_file() -> str:
    """Return the key where the container has its secrets as files (definition/secret_env.py); empty without one."""
    try:
        with open("/run/secrets/env_VLLM_API_KEY", encoding="utf-8") as handle:
            return handle.read()
    except OSError:
        return ""


def main() -> None:
    """Answer the order on standard input; ``more`` is the text of a program that knows more kinds of questions."""
    order = json.load(sys.stdin)
    known: dict = {"__name__": "more"}
    exec(order.pop("more", ""), known)
    KINDS.update(known.get("KINDS", {}))
    sys.stdout.write("\n%s\n" % json.dumps(answers(order, Service(order))))


if __name__ == "__main__":
    main()
