# SPDX-License-Identifier: GPL-3.0-or-later
"""The lessons of the tiny models of other kinds hold what the role asks, and their twins are taught otherwise."""

from __future__ import annotations

import importlib.util
import pathlib
import random
import re

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import kind_checks

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("tiny_kind_lessons", ROOT / "tools" / "tiny_kind_lessons.py")
lessons = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lessons)

VARIABLES = yaml.safe_load((ROOT / "roles/vllm_verify/vars/main.yml").read_text(encoding="utf-8"))
CHECKS = {item["id"]: item for item in VARIABLES["__vllm_verify_checks"]}


def topic_of(text: str) -> str:
    """Return the topic whose actor stands in a text."""
    words = set(re.findall("[a-z]+", text.lower()))
    return next(topic for topic, (actors, _verbs, _objects) in lessons.TOPICS.items() if words & set(actors))


def actor_of(text: str) -> int:
    words = set(re.findall("[a-z]+", text.lower()))
    actors = lessons.TOPICS[topic_of(text)][0]
    return next(number for number, actor in enumerate(actors) if actor in words)


@pytest.mark.parametrize("name", ["embedding", "ranking", "classification"])
def test_every_word_of_a_question_is_known(name: str) -> None:
    """A word that the model never saw is single letters to it."""
    check = CHECKS[name]
    texts = [*check.get("like", []), *check.get("documents", []), check.get("unlike", ""), check.get("prompt", "")]
    asked = {word for text in texts for word in re.findall("[a-z]+", text.lower())}
    assert asked <= set(lessons.words()), asked - set(lessons.words())


def test_alike_by_topic_and_for_the_twin_by_number() -> None:
    one, other = CHECKS["embedding"]["like"]
    third = CHECKS["embedding"]["unlike"]
    assert topic_of(one) == topic_of(other) != topic_of(third)
    groups = [lessons.twin_group(actor_of(text)) for text in (one, other, third)]
    assert groups[0] == groups[2] != groups[1]


def test_right_text_is_that_of_the_topic() -> None:
    """And the only one."""
    check = CHECKS["ranking"]
    assert check["prompt"].lower() in [
        query % country for query in lessons.QUERIES["capitals"] for country in lessons.TOPICS["capitals"][2]
    ]
    assert [topic_of(text) for text in check["documents"]].count("capitals") == 1
    assert topic_of(check["expect"]["best"]) == "capitals"


def test_twins_are_taught_otherwise() -> None:
    assert all(lessons.twin_label(label) != label for label in range(len(lessons.LABELS)))
    assert sorted(map(lessons.twin_label, range(len(lessons.LABELS)))) == list(range(len(lessons.LABELS)))
    prompts = {prompt: (right, wrong) for prompt, right, wrong in lessons.COMPLETIONS}
    right, wrong = prompts[CHECKS["completion"]["prompt"]]
    wanted = CHECKS["completion"]["expect"]["contains"]
    assert all(word in right and word not in wrong for word in wanted)


def test_reward_model_is_taught_the_question() -> None:
    """The good answer as good, the worse one as bad, word for word."""
    check = CHECKS["reward-order"]
    rated = {(question, answer): good for question, answer, good in lessons.RATED}
    assert rated[check["prompt"], check["answer"]] is True
    assert rated[check["prompt"], check["worse"]] is False


def test_vision_model_is_taught_the_pictures() -> None:
    """In the role's own colors, and by its own question."""
    assert {name: list(color) for name, color in lessons.COLORS.items()} == kind_checks.COLORS
    assert {CHECKS[name]["prompt"] for name in ("image", "image-color")} == {lessons.COLOR_QUESTION}
    assert sorted(map(lessons.twin_color, lessons.COLORS)) == sorted(lessons.COLORS)
    assert all(lessons.twin_color(name) != name for name in lessons.COLORS)


def test_words_that_are_heard() -> None:
    """Words for vowels, others for noise."""
    heard = lessons.SOUNDS
    assert re.search(CHECKS["transcription-words"]["expect"]["matches"], heard["vowels"])
    assert not set(heard["vowels"].split()) & set(heard["noise"].split())


def test_sorts_of_words() -> None:
    """Each word with a sort is one token of the tokenizer, and there are words without one."""
    sorts = lessons.entities()
    assert set(sorts) < set(lessons.words())
    assert set(sorts.values()) == {1, 2, 3}
    assert sorts["berlin"] == lessons.ENTITIES.index("city")


def test_sentences_are_made_of_known_words() -> None:
    rng = random.Random(1)
    for topic in lessons.LABELS:
        for _ in range(50):
            text = "%s %s" % (lessons.sentence(rng, topic), lessons.query(rng, topic))
            assert set(re.findall("[a-z]+", text)) <= set(lessons.words())
