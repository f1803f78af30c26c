# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of services that do not chat, or that see or hear.

The answers have the form of vLLM 0.32.0's; the Molecule scenario vllm_verify asks real ones.
"""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import functional_checks, kind_checks, service_kind

from .test_functional_checks import CHECKS

SERVICE = {"max_model_len": 128, "extra_options": [], "problem_type": "", "tokens_only": False}


def posted(*bodies: dict, status: int = 200) -> dict:
    """Answers to a question of kind post."""
    return {"answers": [{"status": status, "body": json.dumps(body), "json": body} for body in bodies]}


def vectors(*cosines: float | None, lengths: tuple = (64, 64, 64)) -> dict:
    return {"status": 200, "body": "", "lengths": list(lengths), "norms": [1.0] * 3, "cosines": list(cosines)}


def ranked(order: list, scores: list, status: int = 200) -> dict:
    return {"status": status, "body": "", "order": order, "ranked": [], "scores": scores}


def labels(*probs: float | None, label: str = "animals") -> dict:
    return posted({"data": [{"index": 0, "label": label, "probs": list(probs), "num_classes": len(probs)}]})


def rows(*found: object, tokens: int = 5) -> dict:
    return posted({"data": [{"object": "pooling", "data": list(found)}], "usage": {"prompt_tokens": tokens}})


def reward(*ratings: object) -> dict:
    return posted(*({"data": [{"object": "pooling", "data": rating}]} for rating in ratings))


def heard(text: object, status: int = 200, body: str = "") -> dict:
    return {"status": status, "body": body or json.dumps({"text": text}), "text": text}


def says(content: str, **more: object) -> dict:
    return {"message": {"role": "assistant", "content": content, **more}}


RIGHT = {
    "completion": (
        "completion",
        posted({"choices": [{"text": " Paris.", "finish_reason": "stop"}]}),
        "goes on:  Paris.",
    ),
    "like is nearer": ("embedding", vectors(0.9871, 0.0043), "64 numbers; cosines: 0.9871"),
    "cosines below 0": ("embedding", vectors(-0.1, -0.4), "-0.1000 of texts that mean the same"),
    "ranking": ("ranking", ranked([1, 0, 2], [0.0014, 0.998, 0.0014]), "the right text first"),
    "raw scores": ("ranking", ranked([1, 0, 2], [-7.1, 3.2, -8.0]), "the right text first"),
    "classes": ("classification", labels(0.99, 0.004, 0.003, 0.003), "label animals; 0.99, 0.004"),
    "tokens": ("token-classification", rows([0.9, 0.1], [0.2, 0.8]), "2 tokens, 2 labels"),
    "reward of an answer": ("reward", reward([0.58]), "rated 0.58"),
    "reward of each token": ("reward", reward([[26.7], [-25.4]]), "rated -25.4"),
    "better is higher": ("reward-order", reward([0.9], [0.1]), "rated 0.9, 0.1"),
    "words": ("transcription", heard(" low tone"), "words: ' low tone'"),
    "no words": ("transcription", heard(""), "no words"),
    "some words": ("transcription-words", heard("Ah."), "words: 'Ah.'"),
    "an answer about a picture": ("image", says("It is red."), "says: It is red."),
    "thoughts about a picture": ("image", says("", reasoning="The picture is"), "says: The picture is"),
    "its color": ("image-color", says("Blue"), "says: Blue"),
}


def judged(name: str, answer: dict, service: dict | None = None, **changes: object) -> dict:
    given = {"id": name, "error": "", "gone": False, "duration_s": 0.1, **answer}
    return functional_checks.judge({**CHECKS[name], **changes}, {**SERVICE, **(service or {})}, given)


@pytest.mark.parametrize(("name", "answer", "evidence"), RIGHT.values(), ids=RIGHT)
def test_right_answers_pass(name: str, answer: dict, evidence: str) -> None:
    found = judged(name, answer)
    assert (found["status"], found["reason"]) == ("passed", "")
    assert " ".join(evidence.split()) in found["evidence"]


WRONG = {
    "another city": ("completion", posted({"choices": [{"text": " Lyon."}]}), "lacks 'Paris'"),
    "no text": ("completion", posted({"choices": []}), "lacks 'Paris'"),
    "no completions": ("completion", posted({}, status=404), "found HTTP 404"),
    "unlike is nearer": ("embedding", vectors(0.1, 0.9), "are not nearer"),
    "all the same": ("embedding", vectors(1.0, 1.0), "are not nearer"),
    "vectors of NaN": ("embedding", vectors(None, None), "no number"),
    "one vector": ("embedding", vectors(lengths=(64,)), "found vectors of 64 numbers for three texts"),
    "no vectors": ("embedding", vectors(lengths=()), "found vectors of no numbers"),
    "vectors of several lengths": ("embedding", vectors(0.9, 0.1, lengths=(64, 64, 32)), "three of one length"),
    "embeddings refused": ("embedding", {**vectors(), "status": 400}, "found HTTP 400"),
    "another text first": ("ranking", ranked([2, 1, 0], [0.1, 0.2, 0.9]), "/rerank puts text 2 first, expected 1"),
    "the two differ": ("ranking", ranked([1, 0, 2], [0.9, 0.2, 0.1]), "/score rates text 0 highest, expected 1"),
    "a score is missing": ("ranking", ranked([1], [0.9]), "found scores for 1 of 3 texts"),
    "a score is none": ("ranking", ranked([1, 0, 2], [0.1, None, 0.1]), "found scores for 3 of 3"),
    "probabilities of more than 1": ("classification", labels(0.9, 0.9), "add up to 1.800, expected 1"),
    "raw numbers": ("classification", labels(4.2, -1.0), "between 0 and 1"),
    "no probabilities": ("classification", labels(None, None), "no numbers for its labels"),
    "no data": ("classification", posted({"data": []}), "no numbers for its labels"),
    "one row of text": ("token-classification", rows(0.9, 0.1), "no row of numbers"),
    "ragged rows": ("token-classification", rows([0.9, 0.1], [1.0]), "no row of numbers"),
    "rows for more than there is": ("token-classification", rows([1.0], [1.0], tokens=1), "found 2 rows for 1 tokens"),
    "rows that are no probabilities": ("token-classification", rows([0.9, 0.9]), "of one token: the probabilities"),
    "no rating": ("reward", reward([None]), "the answer has no number"),
    "nothing rated": ("reward", posted({"data": []}), "the answer has no number"),
    "worse is higher": ("reward-order", reward([0.1], [0.9]), "the worse answer is not rated lower"),
    "no soundfile": (
        "transcription",
        heard(None, 400, '{"error": {"message": "Invalid or unsupported audio file."}}'),
        "lacks the Python package soundfile",
    ),
    "speech refused": ("transcription", heard(None, 400, "no such language"), "found HTTP 400"),
    "an answer without words": ("transcription", heard(None), "has no text"),
    "silence": ("transcription-words", heard(" "), "does not match"),
    "nothing said": ("image", says(" "), "the answer is empty"),
    "another color": ("image-color", says("Red"), "lacks 'blue'"),
    "picture refused": ("image", {"error": "BadRequestError: cannot identify image file"}, "cannot identify image"),
}


@pytest.mark.parametrize(("name", "answer", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_answers_fail(name: str, answer: dict, reason: str) -> None:
    found = judged(name, answer)
    assert found["status"] == "failed"
    assert reason in found["reason"]


def test_scores_that_are_missing_are_no_ranking() -> None:
    assert judged("ranking", ranked([1, 0, 2], [0.1, float("nan"), 0.1]))["status"] == "failed"


def test_label_that_is_expected() -> None:
    answer = labels(0.99, 0.01)
    assert judged("classification", answer, expect={"label": "Animals"})["status"] == "passed"
    assert (
        "found label animals, expected money" in judged("classification", answer, expect={"label": "money"})["reason"]
    )


@pytest.mark.parametrize(
    ("service", "status"),
    [
        ({"problem_type": "multi_label_classification"}, "passed"),
        ({"problem_type": "regression"}, "passed"),
        ({"extra_options": ["pooler-config"]}, "passed"),
        ({}, "failed"),
    ],
)
def test_models_whose_numbers_do_not_add_up(service: dict, status: str) -> None:
    """Several labels at a time, a regression, and raw numbers by an option."""
    assert judged("classification", labels(0.9, 0.8), service)["status"] == status


def test_service_without_images_is_no_failure() -> None:
    found = judged("image", {"error": "BadRequestError: At most 0 image(s) may be provided in one prompt."})
    assert found["status"] == "skipped"
    assert "limit-mm-per-prompt" in found["reason"]


def test_vectors_of_tokens_are_compared_by_the_service() -> None:
    service = {**SERVICE, "tokens_only": True}
    asked = functional_checks.question(CHECKS["embedding"], service)
    assert (asked["kind"], len(asked["documents"])) == ("ranking", 2)
    assert judged("embedding", ranked([0, 1], [9.1, 2.2]), {"tokens_only": True})["status"] == "passed"
    assert judged("embedding", ranked([1, 0], [2.2, 9.1]), {"tokens_only": True})["status"] == "failed"


def test_questions() -> None:
    """Plain data; the length of a small encoder is kept in mind; the same served model is asked by all of them."""
    for name in ("completion", "embedding", "ranking", "classification", "token-classification", "reward-order",
                 "transcription", "image"):  # fmt: skip
        asked = functional_checks.question({**CHECKS[name], "max_tokens": 100}, SERVICE)
        json.dumps(asked)
        assert (asked["id"], asked["timeout_s"]) == (name, 120.0)
        fields = [asked, *asked.get("each", [])]
        assert {item["max_tokens"] for item in fields if "max_tokens" in item} <= {64}
    assert len(functional_checks.question(CHECKS["reward-order"], SERVICE)["each"]) == 2
    unknown = {**SERVICE, "max_model_len": None}
    assert functional_checks.question(CHECKS["completion"], unknown)["each"][0]["max_tokens"] == 16


def told(*kinds: str) -> service_kind.Told:
    return service_kind.Told(kinds[0] if len(kinds) == 1 else "", kinds, "its log")


@pytest.mark.parametrize(
    ("name", "kinds", "more", "fit"),
    [
        ("chat", "chat", (), (True, True, False)),
        ("chat", "vision", (), (True, True, False)),
        ("image", "vision", (), (True, True, False)),
        ("chat", "embed", (), (False, True, True)),
        # as before: those of a chat are shown, and say why they are not asked
        ("chat", "base", (), (False, True, False)),
        ("image", "base", (), (False, True, True)),
        ("completion", "base", (), (True, True, False)),
        ("ranking", "rerank reward", (), (True, False, False)),
        ("chat", "chat vision", (), (True, True, False)),
        ("transcription", "chat", ("transcription",), (True, True, False)),
        ("transcription", "chat", (), (False, True, True)),
        ("chat", "", (), (False, False, False)),
    ],
)
def test_checks_are_for_kinds(name: str, kinds: str, more: tuple, fit: tuple) -> None:
    found = functional_checks.fitness(CHECKS[name], told(*kinds.split()), more)
    assert (found.applies, found.certain, found.foreign) == fit
    assert bool(found.reason) != found.applies


def test_what_may_be_for_another_kind_is_not_required() -> None:
    fit = functional_checks.fitness(CHECKS["ranking"], told("rerank", "reward"))
    given = {"id": "ranking", "error": "", "duration_s": 0.1, **ranked([2], [0.1, 0.2, 0.9])}
    found = functional_checks.judge(CHECKS["ranking"], SERVICE, given, fit)
    assert (found["status"], found["must"]) == ("failed", False)


def test_every_kind_of_service_has_a_required_check() -> None:
    for kind in service_kind.KINDS:
        checks = [item for item in CHECKS.values() if functional_checks.fitness(item, told(kind)).applies]
        assert [item for item in checks if item["must"] is True], kind


BAD = {
    "one text": ({"id": "embedding", "like": ["a"]}, "use a list of two texts"),
    "best is none of them": (
        {"id": "ranking", "expect": {"best": "x"}},
        "expect.best is 'x'; use one of the documents",
    ),
    "one document": ({"id": "ranking", "documents": ["a"]}, "two texts or more"),
    "no such color": ({"id": "image", "color": "pink"}, "choose one of red, green, blue, yellow"),
    "expectation of another kind": ({"id": "classification", "expect": {"contains": "a"}}, "it may have label"),
}


@pytest.mark.parametrize(("item", "text"), BAD.values(), ids=BAD)
def test_bad_checks_are_refused(item: dict, text: str) -> None:
    with pytest.raises(functional_checks.CheckError, match="vllm_verify_extra_checks, entry 1") as error:
        functional_checks.read(list(CHECKS.values()), [item], [])
    assert text in str(error.value)


def test_all_kinds_of_checks_are_known() -> None:
    assert set(kind_checks.FOR) == set(kind_checks.KEYS) == set(kind_checks._QUESTIONS) == set(kind_checks._JUDGES)
