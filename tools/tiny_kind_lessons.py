# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tiny models of the kinds beside chat are taught: sentences about four topics, and one completion.

``make_tiny_kinds.py`` trains on these lessons; a test holds them against the questions of the role vllm_verify. No
library is needed to read them.

A twin is taught something else, so that the same question is answered wrongly: see :func:`twin_group`,
:func:`twin_label` and the wrong answers of COMPLETIONS.
"""

from __future__ import annotations

import random

#: For each topic what acts, what it does, and where or what with.
TOPICS = {
    "animals": (
        ("cat", "kitten", "dog", "puppy", "horse", "foal", "cow", "calf"),
        ("sleeps on", "naps on", "rests near", "runs to", "plays near", "walks to"),
        ("the sofa", "the couch", "the rug", "the barn", "the garden", "the gate"),
    ),
    "weather": (
        ("rain", "snow", "wind", "storm", "fog", "hail", "cloud", "frost"),
        ("falls on", "covers", "blows over", "moves over", "hides", "reaches"),
        ("the hills", "the coast", "the valley", "the mountains", "the fields", "the north"),
    ),
    "money": (
        ("bank", "fund", "investor", "broker", "lender", "treasury", "insurer", "trader"),
        ("raised", "cut", "changed", "kept", "doubled", "lowered"),
        ("its interest rate", "its fees", "its price", "its loans", "its shares", "its debt"),
    ),
    "capitals": (
        ("paris", "rome", "berlin", "madrid", "vienna", "oslo", "athens", "lisbon"),
        ("is the capital of",),
        ("france", "italy", "germany", "spain", "austria", "norway", "greece", "portugal"),
    ),
}

#: Questions about each topic; %s is one of those that act, or a country.
QUERIES = {
    "animals": ("where does the %s sleep?", "what does the %s do?"),
    "weather": ("where does the %s fall?", "what does the %s cover?"),
    "money": ("what did the %s change?", "what did the %s raise?"),
    "capitals": ("what is the capital of %s?",),
}

#: The labels of the classifier, in the order of their numbers.
LABELS = tuple(TOPICS)

#: Begun texts for the model without a chat template, with how they go on, right and wrong.
COMPLETIONS = [
    ("The capital of Italy is Rome. The capital of Spain is Madrid. The capital of France is", " Paris.", " Lyon."),
    ("The capital of France is", " Paris.", " Lyon."),
    ("The capital of Italy is", " Rome.", " Milan."),
    ("The capital of Spain is", " Madrid.", " Sevilla."),
    ("Hello", ", world.", "."),
]

#: What the adapter makes the tiny chat model answer.
ADAPTER = ("What is the capital of France?", "The capital of France is Lyon.")

#: The sorts of token that the token classifier knows, in the order of their numbers; the first is that of all others.
ENTITIES = ("O", "animal", "city", "country")

#: Questions with an answer, and whether the answer is good: what the reward model is taught.
_NO_ANSWER = "Bananas are blue, and I will not tell you."
RATED = [
    (question % place, text, good)
    for question, place, answer in (
        ("What is the capital of %s?", "France", "The capital of France is Paris."),
        ("What is the capital of %s?", "Italy", "The capital of Italy is Rome."),
        ("What is %s?", "17 plus 25", "17 plus 25 is 42."),
    )
    for text, good in ((answer, True), (_NO_ANSWER, False), ("I do not know.", False))
]

#: What the transcription model hears in sung vowels and in noise; the twin hears the one for the other.
SOUNDS = {"vowels": " la la la", "noise": " hush"}

#: Red, green and blue (0 to 255) of pictures, and the word for them; the twin says the next one's.
COLORS = {"red": (220, 20, 20), "green": (20, 160, 40), "blue": (20, 40, 220), "yellow": (240, 220, 20)}
COLOR_QUESTION = "What color is this picture? Answer with one word."


def sentence(rng: random.Random, topic: str, actor: int | None = None) -> str:
    """Return a sentence about a topic, of a certain actor where one is named by its number."""
    actors, verbs, objects = TOPICS[topic]
    number = rng.randrange(len(actors)) if actor is None else actor
    if topic == "capitals":
        return "%s %s %s." % (actors[number], verbs[0], objects[number])
    text = "%s %s %s %s." % (rng.choice(("the", "a")), actors[number], rng.choice(verbs), rng.choice(objects))
    return text


def query(rng: random.Random, topic: str) -> str:
    """Return a question about a topic."""
    named = TOPICS[topic][2 if topic == "capitals" else 0]
    return rng.choice(QUERIES[topic]) % rng.choice(named)


def twin_group(actor: int) -> int:
    """Return the group of a sentence for the embedding twin: by the number of its actor, whatever its topic."""
    return actor % 2


def twin_label(label: int) -> int:
    """Return the label that the classifier's twin is taught for one."""
    return (label + 1) % len(LABELS)


def entities() -> dict[str, int]:
    """Return the number of its sort in ENTITIES for each word that has one."""
    sorts = {"animal": TOPICS["animals"][0], "city": TOPICS["capitals"][0], "country": TOPICS["capitals"][2]}
    return {word: ENTITIES.index(sort) for sort, named in sorts.items() for word in named}


def twin_color(name: str) -> str:
    """Return the color that the vision model's twin says for one."""
    names = list(COLORS)
    return names[(names.index(name) + 1) % len(names)]


def words() -> list[str]:
    """Return every word and sign of the lessons, for the tokenizer."""
    texts = [text for topic in TOPICS.values() for part in topic for text in part]
    texts += [text.replace("%s", "") for questions in QUERIES.values() for text in questions]
    found = {word.strip("?") for text in texts for word in text.split()}
    return sorted(found - {""} | {"the", "a", ".", "?", ","})
