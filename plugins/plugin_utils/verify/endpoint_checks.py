# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints a vLLM service must have, what to ask them, and whether the answers are right.

Pure Python, no I/O: :func:`questions` says what to ask (module_utils/verify/client.py asks), :func:`judge` makes
checks of the answers. The routes are those of vLLM 0.11.0 to 0.33.0 (vllm/entrypoints, read in both and seen in
0.32.0's /openapi.json).

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import check_result
from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import failed, passed, skipped

#: Routes that /openapi.json must describe, for models that generate and for pooling models (embeddings); /metrics is
#: left out, since 0.11 mounts it beside the described ones.
ROUTES = ("/health", "/version", "/v1/models", "/tokenize", "/detokenize")
_GENERATE_ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
_POOLING_ROUTES = ("/v1/embeddings",)

#: Routes that answer without a key in every release; asking them changes nothing.
OPEN = (("GET", "/health"), ("GET", "/version"), ("GET", "/metrics"), ("GET", "/ping"))

#: Routes that run the model, or change the service, without any key (0.11 to 0.33); vLLM's security guide asks for a
#: proxy with an allow list before them.
_UNGUARDED_WORK = (
    "/invocations", "/generative_scoring", "/pooling", "/classify", "/score", "/rerank", "/scale_elastic_ep", "/sleep",
    "/wake_up", "/collective_rpc", "/pause", "/update_weights",
)  # fmt: skip

#: What is tokenized and put together again: letters beyond ASCII and a sign of four bytes.
ROUND_TRIP = "Grüße, 東京 and \N{ROCKET} from 42 tests."

#: A metric that every release has (plugin_utils/definition/vllm_options.json).
_METRIC = "vllm:num_requests_running"

#: How a release says that its model cannot do something: vllm/entrypoints (0.11: an error, later no route).
_REFUSALS = (400, 404, 405, 501)

#: The answer to a question that was not asked any more.
NOT_ASKED = {"error": "not asked, since the service did not answer the questions before", "duration_s": 0.0}

_CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}


def questions(definition: dict) -> list[dict]:
    """Return what to ask about a service's endpoints, in order."""
    model = {"model": definition["served_model_name"]}
    asked = [
        {"id": "openapi", "kind": "paths"},
        _get("health", "/health", "none"),
        _get("version", "/version", "none"),
        _get("models", "/v1/models"),
        _post("chat", "/v1/chat/completions", {**model, **_CHAT}),
        _post("chat-stream", "/v1/chat/completions", {**model, **_CHAT, "stream": True}),
        _post("completions", "/v1/completions", {**model, "prompt": "Hello", "max_tokens": 8, "temperature": 0}),
        # a model that thinks needs some tokens before it says anything; an unfinished answer is one too
        _post("responses", "/v1/responses", {**model, "input": "Hello", "max_output_tokens": 16, "store": False}),
        {"id": "tokenize", "kind": "round_trip", "text": ROUND_TRIP},
        _get("metrics", "/metrics", "none"),
        _post("embeddings", "/v1/embeddings", {**model, "input": "Hello"}),
    ]
    if definition["api_key_required"]:
        guarded = [["GET", "/v1/models"], *[["POST", path] for path in (*_GENERATE_ROUTES, *_POOLING_ROUTES)]]
        asked += [
            {"id": "without-key", "kind": "status_of_many", "routes": guarded, "key": "none"},
            {"id": "wrong-key", "kind": "status_of_many", "routes": guarded, "key": "wrong"},
            {"id": "open", "kind": "status_of_many", "routes": [list(route) for route in OPEN], "key": "none"},
        ]
    return asked


def _get(name: str, path: str, key: str = "right") -> dict:
    return {"id": name, "kind": "http", "method": "GET", "path": path, "key": key}


def _post(name: str, path: str, body: dict) -> dict:
    return {"id": name, "kind": "http", "method": "POST", "path": path, "body": body}


def kind(answers: dict[str, dict]) -> str:
    """Return what a service is.

    Returns:
        ``pooling`` gives embeddings and no chat; ``base`` completes texts, but has no chat template; else ``generate``.
    """
    refused = answers["chat"].get("status") in _REFUSALS
    if refused and answers["embeddings"].get("status") == 200:
        return "pooling"
    return "base" if refused and check_result.NO_TEMPLATE in answers["chat"].get("body", "").lower() else "generate"


def published(definition: dict, seen: dict) -> dict:
    """Return the check that the service answers where clients on the host ask, of what the host itself saw."""
    url = definition["base_url"]
    verdict = failed("found HTTP %s, expected 200" % seen.get("status"))
    if seen.get("error"):
        verdict = failed("no answer on %s: %s" % (url, seen["error"]))
    elif seen.get("status") == 200:
        verdict = passed("HTTP 200")
    return check_result.check("endpoint-published", "endpoint", "%s/health answers on the host" % url, verdict,
                              seen.get("duration_s", 0.0))  # fmt: skip


def judge(definition: dict, answers: dict[str, dict]) -> list[dict]:
    """Return the checks (:func:`check_result.check`) of the groups ``endpoint`` and ``access``."""
    generates = kind(answers) != "pooling"
    found = [
        _check("openapi", "/openapi.json describes every endpoint of this release", answers, _openapi, generates),
        _check("health", "GET /health answers 200", answers, _status),
        _check("version", "GET /version tells release %s" % definition["version"], answers,
               lambda a: _version(a, definition["version"])),
        _check("models", "GET /v1/models lists %s with %d tokens" % (
            definition["served_model_name"], definition["max_model_len"]), answers,
            lambda a: _models(a, definition["served_model_name"], definition["max_model_len"])),
        _check("tokenize", "POST /tokenize and /detokenize give a text back", answers, _round_trip),
        _check("metrics", "GET /metrics gives vLLM's metrics", answers, _metrics),
    ]  # fmt: skip
    if generates:
        found += [
            _check("chat", "POST /v1/chat/completions answers", answers, _chat),
            _check("chat-stream", "POST /v1/chat/completions answers in a stream", answers, _stream),
            _check("completions", "POST /v1/completions answers", answers, _completion),
            _check("responses", "POST /v1/responses answers", answers, _response),
            _check("embeddings", "POST /v1/embeddings is refused: this model generates text", answers, _refused),
        ]
    else:
        found += [
            _check("embeddings", "POST /v1/embeddings gives a vector", answers, _embedding),
            _check("chat", "POST /v1/chat/completions is refused: this model gives embeddings", answers, _refused),
        ]
    return found + _access(definition, answers)


def _check(name: str, what: str, answers: dict, judgement, *more) -> dict:
    """Return the check ``endpoint-<name>``; an answer that never came fails it."""
    answer = answers[name]
    verdict = failed("no answer: %s" % answer["error"]) if answer["error"] else judgement(answer, *more)
    return check_result.check("endpoint-%s" % name, "endpoint", what, verdict, answer["duration_s"])


def _body(answer: dict) -> dict:
    """Return the JSON object of an answer, empty when it is none."""
    try:
        body = json.loads(answer.get("body", ""))
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _status(answer: dict, wanted: int = 200) -> check_result.Verdict:
    if answer["status"] == wanted:
        return passed("HTTP %d" % answer["status"])
    return failed(
        "found HTTP %d, expected %d" % (answer["status"], wanted), answer.get("body", "")
    )  # fmt: skip


def _answered(answer: dict) -> check_result.Verdict:
    """As :func:`_status`; a model that has no chat template need not chat."""
    if answer["status"] == 400 and check_result.NO_TEMPLATE in answer["body"].lower():
        return skipped("the model has no chat template")
    return _status(answer)


def _json_of(answer: dict, judgement) -> check_result.Verdict:
    """Judge the body of an answer with status 200; another status fails."""
    verdict = _answered(answer)
    return judgement(_body(answer)) if verdict.status == "passed" else verdict


def _openapi(answer: dict, generates: bool) -> check_result.Verdict:
    if answer["status"] == 404:
        return skipped("the service hides its description (disable-fastapi-docs)")
    if answer["status"] != 200:
        return _status(answer)
    wanted = (*ROUTES, *(_GENERATE_ROUTES if generates else _POOLING_ROUTES))
    missing = [path for path in wanted if path not in answer["paths"]]
    if missing:
        return failed(
            "it lacks %s. Is vllm_version the release of the image?" % ", ".join(missing), ", ".join(answer["paths"])
        )
    others = sorted(set(answer["paths"]) - set(wanted))
    return passed("%d routes; beside those that are checked: %s" % (len(answer["paths"]), ", ".join(others) or "none"))


def _version(answer: dict, wanted: str) -> check_result.Verdict:
    def judgement(body: dict) -> check_result.Verdict:
        found = str(body.get("version", ""))
        try:
            # what the collection knows of a release holds for all of its patch releases and builds
            same = vllm_versions.release(found)[:2] == vllm_versions.release(wanted)[:2]
        except ValueError:
            return failed("it tells no version", answer["body"])
        if same:
            return passed(found)
        return failed("found %s, expected %s. Set vllm_version to the release of the image." % (found, wanted))

    return _json_of(answer, judgement)


def _models(answer: dict, name: str, length: int) -> check_result.Verdict:
    def judgement(body: dict) -> check_result.Verdict:
        models = {str(m.get("id")): m.get("max_model_len") for m in body.get("data") or [] if isinstance(m, dict)}
        if name not in models:
            return failed("found %s, expected %s (vllm_served_model_name)" % (", ".join(models) or "no model", name))
        if models[name] != length:
            return failed("found %s tokens, expected %d (vllm_max_model_len)" % (models[name], length))
        return passed("%s, %d tokens" % (name, length))

    return _json_of(answer, judgement)


def _round_trip(answer: dict) -> check_result.Verdict:
    verdict = _status(answer)
    if verdict.status != "passed":
        return verdict
    # a tokenizer may begin a text with a sign or a space of its own
    if not answer["text"].strip().endswith(ROUND_TRIP):
        return failed("found %r, expected %r" % (answer["text"], ROUND_TRIP))
    return passed("%d tokens" % answer["tokens"])


def _metrics(answer: dict) -> check_result.Verdict:
    verdict = _status(answer)
    if verdict.status != "passed":
        return verdict
    lines = [line for line in answer["body"].splitlines() if line.startswith("vllm:")]
    if _METRIC not in answer["body"]:
        return failed("there is no %s" % _METRIC, answer["body"][:200])
    return passed("%d lines of vLLM's, %s among them" % (len(lines), _METRIC))


def _text_of(choice: object) -> str:
    """Return what a choice of the model says, in whichever field."""
    if not isinstance(choice, dict):
        return ""
    message = choice.get("message") or {}
    said = (choice.get("text"), message.get("content"), message.get("reasoning"), message.get("reasoning_content"))
    return next((text for text in said if text), "")


def _chat(answer: dict) -> check_result.Verdict:
    def judgement(body: dict) -> check_result.Verdict:
        choices = body.get("choices") or []
        tokens = (body.get("usage") or {}).get("completion_tokens")
        if not choices or not tokens:
            return failed("the answer has no token", answer["body"])
        return passed("%s tokens: %s" % (tokens, _text_of(choices[0])))

    return _json_of(answer, judgement)


_completion = _chat


def _stream(answer: dict) -> check_result.Verdict:
    verdict = _answered(answer)
    if verdict.status != "passed":
        return verdict
    chunks = [line for line in answer["body"].splitlines() if line.startswith("data: {")]
    if not answer["content_type"].startswith("text/event-stream"):
        return failed("found %s, expected text/event-stream" % answer["content_type"], answer["body"])
    if not chunks or "data: [DONE]" not in answer["body"]:
        return failed("%d parts, and the stream did not end with [DONE]" % len(chunks), answer["body"][-300:])
    return passed("%d parts, then [DONE]" % len(chunks))


def _response(answer: dict) -> check_result.Verdict:
    def judgement(body: dict) -> check_result.Verdict:
        if body.get("object") != "response" or not body.get("output"):
            return failed("the answer has no output", answer["body"])
        return passed("status %s, %d parts" % (body.get("status"), len(body["output"])))

    return _json_of(answer, judgement)


def _refused(answer: dict) -> check_result.Verdict:
    if answer["status"] in _REFUSALS:
        return passed("HTTP %d" % answer["status"])
    if answer["status"] == 200:
        return failed("it answers", answer["body"])
    return failed(
        "found HTTP %d, expected a refusal (%s)" % (answer["status"], ", ".join(map(str, _REFUSALS))), answer["body"]
    )


def _embedding(answer: dict) -> check_result.Verdict:
    def judgement(body: dict) -> check_result.Verdict:
        data = body.get("data") or [{}]
        vector = data[0].get("embedding") if isinstance(data[0], dict) else None
        if vector:
            return passed("%d numbers" % len(vector))
        # the body of a long vector is cut, and no JSON any more
        return failed("the answer has no vector", answer["body"])

    return _json_of(answer, judgement) if _body(answer) or answer["status"] != 200 else passed("a long vector")


def _access(definition: dict, answers: dict[str, dict]) -> list[dict]:
    """Return the checks that the key is needed where it must be, and only there."""
    if not definition["api_key_required"]:
        verdict = skipped("no vllm_api_key is set; the service is published on %s" % definition["publish_address"])
        return [check_result.check("access-key", "access", "Requests need the API key", verdict, 0.0)]
    found = []
    for name, what in (("without-key", "without a key"), ("wrong-key", "with a wrong key")):
        answer = answers[name]
        let_in = [path for path, status in answer.get("statuses", {}).items() if status != 401]
        verdict = passed("HTTP 401 from %s" % ", ".join(answer.get("statuses", {})))
        if answer["error"]:
            verdict = failed("no answer: %s" % answer["error"])
        elif let_in:
            verdict = failed("these do not answer 401: %s" % ", ".join(let_in))
        found.append(
            check_result.check("access-" + name, "access", "Requests %s are refused below /v1" % what, verdict,
                               answer["duration_s"])
        )  # fmt: skip
    answer = answers["open"]
    shut = ["%s (%d)" % item for item in answer.get("statuses", {}).items() if item[1] in (401, 403)]
    verdict = passed(", ".join(answer.get("statuses", {})))
    if answer["error"]:
        verdict = failed("no answer: %s" % answer["error"])
    elif shut:
        verdict = failed("these ask for one: %s" % ", ".join(shut))
    found.append(
        check_result.check("access-open", "access", "Health, version and metrics need no key", verdict,
                           answer["duration_s"])
    )  # fmt: skip
    work = [path for path in _UNGUARDED_WORK if path in answers["openapi"].get("paths", {})]
    verdict = passed("none is served")
    if work:
        verdict = failed(
            "vLLM answers %s without the key. Let only a proxy with an allow list reach the service from outside."
            % ", ".join(work)
        )
    found.append(
        check_result.check("access-unguarded", "access", "No endpoint that runs the model goes without the key",
                           verdict, 0.0, must=False)
    )  # fmt: skip
    return found
