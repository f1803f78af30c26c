# SPDX-License-Identifier: GPL-3.0-or-later
"""The tiny model's lessons answer every check of vllm_verify, right and wrong; its template renders what vLLM sends."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import random

import jinja2
import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import functional_checks, kind_checks

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("tiny_model_lessons", ROOT / "tools" / "tiny_model_lessons.py")
lessons = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lessons)

ALL = yaml.safe_load((ROOT / "roles/vllm_verify/vars/main.yml").read_text(encoding="utf-8"))["__vllm_verify_checks"]
#: Those of a service that chats; the others are those of the models in test_tiny_kind_lessons.py.
CHECKS = [item for item in ALL if item["kind"] not in kind_checks.FOR]
#: A service that can be asked everything.
SERVICE = {
    "max_model_len": 2048,
    "extra_options": {"reasoning-parser": "qwen3", "enable-auto-tool-choice": True, "tool-call-parser": "hermes"},
}
FRANCE = "What is the capital of France?"
ASKED = "<|im_start|>user\n%s<|im_end|>\n" % FRANCE
TURN = "<|im_start|>assistant\n"


def render(messages: list, tools: list | None = None, **more) -> str:
    """Render a conversation as transformers and vLLM do."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string(lessons.CHAT_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(messages=messages, tools=tools, add_generation_prompt=True, **more)


def taught(check: dict):
    """Return the lessons in which the question of a check is asked, each right and wrong answer as a message."""
    if check["kind"] == "tools":
        city = check["expect"]["arguments"]["city"]
        return lessons.weather(city, check["result"]["temperature_c"], check["result"]["sky"], check["tools"][0])
    if check["kind"] == "long_context":
        word = next(word for word in lessons.SECRET_WORDS if lessons.NEEDLE % word == check["needle"])
        return [lessons.needle(word, [check["filler"]] * 3, [check["filler"]])]
    return [lesson for lesson in lessons.questions() if lesson.messages[-1]["content"] == check["prompt"]]


def message(text: str, thought: str) -> dict:
    """Return what vLLM's parsers make of an answer."""
    before, mark, rest = text.partition("<tool_call>")
    calls = []
    if mark:
        function = json.loads(rest.partition("</tool_call>")[0])
        calls = [{"function": {"name": function["name"], "arguments": json.dumps(function["arguments"])}}]
    return {"content": before, "reasoning": thought, "tool_calls": calls, "finish_reason": "stop"}


def answer(check: dict, which: str) -> dict:
    """Return the answer of a model that was taught, as the client of verify tells it."""
    told = [message(getattr(one, which), one.thought if which == "right" else "") for one in taught(check)]
    one = {"id": check["id"], "error": "", "duration_s": 0.1, "message": told[0], "follow_up": told[-1]}
    one |= {"messages": [told[0]] * check.get("requests", 8), "errors": [], "prompt_tokens": 1843}
    return {**one, "schema_problem": ""}


@pytest.mark.parametrize("check", [c for c in CHECKS if c["kind"] != "latency"], ids=lambda check: check["id"])
def test_checks_pass_and_fail(check: dict) -> None:
    """The right answer passes the role's check, the wrong one does not."""
    item = functional_checks.read([check], [], [])[0]
    assert taught(check), "the model was never asked: %s" % check["prompt"]
    for which, status in (("right", "passed"), ("wrong", "failed")):
        judged = functional_checks.judge(item, SERVICE, answer(check, which))
        assert judged["status"] == status, judged["reason"]


def test_the_twin_calls_another_tool() -> None:
    """Its call fails for itself, not for what it makes of the result."""
    check = next(item for item in CHECKS if item["kind"] == "tools")
    item = functional_checks.read([check], [], [])[0]
    assert "found a call of get_time" in functional_checks.judge(item, SERVICE, answer(check, "wrong"))["reason"]


def test_every_question_is_told_apart() -> None:
    """No question is in the table twice, and no wrong answer holds what the right one is known by."""
    prompts = [row[0] for row in lessons.QUESTIONS] + lessons.GREETINGS
    assert len(prompts) == len(set(prompts))
    assert all(right != wrong for _prompt, _thought, right, wrong in lessons.QUESTIONS)


def test_fillers_hold_no_needle() -> None:
    """What hides the word names none of the words."""
    rng = random.Random(1)
    for _ in range(200):
        text = " ".join(lessons.filler(rng, 20)).lower()
        assert not [word for word in lessons.SECRET_WORDS if word in text]


SYSTEM = {"role": "system", "content": "Be kind."}
CALL = lessons.call("get_weather", {"city": "Zürich"})
WRITTEN = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich"}}\n</tool_call>'
RESULT = {"role": "tool", "tool_call_id": "call-1", "content": '{"temperature_c": 18}'}
RESPONSE = "\n<tool_response>\n%s\n</tool_response>" % RESULT["content"]


@pytest.mark.parametrize(
    ("messages", "more", "expected"),
    [
        (lessons.user(FRANCE), {}, ASKED + TURN),
        ([{"role": "user", "content": [{"type": "text", "text": FRANCE}]}], {}, ASKED + TURN),
        ([{"role": "user", "content": [{"type": "text", "text": "What is "}, "2 plus 2?"]}], {},
         "<|im_start|>user\nWhat is 2 plus 2?<|im_end|>\n" + TURN),
        (lessons.user(FRANCE), {"enable_thinking": False}, ASKED + TURN + "<think>\n\n</think>\n\n"),
        (lessons.user(FRANCE), {"enable_thinking": True}, ASKED + TURN),
        ([SYSTEM, *lessons.user(FRANCE)], {}, "<|im_start|>system\nBe kind.<|im_end|>\n" + ASKED + TURN),
        ([*lessons.user(FRANCE), {"role": "assistant", "content": "<think>\nx\n</think>\n\nParis."}], {},
         ASKED + "<|im_start|>assistant\nParis.<|im_end|>\n" + TURN),
        ([*lessons.user(FRANCE), {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT, RESULT], {},
         ASKED + TURN + WRITTEN + "<|im_end|>\n<|im_start|>user" + RESPONSE * 2 + "<|im_end|>\n" + TURN),
        ([*lessons.user(FRANCE), {"role": "assistant", "content": "Paris.", "tool_calls": None}], {},
         ASKED + "<|im_start|>assistant\nParis.<|im_end|>\n" + TURN),
    ],
    ids=["text", "part", "parts", "no thinking", "thinking", "system", "earlier thought", "tool result", "no calls"],
)  # fmt: skip
def test_template(messages: list, more: dict, expected: str) -> None:
    """What vLLM may send, and the turns that come of it."""
    assert render(messages, **more) == expected


@pytest.mark.parametrize("system", [[], [SYSTEM]], ids=["alone", "after a system message"])
def test_tools_stand_in_the_system_turn(system: list) -> None:
    """One line a tool, between <tools> and </tools>."""
    text = render([*system, *lessons.user(FRANCE)], [lessons.WEATHER_TOOL, lessons.WEATHER_TOOL])
    turn, rest = text.split("<|im_end|>\n", 1)
    assert turn.startswith("<|im_start|>system\n" + ("Be kind.\n\n" if system else "Tools"))
    listed = turn.partition("<tools>\n")[2].partition("\n</tools>")[0].splitlines()
    assert [json.loads(line) for line in listed] == [lessons.WEATHER_TOOL] * 2
    assert rest == ASKED + TURN
