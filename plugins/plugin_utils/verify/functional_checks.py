# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what a model answers, as data: read and merge them, make questions of them, judge the answers.

A check is a dictionary; roles/vllm_verify/meta/argument_specs.yml documents its keys. Pure Python, no I/O.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re
import typing

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import CONVERTERS
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import (
    check_result,
    endpoint_checks,
    kind_checks,
    service_kind,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import Verdict, failed, passed, skipped

#: Keys of each kind of check beside the common ones, those that it cannot do without first.
KINDS = {
    "chat": (("prompt", "expect"), ("system",)),
    "reasoning": (("prompt", "expect"), ("system",)),
    "tools": (("prompt", "tools", "expect"), ("system", "result")),
    "long_context": (("prompt", "filler", "needle", "expect"), ("depth", "fill")),
    "structured": (("prompt", "schema", "expect"), ("system",)),
    "concurrent": (("prompt", "expect"), ("system", "requests")),
    "latency": (("prompt",), ("system", "first_token_s", "total_s")),
    **kind_checks.KEYS,
}

#: Keys that every check may have, with their defaults.
_COMMON = {
    "id": "", "kind": "", "what": "", "must": True, "thinking": False, "max_tokens": 256, "temperature": 0.0,
    "timeout_s": 120,
}  # fmt: skip

#: Keys of an expectation, by kind; ``contains`` and ``matches`` are about the answer's text.
_TEXT = ("contains", "matches")
_EXPECTATIONS = {
    "tools": ("function", "arguments", *_TEXT),
    "structured": ("values",),
    **kind_checks.EXPECTATIONS,
}

#: The variable with the operator's own checks.
_EXTRA = "vllm_verify_extra_checks"

_ID = re.compile(r"^[a-z0-9][a-z0-9-]*\Z")

#: Options of ``vllm serve`` without which a kind cannot work.
_NEEDED_OPTIONS = {"reasoning": ("reasoning-parser",), "tools": ("enable-auto-tool-choice", "tool-call-parser")}

#: Shortest context, in tokens, in which a sentence can be hidden at all.
_SHORTEST_CONTEXT = 512

#: Tokens that are left free beside prompt and answer of a long context, for what the chat template adds.
SPARE_TOKENS = 32


class CheckError(Exception):
    """A check that cannot be used; the text names the variable and the fix."""


def read(builtin: list, extra: list, skip: list) -> list[dict]:
    """Return the checks to run: those built in, changed or followed by those of the user, without the skipped ones.

    Args:
        builtin: roles/vllm_verify/vars/main.yml.
        extra: ``vllm_verify_extra_checks``; one with the id of an earlier check changes the keys that it names.
        skip: ``vllm_verify_skip``, ids of these and of the checks of endpoints and access.

    Raises:
        CheckError: with all problems, a line each.
    """
    checks: dict[str, dict] = {}
    problems = []
    for variable, given in (("roles/vllm_verify/vars/main.yml", builtin), (_EXTRA, extra)):
        for number, item in enumerate(given, 1):
            where = "%s, entry %d" % (variable, number)
            if not isinstance(item, dict) or not _ID.match(str(item.get("id", ""))):
                problems.append("%s: found %r; expected a check with an id such as my-question." % (where, item))
                continue
            checks[item["id"]] = {**checks.get(item["id"], {}), **item, "where": "%s (%s)" % (where, item["id"])}
    for item in checks.values():
        problems += _problems(item)
    known = (*checks, *endpoint_checks.IDS)
    problems += ["vllm_verify_skip: there is no check %s." % name for name in skip if name not in known]
    if problems:
        raise CheckError("\n".join(problems))
    return [{**_COMMON, **item} for item in checks.values() if item["id"] not in skip]


def _problems(item: dict) -> list[str]:
    """Return what is wrong with a check."""
    where, what_kind = item["where"], item.get("kind")
    if what_kind not in KINDS:
        return ["%s: kind is %r; choose one of %s." % (where, what_kind, ", ".join(KINDS))]
    needed, optional = KINDS[what_kind]
    found = ["%s: a check of kind %s needs %s." % (where, what_kind, key) for key in needed if not item.get(key)]
    unknown = sorted(set(item) - {*needed, *optional, *_COMMON, "where"})
    if unknown:
        found.append("%s: it knows no %s; a check of kind %s has %s." % (
            where, ", ".join(unknown), what_kind, ", ".join((*_COMMON, *needed, *optional))))  # fmt: skip
    expect = item.get("expect") or {}
    known = _EXPECTATIONS.get(what_kind, _TEXT)
    if not isinstance(expect, dict) or set(expect) - set(known):
        found.append("%s: expect is %r; it may have %s." % (where, expect, ", ".join(known)))
    else:
        found += _bad_values(where, item, expect)
    return found


def _bad_values(where: str, item: dict, expect: dict) -> list[str]:
    found = []
    for key, low, high in (("max_tokens", 1, None), ("timeout_s", 1, None), ("requests", 2, 256), ("depth", 0, 1),
                           ("fill", 0.01, 1), ("first_token_s", 0, None), ("total_s", 0, None),
                           ("temperature", 0, 2)):  # fmt: skip
        if key in item:
            try:
                value = float(item[key])
            except (TypeError, ValueError):
                value = -1.0
            if value < low or (high is not None and value > high):
                limits = "%s to %s" % (low, high) if high is not None else "%s or more" % low
                found.append("%s: %s is %r; use a number, %s." % (where, key, item[key], limits))
    for key in ("must", "thinking"):
        try:
            CONVERTERS["bool"](item.get(key, True))
        except ValueError:
            found.append("%s: %s is %r; use true or false." % (where, key, item[key]))
    try:
        re.compile(str(expect.get("matches", "")))
    except re.error as error:
        found.append("%s: matches is no regular expression: %s." % (where, error))
    for key in ("tools", "schema"):
        if key in item and not isinstance(item[key], list if key == "tools" else dict):
            found.append("%s: %s must be a %s." % (where, key, "list" if key == "tools" else "dictionary"))
    return found + kind_checks.bad_values(where, item, expect)


def question(item: dict, definition: dict) -> dict | None:
    """Return what to ask for a check, or None when this service cannot be asked (see :func:`_not_asked`).

    Args:
        item: the check.
        definition: of the service, with the real ``max_model_len`` (None when it is not known).
    """
    if _not_asked(item, definition):
        return None
    if item["kind"] in kind_checks.FOR:
        return kind_checks.question(item, definition)
    messages = [{"role": "user", "content": str(item["prompt"])}]
    if item.get("system"):
        messages.insert(0, {"role": "system", "content": str(item["system"])})
    length = definition["max_model_len"]
    asked = {
        "id": item["id"],
        "kind": {"reasoning": "chat", "long_context": "needle", "concurrent": "many", "latency": "stream"}.get(
            item["kind"], item["kind"]
        ),
        "messages": messages,
        # half of a short context is left to the prompt
        "max_tokens": max(1, min(int(item["max_tokens"]), length // 2)) if length else int(item["max_tokens"]),
        "temperature": float(item["temperature"]),
        "timeout_s": float(item["timeout_s"]),
        # templates that know no thinking ignore it
        "extra_body": {"chat_template_kwargs": {"enable_thinking": CONVERTERS["bool"](item["thinking"])}},
    }
    if item["kind"] == "tools":
        asked.update(tools=item["tools"], result=item.get("result"))
    elif item["kind"] == "structured":
        asked.update(schema=item["schema"])
    elif item["kind"] == "concurrent":
        asked.update(requests=int(item.get("requests", 8)))
    elif item["kind"] == "long_context":
        room = length - asked["max_tokens"] - SPARE_TOKENS
        asked.update(
            tokens=min(room, int(length * float(item.get("fill", 0.9)))),
            depth=float(item.get("depth", 0.5)),
            filler=str(item["filler"]),
            needle=str(item["needle"]),
            prompt=str(item["prompt"]),
        )
    return asked


def _not_asked(item: dict, definition: dict) -> str:
    """Return why a check does not apply to this service; empty when it does."""
    missing = [name for name in _NEEDED_OPTIONS.get(item["kind"], ()) if name not in definition["extra_options"]]
    if missing:
        return "the service is started without %s (vllm_extra_options)" % " and ".join(missing)
    if item["kind"] == "long_context" and not definition["max_model_len"]:
        return "how long a request may be is told neither by vllm_max_model_len nor by /v1/models"
    if item["kind"] == "long_context" and definition["max_model_len"] < _SHORTEST_CONTEXT:
        return "the service takes %d tokens; nothing can be hidden below %d" % (
            definition["max_model_len"], _SHORTEST_CONTEXT)  # fmt: skip
    return ""


class Fit(typing.NamedTuple):
    """Whether a check ``applies`` to a service, whether that is ``certain``, and the ``reason`` when it does not.

    ``foreign`` tells that it is for another kind of service altogether.
    """

    applies: bool
    certain: bool = True
    reason: str = ""
    foreign: bool = False


_APPLIES = Fit(True)


def fitness(item: dict, told: service_kind.Told, more: tuple[str, ...] = ()) -> Fit:
    """Return whether a check is for this service.

    Args:
        item: the check.
        told: the kind of the service.
        more: kinds that the service is in addition, as a chat model that transcribes.
    """
    wanted = kind_checks.FOR.get(item["kind"], kind_checks.CHATTING)
    fits = [kind for kind in told.candidates if kind in wanted]
    if fits or set(wanted) & set(more):
        return Fit(True, len(fits) == len(told.candidates) or bool(set(wanted) & set(more)))
    if not told.candidates:
        return Fit(False, False, "what kind of service this is cannot be told (endpoint-kind)")
    if told.kind == "base" and wanted == kind_checks.CHATTING:
        return Fit(False, True, "the model has no chat template")
    reason = "this is for services of kind %s, and this one is %s" % (
        " or ".join(wanted), told.kind or " or ".join(told.candidates))  # fmt: skip
    return Fit(False, True, reason, foreign=True)


def is_own(item: dict) -> bool:
    """Tell whether a check is the operator's, or was changed by him."""
    return item["where"].startswith(_EXTRA)


def judge(item: dict, definition: dict, answer: dict | None, fit: Fit = _APPLIES) -> dict:
    """Return the check (:func:`check_result.check`) that an answer makes.

    Args:
        item: the check.
        definition: as for :func:`question`.
        answer: None stands for a question never asked.
        fit: what :func:`fitness` says; a check that may be for another kind of service is never required.
    """
    if answer is None:
        verdict = skipped(fit.reason or _not_asked(item, definition))
    elif check_result.NO_TEMPLATE in answer["error"].lower() and "BadRequest" in answer["error"]:
        verdict = skipped("the model has no chat template: %s" % answer["error"])
    elif answer["error"]:
        verdict = kind_checks.no_images(answer["error"]) if item["kind"] == "vision" else None
        verdict = verdict or failed("no answer: %s" % answer["error"])
    elif item["kind"] in kind_checks.FOR:
        verdict = kind_checks.judge(item, answer, definition)
    else:
        verdict = _JUDGES[item["kind"]](item, answer)
    what = item["what"] or str(item.get("prompt") or item["kind"])
    return check_result.check(
        item["id"], "functional", what, verdict, (answer or {}).get("duration_s", 0.0),
        CONVERTERS["bool"](item["must"]) and fit.certain,
    )  # fmt: skip


def _content(message: dict) -> str:
    return message.get("content") or ""


def _shown(message: dict) -> str:
    """Return a message as a line of evidence."""
    parts = [("thinks", message.get("reasoning") or message.get("reasoning_content")), ("says", message.get("content"))]
    calls = [
        "%s(%s)" % (call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []
    ]
    parts.append(("calls", ", ".join(calls)))
    shown = "; ".join("%s: %s" % (how, " ".join(text.split())[:120]) for how, text in parts if text)
    return shown or "an empty answer (finish_reason %s)" % message.get("finish_reason")


def _cut(item: dict, message: dict) -> str:
    """Return a hint when an answer was cut off."""
    return " (cut off after max_tokens: %s)" % item["max_tokens"] if message.get("finish_reason") == "length" else ""


def _judge_chat(item: dict, answer: dict) -> Verdict:
    message = answer["message"]
    problem = kind_checks.text_problem(item["expect"], _content(message))
    return failed(problem + _cut(item, message), _shown(message)) if problem else passed(_shown(message))


def _judge_reasoning(item: dict, answer: dict) -> Verdict:
    message = answer["message"]
    thought = message.get("reasoning") or message.get("reasoning_content") or ""
    if not thought.strip():
        return failed("there is no reasoning field in the answer" + _cut(item, message), _shown(message))
    if "</think>" in _content(message):
        return failed("the reasoning is not taken out of the answer", _shown(message))
    return _judge_chat(item, answer)


def _judge_tools(item: dict, answer: dict) -> Verdict:
    message, expect = answer["message"], item["expect"]
    calls = message.get("tool_calls") or []
    if not calls:
        return failed("no tool was called" + _cut(item, message), _shown(message))
    name = calls[0]["function"]["name"]
    if expect.get("function") and name != expect["function"]:
        return failed("found a call of %s, expected %s" % (name, expect["function"]), _shown(message))
    if answer["schema_problem"]:
        return failed("the arguments do not fit the tool: %s" % answer["schema_problem"], _shown(message))
    arguments = json.loads(calls[0]["function"]["arguments"])
    wrong = _wrong_values(expect.get("arguments") or {}, arguments)
    if wrong:
        return failed("the arguments differ: %s" % wrong, _shown(message))
    if item.get("result") is None:
        return passed(_shown(message))
    after = answer["follow_up"]
    problem = kind_checks.text_problem({key: expect[key] for key in _TEXT if key in expect}, _content(after))
    shown = "%s; then %s" % (_shown(message), _shown(after))
    return failed("after the tool's result %s" % problem, shown) if problem else passed(shown)


def _wrong_values(expected: dict, found: object) -> str:
    """Return how the values of a JSON object differ from those expected; texts are compared without their case."""
    if not isinstance(found, dict):
        return "found %s, expected an object" % json.dumps(found)
    return ", ".join(
        "%s is %s, expected %s" % (key, json.dumps(found.get(key)), json.dumps(value))
        for key, value in expected.items()
        if str(found.get(key)).lower() != str(value).lower()
    )


def _judge_structured(item: dict, answer: dict) -> Verdict:
    message = answer["message"]
    if answer["schema_problem"]:
        return failed("the answer does not fit the schema: %s%s" % (answer["schema_problem"], _cut(item, message)),
                      _shown(message))  # fmt: skip
    wrong = _wrong_values(item["expect"].get("values") or {}, json.loads(_content(message)))
    return failed("the values differ: %s" % wrong, _shown(message)) if wrong else passed(_shown(message))


def _judge_long_context(item: dict, answer: dict) -> Verdict:
    verdict = _judge_chat(item, answer)
    where = "hidden at %d %% of %d tokens; " % (round(100 * float(item.get("depth", 0.5))), answer["prompt_tokens"])
    return verdict._replace(evidence=where + verdict.evidence)


def _judge_concurrent(item: dict, answer: dict) -> Verdict:
    wanted = int(item.get("requests", 8))
    if answer["errors"]:
        return failed("%d of %d requests failed: %s" % (len(answer["errors"]), wanted, answer["errors"][0]))
    problems = [kind_checks.text_problem(item["expect"], _content(message)) for message in answer["messages"]]
    bad = [number for number, problem in enumerate(problems) if problem]
    if bad:
        return failed("%d of %d answers are wrong: %s" % (len(bad), wanted, problems[bad[0]]),
                      _shown(answer["messages"][bad[0]]))  # fmt: skip
    return passed("%d right answers at the same time" % wanted)


def _judge_latency(item: dict, answer: dict) -> Verdict:
    if answer["first_token_s"] is None:
        return failed("the stream ended without a token")
    seen = "first token after %.2f s, the last after %.2f s, %d parts" % (
        answer["first_token_s"], answer["total_s"], answer["chunks"])  # fmt: skip
    for key, found in (("first_token_s", answer["first_token_s"]), ("total_s", answer["total_s"])):
        if key in item and found > float(item[key]):
            return failed("%s: found %.2f s, expected at most %s s" % (key, found, item[key]), seen)
    return passed(seen)


_JUDGES = {
    "chat": _judge_chat,
    "reasoning": _judge_reasoning,
    "tools": _judge_tools,
    "long_context": _judge_long_context,
    "structured": _judge_structured,
    "concurrent": _judge_concurrent,
    "latency": _judge_latency,
}
