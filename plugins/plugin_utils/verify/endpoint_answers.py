# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether one answer of an endpoint is right, by itself: :data:`JUDGEMENTS` for those of models.

Each judgement takes an answer as module_utils/verify/client.py gives it (``status``, ``body``, ``content_type``).
``endpoint_checks`` says which endpoints there must be. Pure Python, no I/O.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import check_result
from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import failed, passed, skipped

#: A metric that every release has (plugin_utils/definition/vllm_options.json).
_METRIC = "vllm:num_requests_running"

#: How a release says that its model cannot do something: vllm/entrypoints (0.11: an error, later no route).
REFUSALS = (400, 404, 405, 501)


def body_of(answer: dict) -> dict:
    """Return the JSON object of an answer, empty when it is none."""
    try:
        body = json.loads(answer.get("body", ""))
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def status(answer: dict, wanted: int = 200) -> check_result.Verdict:
    """Judge the HTTP status of an answer."""
    if answer["status"] == wanted:
        return passed("HTTP %d" % answer["status"])
    return failed(
        "found HTTP %d, expected %d" % (answer["status"], wanted), answer.get("body", "")
    )  # fmt: skip


def _answered(answer: dict) -> check_result.Verdict:
    """As :func:`status`; a model that has no chat template need not chat."""
    if answer["status"] == 400 and check_result.NO_TEMPLATE in answer["body"].lower():
        return skipped("the model has no chat template")
    return status(answer)


def json_of(answer: dict, judgement) -> check_result.Verdict:
    """Judge the body of an answer with status 200; another status fails."""
    verdict = _answered(answer)
    return judgement(body_of(answer)) if verdict.status == "passed" else verdict


def metrics(answer: dict) -> check_result.Verdict:
    """Judge whether vLLM's own metrics are among those of an answer."""
    verdict = status(answer)
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

    return json_of(answer, judgement)


#: What POST /v1/completions answers has the same form.
completion = _chat


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

    return json_of(answer, judgement)


def refused(answer: dict) -> check_result.Verdict:
    """Judge an endpoint that a service of its kind must not have."""
    if answer["status"] in REFUSALS:
        return passed("HTTP %d" % answer["status"])
    if answer["status"] == 200:
        return failed("it answers", answer["body"])
    return failed(
        "found HTTP %d, expected a refusal (%s)" % (answer["status"], ", ".join(map(str, REFUSALS))), answer["body"]
    )


def _listed(key: str, inner: str):
    """Return a judgement: the answer has a list ``key`` whose first entry has ``inner``."""

    def judgement(answer: dict) -> check_result.Verdict:
        if answer["status"] == 200 and not body_of(answer):
            # the body of a long vector is cut, and no JSON any more
            return passed("a long answer") if '"%s"' % inner in answer["body"] else failed("no JSON", answer["body"])

        def of_body(body: dict) -> check_result.Verdict:
            first = next(iter(body.get(key) or [{}]))
            value = first.get(inner) if isinstance(first, dict) else None
            if value is None or value == []:
                return failed("the answer has no %s" % inner, answer["body"])
            return passed("%d numbers" % len(value) if isinstance(value, list) else str(value))

        return json_of(answer, of_body)

    return judgement


def _there(answer: dict) -> check_result.Verdict:
    """Judge an endpoint that was asked without what it needs: any refusal of that is an answer."""
    if answer["status"] in (200, 400, 415, 422):
        return passed("HTTP %d to a request without a file" % answer["status"])
    return failed("found HTTP %d, expected a refusal of a request without a file (400 or 422)" % answer["status"],
                  answer["body"])  # fmt: skip


#: By the end of the check's id.
JUDGEMENTS = {
    "chat": _chat,
    "chat-stream": _stream,
    "completions": completion,
    "responses": _response,
    "embeddings": _listed("data", "embedding"),
    "score": _listed("data", "score"),
    "rerank": _listed("results", "relevance_score"),
    "classify": _listed("data", "probs"),
    "pooling": _listed("data", "data"),
    "transcriptions": _there,
}

#: What is said of an endpoint beside its path.
MORE = {"chat-stream": " in a stream", "embeddings": " with a vector", "transcriptions": " to a form"}
