# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what services answer that do not chat, or that see or hear: the questions, and whether answers are right.

As data they are in roles/vllm_verify/vars/main.yml; :mod:`functional_checks` reads them. Pure Python, no I/O. The forms
of the answers were seen in vLLM 0.32.0.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import math
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.verify.check_result import Verdict, failed, passed, skipped

#: Kinds of service that a check of each kind is for; chats are for CHATTING.
CHATTING = ("chat", "vision")
FOR = {
    "completion": ("base",),
    "embed": ("embed",),
    "rerank": ("rerank",),
    "classify": ("classify",),
    "token_classify": ("token_classify",),
    "reward": ("reward",),
    "transcription": ("transcription",),
    "vision": ("vision",),
}

#: Keys of each kind of check beside the common ones, those that it cannot do without first.
KEYS = {
    "completion": (("prompt", "expect"), ()),
    "embed": (("like", "unlike"), ()),
    "rerank": (("prompt", "documents", "expect"), ()),
    "classify": (("prompt",), ("expect",)),
    "token_classify": (("prompt",), ()),
    "reward": (("prompt", "answer"), ("worse",)),
    "transcription": ((), ("expect",)),
    "vision": (("prompt",), ("color", "expect")),
}
EXPECTATIONS = {"rerank": ("best",), "classify": ("label",)}

#: Pictures that can be made, red, green and blue of each.
COLORS = {"red": [220, 20, 20], "green": [20, 160, 40], "blue": [20, 40, 220], "yellow": [240, 220, 20]}

#: Side of a picture in pixels: what image encoders begin at.
_SIDE = 224

#: How far the sum of probabilities may be from 1: those of float16 are rounded to 3 digits.
_SUM = 0.02

#: vLLM's words for audio that it cannot read (vllm/multimodal/media/audio.py), lower case, and for no images at all
#: (vllm/multimodal/processing/context.py).
_NO_AUDIO = "invalid or unsupported audio file"
_NO_IMAGES = re.compile(r"at most 0 image", re.IGNORECASE)


def bad_values(where: str, item: dict, expect: dict) -> list[str]:
    """Return what is wrong with the values of a check, in sentences."""
    found = []
    like = item.get("like")
    if "like" in item and not (isinstance(like, list) and len(like) == 2):
        found.append("%s: like is %r; use a list of two texts that mean the same." % (where, like))
    documents = item.get("documents")
    if "documents" in item:
        if not isinstance(documents, list) or len(documents) < 2:
            found.append("%s: documents is %r; use a list of two texts or more." % (where, documents))
        elif item["kind"] == "rerank" and expect.get("best") not in documents:
            found.append("%s: expect.best is %r; use one of the documents." % (where, expect.get("best")))
    if item.get("color", "red") not in COLORS:
        found.append("%s: color is %r; choose one of %s." % (where, item["color"], ", ".join(COLORS)))
    return found


def question(item: dict, service: dict) -> dict:
    """Return what to ask for a check; ``service`` is the definition, with ``tokens_only`` of an embedding service."""
    return {"id": item["id"], "timeout_s": float(item["timeout_s"]), **_QUESTIONS[item["kind"]](item, service)}


def _completion(item: dict, service: dict) -> dict:
    length = service.get("max_model_len")
    most = int(item["max_tokens"])
    fields = {"prompt": str(item["prompt"]), "max_tokens": max(1, min(most, length // 2)) if length else most,
              "temperature": float(item["temperature"])}  # fmt: skip
    return {"kind": "post", "path": "/v1/completions", "each": [fields]}


def _embed(item: dict, service: dict) -> dict:
    first, like, unlike = [*map(str, item["like"]), str(item["unlike"])]
    if service.get("tokens_only"):
        # vectors of each token only: the service compares them itself
        return {"kind": "ranking", "query": first, "documents": [like, unlike]}
    return {"kind": "vectors", "texts": [first, like, unlike]}


def _rerank(item: dict, _service: dict) -> dict:
    return {"kind": "ranking", "query": str(item["prompt"]), "documents": [str(text) for text in item["documents"]]}


def _classify(item: dict, _service: dict) -> dict:
    return {"kind": "post", "path": "/classify", "each": [{"input": str(item["prompt"])}]}


def _token_classify(item: dict, _service: dict) -> dict:
    return {"kind": "post", "path": "/pooling", "each": [{"input": str(item["prompt"])}]}


def _reward(item: dict, _service: dict) -> dict:
    def chat(answer: object) -> dict:
        return {"messages": [{"role": "user", "content": str(item["prompt"])},
                             {"role": "assistant", "content": str(answer)}]}  # fmt: skip

    answers = [item["answer"], *([item["worse"]] if item.get("worse") else [])]
    return {"kind": "post", "path": "/pooling", "each": [chat(answer) for answer in answers]}


def _transcription(_item: dict, _service: dict) -> dict:
    return {"kind": "transcription"}


def _vision(item: dict, service: dict) -> dict:
    length = service.get("max_model_len")
    most = int(item["max_tokens"])
    return {
        "kind": "vision",
        "prompt": str(item["prompt"]),
        "color": COLORS[item.get("color", "red")],
        "side": _SIDE,
        "max_tokens": max(1, min(most, length // 2)) if length else most,
        "temperature": float(item["temperature"]),
        "extra_body": {"chat_template_kwargs": {"enable_thinking": False}},
    }


_QUESTIONS = {
    "completion": _completion,
    "embed": _embed,
    "rerank": _rerank,
    "classify": _classify,
    "token_classify": _token_classify,
    "reward": _reward,
    "transcription": _transcription,
    "vision": _vision,
}


def text_problem(expect: dict, text: str) -> str:
    """Return what a text lacks; empty when it is as expected."""
    wanted = expect.get("contains") or []
    missing = [word for word in ([wanted] if not isinstance(wanted, list) else wanted)
               if str(word).lower() not in text.lower()]  # fmt: skip
    if missing:
        return "the answer lacks %s" % ", ".join(map(repr, map(str, missing)))
    if expect.get("matches") and not re.search(str(expect["matches"]), text):
        return "the answer does not match %s" % expect["matches"]
    return "" if text.strip() else "the answer is empty"


def _refusal(answer: dict) -> Verdict | None:
    """Return the verdict about an answer without status 200; None for one with it."""
    for one in answer.get("answers") or [answer]:
        if one["status"] != 200:
            return failed("found HTTP %d, expected 200" % one["status"], one.get("body", ""))
    return None


def _numbers(values: object) -> bool:
    """Tell whether something is a list of finite numbers, at least one (JSON has null where a number was none)."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in values)
    )


def _shown(values: list) -> str:
    return ", ".join("%.4g" % value for value in values[:6]) + (", ..." if len(values) > 6 else "")


def _first(answer: dict) -> dict:
    """Return the first entry of the data of each answer; the first answer's."""
    data = (answer["json"] or {}).get("data") if isinstance(answer["json"], dict) else None
    return data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}


def judge_completion(item: dict, answer: dict, _service: dict) -> Verdict:
    """Judge how a begun text goes on."""
    told = answer["answers"][0]
    choices = (told["json"] or {}).get("choices") or [{}]
    text = str(choices[0].get("text") or "")
    problem = text_problem(item["expect"], text)
    return failed(problem, "goes on: %s" % text) if problem else passed("goes on: %s" % text)


def judge_embed(_item: dict, answer: dict, service: dict) -> Verdict:
    """Judge whether two texts that mean the same are nearer to each other than to a third."""
    if service.get("tokens_only"):
        scores, shown = answer["scores"], "scores"
    else:
        if len(answer["lengths"]) != 3 or len(set(answer["lengths"])) != 1 or not answer["lengths"][0]:
            return failed("found vectors of %s numbers for three texts, expected three of one length"
                          % (", ".join(map(str, answer["lengths"])) or "no"))  # fmt: skip
        scores, shown = answer["cosines"], "%d numbers; cosines" % answer["lengths"][0]
    if len(scores) != 2 or not _numbers(scores):
        return failed("the vectors hold something that is no number, or nothing", str(scores))
    like, unlike = scores
    shown = "%s: %.4f of texts that mean the same, %.4f of others" % (shown, like, unlike)
    if like > unlike:
        return passed(shown)
    return failed("texts that mean the same are not nearer to each other than others", shown)


def judge_rerank(item: dict, answer: dict, _service: dict) -> Verdict:
    """Judge whether the right text comes first, by /rerank and by /score."""
    best = [str(text) for text in item["documents"]].index(str(item["expect"]["best"]))
    scores = answer["scores"]
    if not _numbers(scores) or len(scores) != len(item["documents"]) or not answer["order"]:
        return failed("found scores for %d of %d texts" % (len(scores), len(item["documents"])), str(scores))
    shown = "scores %s" % _shown(scores)
    if answer["order"][0] != best:
        return failed("/rerank puts text %s first, expected %d (counted from 0)" % (answer["order"][0], best), shown)
    if max(range(len(scores)), key=scores.__getitem__) != best:
        return failed("/score rates text %d highest, expected %d (counted from 0)"
                      % (max(range(len(scores)), key=scores.__getitem__), best), shown)  # fmt: skip
    return passed("the right text first; " + shown)


def judge_classify(item: dict, answer: dict, service: dict) -> Verdict:
    """Judge a label and the probabilities of all of them."""
    told = _first(answer["answers"][0])
    values, label = told.get("probs"), told.get("label")
    if not _numbers(values):
        return failed("the answer has no numbers for its labels", answer["answers"][0]["body"])
    shown = "label %s; %s" % (label, _shown(values))
    problem = _probability_problem(values, service)
    if problem:
        return failed(problem, shown)
    wanted = (item.get("expect") or {}).get("label")
    if wanted is not None and str(label).lower() != str(wanted).lower():
        return failed("found label %s, expected %s" % (label, wanted), shown)
    return passed(shown)


def _probability_problem(values: list, service: dict) -> str:
    """Return why numbers are no probabilities; empty when they are, or when the service gives raw numbers."""
    if "pooler-config" in service.get("extra_options", ()) or service.get("problem_type") == "regression":
        return ""
    if min(values) < -_SUM or max(values) > 1 + _SUM:
        return "probabilities must lie between 0 and 1"
    if service.get("problem_type") == "multi_label_classification":
        return ""
    total = sum(values)
    return "" if abs(total - 1) <= _SUM else "the probabilities of all labels add up to %.3f, expected 1" % total


def judge_token_classify(_item: dict, answer: dict, service: dict) -> Verdict:
    """Judge the probabilities of each token."""
    told = answer["answers"][0]
    rows = _first(told).get("data")
    if not isinstance(rows, list) or not rows or not all(map(_numbers, rows)) or len({len(row) for row in rows}) != 1:
        return failed("the answer has no row of numbers for each token", told["body"])
    tokens = ((told["json"] or {}).get("usage") or {}).get("prompt_tokens")
    if tokens and len(rows) > tokens:
        return failed("found %d rows for %d tokens" % (len(rows), tokens), told["body"])
    shown = "%d tokens, %d labels" % (len(rows), len(rows[0]))
    problem = next((text for text in (_probability_problem(row, service) for row in rows) if text), "")
    return failed("of one token: " + problem, shown) if problem else passed(shown)


def judge_reward(item: dict, answer: dict, _service: dict) -> Verdict:
    """Judge the rating of an answer, a number or one for each token, and whether a worse answer is rated lower."""
    ratings = []
    for told in answer["answers"]:
        found = _first(told).get("data")
        flat = [one for row in found for one in (row if isinstance(row, list) else [row])] if isinstance(
            found, list) else None  # fmt: skip
        if not _numbers(flat):
            return failed("the answer has no number", told["body"])
        ratings.append(flat[-1])
    shown = "rated %s" % _shown(ratings)
    if item.get("worse") and ratings[0] <= ratings[1]:
        return failed("the worse answer is not rated lower", shown)
    return passed(shown)


def judge_transcription(item: dict, answer: dict, _service: dict) -> Verdict:
    """Judge the words of an audio file; any are right for one that was made of vowels, unless some are expected."""
    text = answer["text"]
    if not isinstance(text, str):
        return failed("the answer has no text", answer["body"])
    problem = text_problem(item["expect"], text) if item.get("expect") else ""
    shown = "words: %r" % text[:120] if text.strip() else "no words (the file holds sung vowels only)"
    return failed(problem, shown) if problem else passed(shown)


def judge_vision(item: dict, answer: dict, _service: dict) -> Verdict:
    """Judge what is said of a picture."""
    message = answer["message"]
    text = message.get("content") or ""
    said = text or message.get("reasoning") or message.get("reasoning_content") or ""
    problem = text_problem(item["expect"], text) if item.get("expect") else ""
    if not said.strip():
        problem = "the answer is empty"
    return failed(problem, "says: %s" % said) if problem else passed("says: %s" % said)


_JUDGES = {
    "completion": judge_completion,
    "embed": judge_embed,
    "rerank": judge_rerank,
    "classify": judge_classify,
    "token_classify": judge_token_classify,
    "reward": judge_reward,
    "transcription": judge_transcription,
    "vision": judge_vision,
}


def judge(item: dict, answer: dict, service: dict) -> Verdict:
    """Return the verdict about an answer that came."""
    if item["kind"] == "transcription" and _NO_AUDIO in answer.get("body", "").lower():
        return failed(
            "vLLM cannot read audio: the image lacks the Python package soundfile (vLLM's extra 'audio'). Such a "
            "service is healthy, and refuses every file. Use an image that has it.", answer["body"])  # fmt: skip
    if item["kind"] != "vision":
        refusal = _refusal(answer)
        if refusal:
            return refusal
    return _JUDGES[item["kind"]](item, answer, service)


def no_images(error: str) -> Verdict | None:
    """Return the verdict about a refusal of every picture; None for another refusal."""
    if _NO_IMAGES.search(error):
        return skipped("the service is started without images (limit-mm-per-prompt or language-model-only)")
    return None
