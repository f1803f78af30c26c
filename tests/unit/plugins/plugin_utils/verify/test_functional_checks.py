# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks as data: reading them, asking, judging; the checks of the role themselves are among the material."""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import endpoint_checks, functional_checks, service_kind

ROOT = pathlib.Path(__file__).resolve().parents[5]
BUILTIN = yaml.safe_load((ROOT / "roles/vllm_verify/vars/main.yml").read_text(encoding="utf-8"))["__vllm_verify_checks"]
CHECKS = {item["id"]: item for item in functional_checks.read(BUILTIN, [], [])}
DEFINITION = {
    "max_model_len": 2048,
    "extra_options": ["reasoning-parser", "enable-auto-tool-choice", "tool-call-parser"],
}
ANSWERED = {"error": "", "duration_s": 0.5, "gone": False}


def message(content: str | None = None, **more) -> dict:
    return {"role": "assistant", "content": content, "finish_reason": "stop", **more}


def call(name: str = "get_weather", arguments: str = '{"city": "Paris"}') -> dict:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}


RIGHT = {
    "chat": {"message": message("The capital of France is Paris.")},
    "arithmetic": {"message": message("42")},
    "reasoning": {"message": message("Paris.", reasoning="The user asks for a capital.")},
    "tool-call": {
        "message": message(tool_calls=[call()]),
        "schema_problem": "",
        "follow_up": message("18 degrees and cloudy."),
    },
    "structured-output": {"message": message('{"city": "Paris", "country": "France"}'), "schema_problem": ""},
    "concurrency": {"messages": [message("Paris")] * 8, "errors": []},
    "long-context": {"message": message("The secret word is lantern."), "prompt_tokens": 1800},
    "latency": {"first_token_s": 0.2, "total_s": 1.0, "chunks": 12, "text": "Paris"},
}


def judged(name: str, answer: dict | None, **changes) -> dict:
    given = answer if answer is None else {**ANSWERED, "id": name, **answer}
    return functional_checks.judge({**CHECKS[name], **changes}, DEFINITION, given)


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_right_answers_pass(name: str) -> None:
    """Those of a chat (the others: test_kind_checks.py); each is passed by a right answer, with evidence."""
    found = judged(name, RIGHT[name])
    assert (found["status"], found["reason"], found["group"]) == ("passed", "", "functional")
    assert found["evidence"]


def test_every_kind_is_among_those_of_the_role() -> None:
    assert {item["kind"] for item in CHECKS.values()} == set(functional_checks.KINDS)


WRONG = {
    "wrong capital": ("chat", {"message": message("Lyon")}, "lacks 'Paris'"),
    "empty": ("chat", {"message": message(None)}, "lacks 'Paris'"),
    "cut off": ("chat", {"message": message("The cap", finish_reason="length")}, "cut off after max_tokens: 256"),
    "wrong sum": ("arithmetic", {"message": message("41")}, "lacks '42'"),
    "no thoughts": ("reasoning", {"message": message("Paris")}, "no reasoning field"),
    "thoughts in the answer": (
        "reasoning",
        {"message": message("so </think> Paris", reasoning="x")},
        "not taken out of the answer",
    ),
    "thoughts, wrong answer": ("reasoning", {"message": message("Lyon", reasoning="x")}, "lacks 'Paris'"),
    "no call": ("tool-call", {"message": message("It is sunny.")}, "no tool was called"),
    "another tool": (
        "tool-call",
        {"message": message(tool_calls=[call("get_time")]), "schema_problem": ""},
        "found a call of get_time",
    ),
    "arguments that do not fit": (
        "tool-call",
        {"message": message(tool_calls=[call(arguments="{}")]), "schema_problem": "'city' is required"},
        "do not fit the tool: 'city' is required",
    ),
    "other arguments": (
        "tool-call",
        {"message": message(tool_calls=[call(arguments='{"city": "Rome"}')]), "schema_problem": ""},
        'city is "Rome", expected "Paris"',
    ),
    "a list for arguments": (
        "tool-call",
        {"message": message(tool_calls=[call(arguments="[]")]), "schema_problem": ""},
        "expected an object",
    ),
    "the result is not used": (
        "tool-call",
        {**RIGHT["tool-call"], "follow_up": message("I do not know.")},
        "after the tool's result",
    ),
    "no JSON": (
        "structured-output",
        {"message": message("Paris"), "schema_problem": "no JSON"},
        "does not fit the schema",
    ),
    "other values": (
        "structured-output",
        {"message": message('{"city": "Lyon", "country": "France"}'), "schema_problem": ""},
        'city is "Lyon"',
    ),
    "one of eight": (
        "concurrency",
        {"messages": [*[message("Paris")] * 7, message("Lyon")], "errors": []},
        "1 of 8 answers are wrong",
    ),
    "one fails": (
        "concurrency",
        {"messages": [message("Paris")] * 7, "errors": ["ReadTimeout"]},
        "1 of 8 requests failed",
    ),
    "forgotten": ("long-context", {"message": message("pear"), "prompt_tokens": 1800}, "lacks 'lantern'"),
    "slow": ("latency", {"first_token_s": 7.0, "total_s": 9.0, "chunks": 3}, "found 7.00 s, expected at most 5"),
    "silent": ("latency", {"first_token_s": None, "total_s": 9.0, "chunks": 0}, "without a token"),
    "refused": ("chat", {"error": "BadRequestError: no"}, "no answer: BadRequestError"),
}


@pytest.mark.parametrize(("name", "answer", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_answers_fail(name: str, answer: dict, reason: str) -> None:
    found = judged(name, answer)
    assert found["status"] == "failed"
    assert reason in found["reason"]


def test_expectations() -> None:
    """A text, several, or a pattern; without any of them, anything but nothing."""
    answer = {"message": message("It is 42 °C in PARIS")}
    assert judged("chat", answer, expect={"contains": ["paris", 42]})["status"] == "passed"
    assert judged("chat", answer, expect={"contains": "paris"})["status"] == "passed"
    assert judged("chat", answer, expect={"matches": r"^It is \d+"})["status"] == "passed"
    assert judged("chat", answer, expect={"matches": "^42"})["status"] == "failed"
    assert judged("chat", {"message": message(" ")}, expect={"matches": " "})["reason"] == "the answer is empty"


def test_total_time_is_a_limit_of_its_own() -> None:
    assert judged("latency", RIGHT["latency"], total_s=0.5)["status"] == "failed"


def test_older_releases_call_the_field_reasoning_content() -> None:
    assert judged("reasoning", {"message": message("Paris", reasoning_content="x")})["status"] == "passed"


@pytest.mark.parametrize(("value", "must"), [(True, True), ("false", False), (False, False), ("yes", True)])
def test_must_of_a_survey_is_a_text(value: object, must: bool) -> None:
    assert judged("chat", RIGHT["chat"], must=value)["must"] is must


def test_a_model_without_template_is_skipped() -> None:
    found = judged("chat", {"error": "BadRequestError: default chat template is no longer allowed"})
    assert found["status"] == "skipped"


@pytest.mark.parametrize(
    ("name", "definition", "reason"),
    [
        ("reasoning", {**DEFINITION, "extra_options": []}, "without reasoning-parser"),
        ("tool-call", {**DEFINITION, "extra_options": ["tool-call-parser"]}, "without enable-auto-tool-choice"),
        ("long-context", {**DEFINITION, "max_model_len": 256}, "the service takes 256 tokens"),
        ("long-context", {**DEFINITION, "max_model_len": None}, "neither by vllm_max_model_len nor by /v1/models"),
    ],
)
def test_what_the_service_is_not_set_up_for_is_skipped(name: str, definition: dict, reason: str) -> None:
    assert functional_checks.question(CHECKS[name], definition) is None
    found = functional_checks.judge(CHECKS[name], definition, None)
    assert found["status"] == "skipped"
    assert reason in found["reason"]


def test_a_model_of_another_kind_is_not_asked() -> None:
    fit = functional_checks.fitness(CHECKS["chat"], service_kind.Told("embed", ("embed",), "its log"))
    found = functional_checks.judge(CHECKS["chat"], DEFINITION, None, fit)
    assert found["status"] == "skipped"
    assert found["reason"] == "this is for services of kind chat or vision, and this one is embed"


def test_length_that_is_not_known() -> None:
    """Nothing is cut then."""
    question = functional_checks.question(CHECKS["reasoning"], {**DEFINITION, "max_model_len": None})
    assert question["max_tokens"] == 2048


def test_any_check_can_be_left_out() -> None:
    """Those of endpoints and access, too; others there are none."""
    for name in (*endpoint_checks.IDS, *CHECKS):
        functional_checks.read(BUILTIN, [], [name])
    assert len(set(endpoint_checks.IDS) | set(CHECKS)) == len(endpoint_checks.IDS) + len(CHECKS)
    with pytest.raises(functional_checks.CheckError, match="vllm_verify_skip: there is no check endpoint-nothing"):
        functional_checks.read(BUILTIN, [], ["endpoint-nothing"])


def test_a_question_that_was_not_asked_any_more_fails() -> None:
    assert judged("chat", endpoint_checks.NOT_ASKED)["status"] == "failed"


def test_questions() -> None:
    """A short context leaves room for the prompt, and thinking is asked for only where it is checked."""
    question = functional_checks.question(CHECKS["reasoning"], DEFINITION)
    assert (question["kind"], question["max_tokens"]) == ("chat", 1024)
    assert question["extra_body"] == {"chat_template_kwargs": {"enable_thinking": True}}
    question = functional_checks.question({**CHECKS["chat"], "system": "Be short."}, DEFINITION)
    assert [item["role"] for item in question["messages"]] == ["system", "user"]
    assert question["extra_body"] == {"chat_template_kwargs": {"enable_thinking": False}}
    question = functional_checks.question(CHECKS["long-context"], {**DEFINITION, "max_model_len": 131072})
    assert (question["tokens"], question["depth"]) == (117964, 0.5)
    question = functional_checks.question({**CHECKS["long-context"], "fill": 1}, DEFINITION)
    assert question["tokens"] == 2048 - 256 - functional_checks.SPARE_TOKENS
    assert functional_checks.question(CHECKS["concurrency"], DEFINITION)["requests"] == 8


@pytest.mark.parametrize(("value", "thinks"), [("false", False), ("true", True), (True, True)])
def test_thinking_of_a_survey_is_a_text(value: object, thinks: bool) -> None:
    question = functional_checks.question({**CHECKS["chat"], "thinking": value}, DEFINITION)
    assert question["extra_body"] == {"chat_template_kwargs": {"enable_thinking": thinks}}


def test_own_checks_change_and_follow() -> None:
    """A key of one that is there is changed, the others stay; a new one comes last; what is skipped goes."""
    extra = [
        {"id": "chat", "must": False},
        {"id": "mine", "kind": "chat", "prompt": "Hi", "expect": {"contains": ["a"]}},
    ]
    found = functional_checks.read(BUILTIN, extra, ["latency"])
    assert [item["id"] for item in found] == [*[name for name in CHECKS if name != "latency"], "mine"]
    assert (found[0]["must"], found[0]["expect"], found[-1]["must"]) == (False, {"contains": ["Paris"]}, True)


BAD = {
    "no id": ({"kind": "chat"}, "expected a check with an id"),
    "a text": ("What?", "expected a check with an id"),
    "unknown kind": ({"id": "a", "kind": "chta"}, "kind is 'chta'; choose one of chat"),
    "nothing to ask": ({"id": "a", "kind": "chat", "expect": {"contains": "a"}}, "needs prompt"),
    "nothing to expect": ({"id": "a", "kind": "chat", "prompt": "a"}, "needs expect"),
    "unknown key": ({"id": "chat", "promt": "a"}, "it knows no promt"),
    "unknown expectation": ({"id": "chat", "expect": {"contain": "a"}}, "it may have contains, matches"),
    "expectation that is a text": ({"id": "chat", "expect": "Paris"}, "expect is 'Paris'"),
    "no pattern": ({"id": "chat", "expect": {"matches": "("}}, "no regular expression"),
    "no number": ({"id": "chat", "max_tokens": "many"}, "max_tokens is 'many'; use a number, 1 or more"),
    "neither true nor false": ({"id": "chat", "must": "perhaps"}, "must is 'perhaps'; use true or false"),
    "too deep": ({"id": "long-context", "depth": 2}, "depth is 2; use a number, 0 to 1"),
    "tools are no list": ({"id": "tool-call", "tools": {"a": 1}}, "tools must be a list"),
}


@pytest.mark.parametrize(("item", "text"), BAD.values(), ids=BAD)
def test_bad_checks_are_refused(item: object, text: str) -> None:
    """The message names the variable and the entry."""
    with pytest.raises(functional_checks.CheckError) as error:
        functional_checks.read(BUILTIN, [item], [])
    assert text in str(error.value)
    assert "vllm_verify_extra_checks, entry 1" in str(error.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(functional_checks.CheckError) as error:
        functional_checks.read(BUILTIN, [{"id": "chat", "x": 1}, {"id": "latency", "y": 1}], ["nothing"])
    assert len(str(error.value).splitlines()) == 3
    assert "vllm_verify_skip: there is no check nothing" in str(error.value)


def test_questions_are_plain_data() -> None:
    for item in CHECKS.values():
        json.dumps(functional_checks.question(item, DEFINITION))
