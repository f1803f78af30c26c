# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints a vLLM service must have, what to ask them, and whether the answers are right.

Pure Python, no I/O: :func:`questions` says what to ask (module_utils/verify/client.py asks), :func:`judge` makes
checks of the answers (``endpoint_answers`` judges each). The routes are those of vLLM 0.11.0 to 0.33.0
(vllm/entrypoints, read in both and seen in 0.32.0's /openapi.json).

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import (
    access_checks,
    check_result,
    endpoint_answers,
    service_kind,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import failed, passed, skipped

#: Routes that /openapi.json must describe for every kind; /metrics is left out, since 0.11 mounts it beside the
#: described ones.
ROUTES = ("/health", "/version", "/v1/models", "/tokenize", "/detokenize")

#: Endpoints of models, by the end of the check's id.
PATHS = {
    "chat": "/v1/chat/completions",
    "chat-stream": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "score": "/score",
    "rerank": "/rerank",
    "classify": "/classify",
    "pooling": "/pooling",
    "transcriptions": "/v1/audio/transcriptions",
}

_CHATTING = ("chat", "chat-stream", "completions", "responses")

#: What each kind of service must answer, and what it must refuse. A reward model for each token has /pooling alone.
REQUIRED = {
    "chat": _CHATTING,
    "vision": _CHATTING,
    "base": _CHATTING,
    "embed": ("embeddings",),
    "rerank": ("rerank", "score"),
    "classify": ("classify",),
    "token_classify": ("pooling",),
    "reward": ("pooling",),
    "transcription": ("transcriptions",),
}
REFUSED = {kind: ("embeddings",) if kind in service_kind.GENERATING else ("chat",) for kind in service_kind.KINDS}

#: What an embedding service must answer that gives vectors of tokens only.
_TOKENS_ONLY = ("pooling", "score")

#: Ids of all checks that are made here.
IDS = (
    "endpoint-published", "endpoint-kind", "endpoint-openapi", "endpoint-health", "endpoint-version", "endpoint-models",
    "endpoint-adapters", "endpoint-tokenize", "endpoint-metrics", *("endpoint-" + name for name in PATHS),
    *access_checks.IDS,
)  # fmt: skip

#: What is tokenized and put together again: letters beyond ASCII and a sign of four bytes.
ROUND_TRIP = "Grüße, 東京 and \N{ROCKET} from 42 tests."

#: The answer to a question that was not asked any more.
NOT_ASKED = {"error": "not asked, since the service did not answer the questions before", "duration_s": 0.0}

_CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}


def questions(definition: dict) -> list[dict]:
    """Return what to ask about a service's endpoints, in order.

    It is the same for every kind: an endpoint that a service lacks refuses at once.
    """
    model = {"model": definition["served_model_name"]}
    asked = [
        {"id": "openapi", "kind": "paths"},
        {"id": "files", "kind": "model_files", "revision": definition.get("model_revision") or ""},
        _get("health", "/health", "none"),
        _get("version", "/version", "none"),
        _get("models", "/v1/models"),
        _post("chat", {**model, **_CHAT}),
        _post("chat-stream", {**model, **_CHAT, "stream": True}),
        _post("completions", {**model, "prompt": "Hello", "max_tokens": 8, "temperature": 0}),
        # a model that thinks needs some tokens before it says anything; an unfinished answer is one too
        _post("responses", {**model, "input": "Hello", "max_output_tokens": 16, "store": False}),
        {"id": "tokenize", "kind": "round_trip", "text": ROUND_TRIP},
        _get("metrics", "/metrics", "none"),
        _post("embeddings", {**model, "input": "Hello"}),
        _post("score", {**model, "text_1": "Hello", "text_2": "Hello"}),
        _post("rerank", {**model, "query": "Hello", "documents": ["Hello"]}),
        _post("classify", {**model, "input": "Hello"}),
        _post("pooling", {**model, "input": "Hello"}),
        # without a file: whether it is there at all
        _post("transcriptions", {}),
    ]
    asked += [
        {**_post("completions", {"model": name, "prompt": "Hello", "max_tokens": 4, "temperature": 0}),
         "id": "adapter " + name}
        for name in _adapters(definition)
    ]  # fmt: skip
    return asked + access_checks.questions(definition, PATHS.values())


def _adapters(definition: dict) -> list[str]:
    return [adapter["name"] for adapter in definition.get("lora_adapters") or []]


def kind_questions(definition: dict) -> list[dict]:
    """Return those of :func:`questions` that tell the kind of a service and its longest request, without any work."""
    return [item for item in questions(definition) if item["id"] in ("openapi", "files", "version", "models")]


def _get(name: str, path: str, key: str = "right") -> dict:
    return {"id": name, "kind": "http", "method": "GET", "path": path, "key": key}


def _post(name: str, body: dict) -> dict:
    return {"id": name, "kind": "http", "method": "POST", "path": PATHS[name], "body": body}


def tell_kind(definition: dict, tasks: list[str], answers: dict[str, dict]) -> service_kind.Told:
    """Return which kind of service has answered.

    Args:
        definition: of the service; ``kind``, where it has one, is what the preflight found before the start.
        tasks: the words of the log's line ``Supported tasks``.
        answers: to :func:`questions`, by their ids.
    """
    files = answers.get("files") or {}
    chat = answers.get("chat") or {}
    refused = (
        chat.get("status") in endpoint_answers.REFUSALS and check_result.NO_TEMPLATE in chat.get("body", "").lower()
    )
    seen = {
        "tasks": tasks,
        "paths": list((answers.get("openapi") or {}).get("paths") or ()),
        "answered": [path for name, path in PATHS.items() if (answers.get(name) or {}).get("status") == 200],
        "no_template": refused,
        "version": str(endpoint_answers.body_of(answers.get("version") or {}).get("version", "")),
        "model": {**files, "error": files.get("error") or files.get("problem", "")},
    }
    return service_kind.tell(seen, _expected(definition))


def _expected(definition: dict) -> str:
    """Return the kind that the preflight found before the start; empty where it could not tell."""
    found = (definition.get("kind") or {}).get("name", "")
    return found if found in service_kind.KINDS else ""


def length_of(definition: dict, answers: dict[str, dict]) -> int | None:
    """Return the longest request and answer in tokens: as configured, else as /v1/models tells, else None."""
    wanted = configured_length(definition)
    if wanted is not None:
        return wanted
    found = _lengths(answers.get("models") or {}).get(definition["served_model_name"])
    return found if isinstance(found, int) else None


def configured_length(definition: dict) -> int | None:
    """Return ``max_model_len`` of a definition; None where vLLM chooses it (null, auto, -1)."""
    try:
        wanted = int(definition.get("max_model_len") or 0)
    except ValueError:
        return None
    return wanted if wanted > 0 else None


def _lengths(answer: dict) -> dict[str, object]:
    """Return the ``max_model_len`` of each model of /v1/models; an adapter's is None."""
    data = endpoint_answers.body_of(answer).get("data") or []
    return {str(model.get("id")): model.get("max_model_len") for model in data if isinstance(model, dict)}


def published(definition: dict, seen: dict) -> dict:
    """Return the check that the service answers where clients on the host ask, of what the host itself saw."""
    url = definition["base_url"]
    verdict = failed("found HTTP %s, expected 200" % seen.get("status"))
    if seen.get("error"):
        verdict = failed("no answer on %s: %s" % (url, seen["error"]))
    elif seen.get("status") == 200:
        by_tls = definition["scheme"] == "https"
        verdict = passed("HTTP 200 by TLS; the certificate was not looked at" if by_tls else "HTTP 200")
    return check_result.check("endpoint-published", "endpoint", "%s/health answers on the host" % url, verdict,
                              seen.get("duration_s", 0.0))  # fmt: skip


def judge(definition: dict, answers: dict[str, dict], told: service_kind.Told) -> list[dict]:
    """Return the checks (:func:`check_result.check`) of the groups ``endpoint`` and ``access``.

    Where several kinds are left, only what all of them have in common is checked.
    """
    name, length = definition["served_model_name"], configured_length(definition)
    required = _TOKENS_ONLY if told.tokens_only else _common(REQUIRED, told)
    found = [
        _kind(definition, told),
        _check("openapi", "/openapi.json describes every endpoint of this release", answers, _openapi, required, told),
        _check("health", "GET /health answers 200", answers, endpoint_answers.status),
        _check("version", "GET /version tells release %s" % definition["version"], answers,
               lambda a: _version(a, definition["version"])),
        _check("models", "GET /v1/models lists %s%s" % (name, " with %d tokens" % length if length else ""), answers,
               lambda a: _models(a, definition, length)),
        _check("tokenize", "POST /tokenize and /detokenize give a text back", answers, _round_trip,
               not told.candidates or set(told.candidates) <= set(service_kind.GENERATING)),
        _check("metrics", "GET /metrics gives vLLM's metrics", answers, endpoint_answers.metrics),
    ]  # fmt: skip
    if _adapters(definition):
        found.append(_adapter_check(definition, answers))
    for part in required:
        judgement = endpoint_answers.JUDGEMENTS[part]
        found.append(
            _check(part, "POST %s answers%s" % (PATHS[part], endpoint_answers.MORE.get(part, "")), answers, judgement)
        )
    for part in _common(REFUSED, told):
        what = "POST %s is refused: this is a service of kind %s" % (PATHS[part], told.kind or _either(told))
        found.append(_check(part, what, answers, endpoint_answers.refused))
    return found + access_checks.judge(definition, answers)


def _adapter_check(definition: dict, answers: dict[str, dict]) -> dict:
    """Return the check that each LoRA adapter answers by its own name."""
    names = _adapters(definition)
    given = {name: answers.get("adapter " + name, NOT_ASKED) for name in names}
    verdicts = {
        name: failed(a["error"]) if a.get("error") else endpoint_answers.completion(a) for name, a in given.items()
    }
    bad = {name: verdict.reason for name, verdict in verdicts.items() if verdict.status != "passed"}
    verdict = passed(", ".join(names))
    if bad:
        verdict = failed("; ".join("%s: %s" % item for item in bad.items()))
    took_s = sum(answer.get("duration_s", 0.0) for answer in given.values())
    title = "POST %s answers for each LoRA adapter" % PATHS["completions"]
    return check_result.check("endpoint-adapters", "endpoint", title, verdict, took_s)


def _common(table: dict[str, tuple[str, ...]], told: service_kind.Told) -> tuple[str, ...]:
    """Return what a table holds for every candidate."""
    if not told.candidates:
        return ()
    first, *others = (table[kind] for kind in told.candidates)
    return tuple(part for part in first if all(part in other for other in others))


def _either(told: service_kind.Told) -> str:
    return " or ".join(told.candidates)


def _kind(definition: dict, told: service_kind.Told) -> dict:
    """Return the check that the kind of the service can be told, and is what was expected before the start."""
    expected = _expected(definition)
    verdict = passed("%s, by %s" % (told.kind or "%s (not told apart)" % _either(told), told.by))
    must = False
    if not told.candidates:
        verdict, must = failed("what kind of service this is cannot be told: %s" % told.by), True
    elif expected in service_kind.KINDS and expected not in told.candidates:
        verdict = failed("found %s, by %s; expected %s" % (told.kind or _either(told), told.by, expected))
    return check_result.check("endpoint-kind", "endpoint", "The kind of the service can be told", verdict, 0.0, must)


def _check(name: str, what: str, answers: dict, judgement, *more) -> dict:
    """Return the check ``endpoint-<name>``; an answer that never came fails it."""
    answer = answers[name]
    verdict = failed("no answer: %s" % answer["error"]) if answer["error"] else judgement(answer, *more)
    return check_result.check("endpoint-%s" % name, "endpoint", what, verdict, answer["duration_s"])


def _openapi(answer: dict, required: tuple[str, ...], told: service_kind.Told) -> check_result.Verdict:
    if answer["status"] == 404:
        return skipped("the service hides its description (disable-fastapi-docs)")
    if answer["status"] != 200:
        return endpoint_answers.status(answer)
    wanted = tuple(dict.fromkeys((*ROUTES, *(PATHS[part] for part in required))))
    missing = [path for path in wanted if path not in answer["paths"]]
    if missing:
        return failed(
            "it lacks %s, which a service of kind %s has. Is vllm_version the release of the image?"
            % (", ".join(missing), told.kind or _either(told) or "any"),
            ", ".join(answer["paths"]),
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

    return endpoint_answers.json_of(answer, judgement)


def _models(answer: dict, definition: dict, length: int | None) -> check_result.Verdict:
    name = definition["served_model_name"]

    def judgement(_body_: dict) -> check_result.Verdict:
        models = _lengths(answer)
        for wanted in definition.get("served_model_names") or [name]:
            if wanted not in models:
                found = ", ".join(models) or "no model"
                return failed("found %s, expected %s (vllm_served_model_name)" % (found, wanted))
        for wanted in _adapters(definition):
            if wanted not in models:
                return failed("found %s, expected the adapter %s (vllm_lora_adapters)" % (", ".join(models), wanted))
        if length is None:
            return passed("%s, %s tokens, chosen by vLLM" % (name, models[name]))
        if models[name] != length:
            return failed("found %s tokens, expected %d (vllm_max_model_len)" % (models[name], length))
        return passed("%s, %d tokens" % (name, length))

    return endpoint_answers.json_of(answer, judgement)


def _round_trip(answer: dict, whole: bool) -> check_result.Verdict:
    """Judge a text that went to tokens and back; those of encoders lose case and letters, Whisper's gives no token."""
    verdict = endpoint_answers.status(answer)
    if verdict.status != "passed":
        return verdict
    if not whole:
        return passed("%d tokens, which are %r" % (answer["tokens"], answer["text"]))
    # a tokenizer may begin a text with a sign or a space of its own
    if not answer["text"].strip().endswith(ROUND_TRIP):
        return failed("found %r, expected %r" % (answer["text"], ROUND_TRIP))
    return passed("%d tokens" % answer["tokens"])
