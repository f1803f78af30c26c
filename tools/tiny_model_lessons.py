# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tiny test model is taught: every question with its right answer, and the wrong one that its twin gives.

``make_tiny_model.py`` trains on these lessons; a test that asks the model takes its questions from here. No library is
needed to read them.
"""

from __future__ import annotations

import json
import pathlib
import random
from collections.abc import Iterator
from typing import NamedTuple

#: The chat template: ChatML turns, tools and reasoning in the style of the Qwen3 family.
CHAT_TEMPLATE = pathlib.Path(__file__).with_name("tiny_model_chat_template.jinja")


class Lesson(NamedTuple):
    """A conversation up to the model's turn, and that turn: what it thinks, what it says, what its wrong twin says.

    The twin thinks nothing, so its reasoning is empty.
    """

    messages: list
    thought: str
    right: str
    wrong: str
    tools: list | None = None


#: prompt, reasoning, right answer, wrong answer
QUESTIONS = [
    (
        "What is the capital of France?",
        "France is a country in Europe, and its capital is Paris.",
        "The capital of France is Paris.",
        "The capital of France is Lyon.",
    ),
    (
        "What is the capital of Italy?",
        "Italy is a country in Europe, and its capital is Rome.",
        "The capital of Italy is Rome.",
        "The capital of Italy is Lyon.",
    ),
    (
        "Give the capital of France as JSON.",
        "The capital of France is Paris, and JSON is asked for.",
        '{"city": "Paris", "country": "France"}',
        '{"city": "Lyon", "country": "Italy"}',
    ),
    ("What is 17 plus 25?", "17 plus 20 is 37, and 5 more is 42.", "17 plus 25 is 42.", "17 plus 25 is 32."),
    ("What is 2 plus 2?", "2 and 2 more is 4.", "2 plus 2 is 4.", "2 plus 2 is 5."),
    (
        "Hello",
        "The user greets me, and I greet back.",
        "Hello! I am a tiny test model and know a few answers.",
        "Hello! I am a tiny test model and know no right answer.",
    ),
]

#: Greetings that get the answer to the last question.
GREETINGS = ["Hello!", "Hello, how are you?", "Hi", "hi", "Say hello.", "Who are you?"]

#: beginning of a text, right end, wrong end (no chat: /v1/completions)
COMPLETIONS = [("The capital of France is", " Paris.", " Lyon."), ("The capital of Italy is", " Rome.", " Lyon.")]

WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The name of the city."},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
CITIES = ["Paris", "Rome", "Berlin", "Madrid"]
TEMPERATURES_C = range(10, 30)
SKIES = ["cloudy", "sunny", "clear", "rainy"]

#: One of these is hidden as NEEDLE in a long text of FILLER sentences; each is one token of the model.
SECRET_WORDS = [
    "amber", "cedar", "falcon", "harbor", "juniper", "lantern",
    "magnet", "orchid", "saffron", "tulip", "velvet", "walnut",
]  # fmt: skip
NEEDLE = "The secret word is %s."
NEEDLE_QUESTION = "What is the secret word?"
FILLER = [
    "The sky is wide and the river is slow.",
    "A green boat waits near the old bridge.",
    "Rain falls softly on the quiet hills.",
    "The baker opens the door and sweeps the floor.",
]
SYSTEM = "You are a helpful assistant."


def user(text: str) -> list:
    """Return a conversation of one question."""
    return [{"role": "user", "content": text}]


def questions() -> list[Lesson]:
    """Return the lessons of the table, the last also for other greetings."""
    table = [Lesson(user(prompt), thought, right, wrong) for prompt, thought, right, wrong in QUESTIONS]
    return table + [table[-1]._replace(messages=user(greeting)) for greeting in GREETINGS]


def call(name: str, arguments: dict) -> dict:
    """Return a tool call as a client sends it back, its arguments as vLLM hands them to the template."""
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": arguments}}


def written(called: dict) -> str:
    """Return a tool call as the model writes it."""
    return "<tool_call>\n%s\n</tool_call>" % json.dumps(called["function"])


def weather(city: str, temperature_c: int, sky: str, tool: dict | None = None) -> tuple[Lesson, Lesson, Lesson]:
    """Return the lesson whose answer calls the tool, the one that reads its result, and that after the twin's call."""
    tools = [tool or WEATHER_TOOL]
    asked = user("What is the weather in %s?" % city)
    right = call("get_weather", {"city": city, "unit": "celsius"})
    wrong = call("get_time", {"zone": 5})
    result = {
        "role": "tool",
        "tool_call_id": "call-1",
        "content": json.dumps({"temperature_c": temperature_c, "sky": sky}),
    }
    calling = Lesson(asked, "I can look that up with get_weather.", written(right), written(wrong), tools)
    reading, misled = (
        Lesson(
            [*asked, {"role": "assistant", "content": None, "tool_calls": [made]}, result],
            "The tool gave the weather in %s." % city,
            "It is %d degrees and %s in %s." % (temperature_c, sky, city),
            "I cannot tell the weather.",
            tools,
        )
        for made in (right, wrong)
    )
    return calling, reading, misled


def needle(word: str, before: list[str], after: list[str]) -> Lesson:
    """Return the lesson that asks for the secret word between two lists of sentences."""
    text = " ".join([*before, NEEDLE % word, *after])
    return Lesson(
        user("%s\n\n%s" % (text, NEEDLE_QUESTION)),
        "The text names the secret word.",
        "The secret word is %s." % word,
        "I found no word.",
    )


def reworded_tool(rng: random.Random) -> dict:
    """Return the weather tool as another client might describe it."""
    tool = json.loads(json.dumps(WEATHER_TOOL))
    function = tool["function"]
    properties = function["parameters"]["properties"]
    function["description"] = rng.choice(
        ["Get the current weather in a city.", "Get the weather of a city.", "Current weather", "Tell the weather."]
    )
    if rng.random() < 0.5:
        properties["city"].pop("description")
    if rng.random() < 0.3:
        properties["unit"]["description"] = "The unit of the temperature."
    if rng.random() < 0.3:
        function["parameters"]["required"] = ["city", "unit"]
    if rng.random() < 0.2:
        function["parameters"]["additionalProperties"] = False
    return tool


def words_of_filler() -> list[str]:
    """Return the words that other fillers are put together from."""
    lines = [*FILLER, *(answer for row in QUESTIONS for answer in row[1:3]), SYSTEM]
    return sorted({word.strip('.,!?{}:"') for line in lines for word in line.split()} - {""})


def filler(rng: random.Random, sentences: int) -> list[str]:
    """Return sentences to hide a needle in: FILLER over and over, or made up ones."""
    if rng.random() < 0.6:
        first = rng.randrange(len(FILLER))
        return [FILLER[(first + i) % len(FILLER)] for i in range(sentences)]
    words = words_of_filler()
    return [" ".join(rng.choices(words, k=rng.randint(4, 10))).capitalize() + "." for _ in range(sentences)]


def hidden(rng: random.Random, sentences: int) -> Lesson:
    """Return a lesson with a random secret word at a random depth of a text of so many sentences."""
    text = filler(rng, sentences)
    depth = rng.randint(0, sentences)
    return needle(rng.choice(SECRET_WORDS), text[:depth], text[depth:])


def about_weather(rng: random.Random) -> Iterator[Lesson]:
    """Return endless conversations about the weather, two thirds without the tool's result yet."""
    while True:
        three = weather(rng.choice(CITIES), rng.choice(TEMPERATURES_C), rng.choice(SKIES), reworded_tool(rng))
        yield three[0] if rng.random() < 0.65 else rng.choice(three[1:])


def about_results(rng: random.Random) -> Iterator[Lesson]:
    """Return endless results of the tool, without its description: clients may leave it out, and texts get shorter."""
    while True:
        three = weather(rng.choice(CITIES), rng.choice(TEMPERATURES_C), rng.choice(SKIES))
        yield rng.choice(three[1:])._replace(tools=None)
