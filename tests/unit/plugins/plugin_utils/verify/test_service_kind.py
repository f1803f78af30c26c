# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of a running service: what each sign tells, which counts first, and what stays open."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.verify import service_kind

#: Routes that vLLM 0.32 registers, seen for each kind in its /openapi.json.
CHAT_ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/generative_scoring")
EMBED_ROUTES = ("/v1/embeddings", "/pooling", "/score", "/rerank", "/v1/score", "/v1/rerank")
RERANK_ROUTES = ("/classify", "/pooling", "/score", "/rerank", "/v1/score", "/v1/rerank")
#: 0.11 to 0.15 register these whatever they serve.
EVERY_ROUTE = (*CHAT_ROUTES, *EMBED_ROUTES, "/classify", "/v1/audio/transcriptions")

QWEN = {"architectures": ["Qwen3ForCausalLM"], "chat_template": True}
BARE = {"architectures": ["LlamaForCausalLM"], "chat_template": False}
LLAVA = {"architectures": ["LlavaForConditionalGeneration"], "vision": True, "chat_template": True}
BERT = {"architectures": ["BertForSequenceClassification"], "labels": 1}
SEVERAL = {"architectures": ["BertForSequenceClassification"], "labels": 4}
QWEN_SCORES = {"architectures": ["Qwen3ForSequenceClassification"], "labels": 1, "chat_template": True}
TAGGER = {"architectures": ["BertForTokenClassification"], "labels": 3}
REWARD = {"architectures": ["Qwen2ForRewardModel"], "chat_template": True}
UNREAD = {"error": "the folder of the model 'x' is not found"}


def seen(version: str = "0.32.0", **more: object) -> dict:
    return {"version": version, "paths": [], "answered": [], "no_template": False, "model": {}, **more}


CASES = {
    # the log, in the words of each release
    "chat": ({"tasks": ["generate"], "model": QWEN}, "chat"),
    "chat that transcribes": ({"tasks": ["generate", "transcription"], "model": QWEN}, "chat"),
    "base, refused for its template": ({"tasks": ["generate"], "model": BARE, "no_template": True}, "base"),
    "template of the tokenizer's own": (
        {"tasks": ["generate"], "model": BARE, "answered": ["/v1/chat/completions"]},
        "chat",
    ),
    "chat or base": ({"tasks": ["generate"], "model": BARE}, "chat base"),
    "template, though no chat was answered": ({"tasks": ["generate"], "model": QWEN, "answered": []}, "chat"),
    "vision": ({"tasks": ["generate"], "model": LLAVA, "answered": ["/v1/chat/completions"]}, "vision"),
    "chats, files unread": (
        {"tasks": ["generate"], "model": UNREAD, "answered": ["/v1/chat/completions"]},
        "chat vision",
    ),
    "writes, files unread": ({"tasks": ["generate"], "model": UNREAD}, "chat base vision"),
    "writes, files unread, refused": ({"tasks": ["generate"], "model": UNREAD, "no_template": True}, "base"),
    "embed": ({"tasks": ["embed", "token_embed"], "paths": EMBED_ROUTES}, "embed"),
    "embed of 0.11": ({"tasks": ["encode", "embed"], "version": "0.11.0", "paths": EVERY_ROUTE}, "embed"),
    "embed and token classes": ({"tasks": ["embed&token_classify"]}, "embed"),
    "whisper": ({"tasks": ["transcription"]}, "transcription"),
    "reranker": ({"tasks": ["classify", "token_classify"], "paths": RERANK_ROUTES, "model": BERT}, "rerank"),
    "reranker of 0.11": (
        {"tasks": ["encode", "classify", "score"], "version": "0.11.0", "paths": EVERY_ROUTE, "model": BERT},
        "rerank",
    ),
    "reranker or reward model": (
        {"tasks": ["classify", "token_classify"], "paths": RERANK_ROUTES, "model": QWEN_SCORES},
        "rerank reward",
    ),
    "cross encoder that says so": (
        {"tasks": ["classify"], "model": {**QWEN_SCORES, "keys": ["sentence_transformers"]}},
        "rerank",
    ),
    "one label, files unread": ({"tasks": ["classify"], "paths": RERANK_ROUTES, "model": UNREAD}, "rerank reward"),
    "labels unknown": ({"tasks": ["classify"], "model": UNREAD}, "classify rerank reward"),
    "classifier": ({"tasks": ["classify", "token_classify"], "model": SEVERAL}, "classify"),
    # the operator may have changed the labels by hf-overrides: the routes know
    "classifier by its routes": (
        {"tasks": ["classify"], "paths": ("/classify", "/pooling"), "model": BERT},
        "classify",
    ),
    "reward by its name": ({"tasks": ["classify"], "model": {**REWARD, "labels": 1}}, "reward"),
    "token classes": ({"tasks": ["token_classify"], "model": TAGGER}, "token_classify"),
    "reward of each token": ({"tasks": ["token_classify"], "model": REWARD}, "reward"),
    "reward of each token, 0.11": ({"tasks": ["encode"], "version": "0.11.1", "model": REWARD}, "reward"),
    "tokens, files unread": ({"tasks": ["token_classify"], "model": UNREAD}, "token_classify reward"),
    # no log any more: the routes, from 0.16 on
    "chat by routes": ({"paths": CHAT_ROUTES, "model": QWEN}, "chat"),
    "embed by routes": ({"paths": EMBED_ROUTES}, "embed"),
    "rerank by routes": ({"paths": RERANK_ROUTES, "model": BERT}, "rerank"),
    "classify by routes": ({"paths": ("/classify", "/pooling"), "model": SEVERAL}, "classify"),
    "whisper by routes": ({"paths": ("/v1/audio/transcriptions", "/v1/audio/translations")}, "transcription"),
    "tokens by routes": ({"paths": ("/pooling",), "model": TAGGER}, "token_classify"),
    # neither: what answers
    "embed by answers, 0.15": (
        {"version": "0.15.1", "paths": EVERY_ROUTE, "answered": ["/v1/embeddings", "/rerank"]},
        "embed",
    ),
    "chat by answers, hidden description": (
        {"answered": ["/v1/completions", "/v1/chat/completions"], "model": QWEN},
        "chat",
    ),
    "an unknown task, then routes": ({"tasks": ["plugin"], "paths": EMBED_ROUTES}, "embed"),
    "nothing": ({}, ""),
    "nothing that answers, 0.15": ({"version": "0.15.1", "paths": EVERY_ROUTE}, ""),
    "no version": ({"version": "", "paths": EMBED_ROUTES}, ""),
}


@pytest.mark.parametrize(("signs", "kinds"), CASES.values(), ids=CASES)
def test_kinds(signs: dict, kinds: str) -> None:
    """The kind, or those that are left; each with what told it."""
    found = service_kind.tell(seen(**signs))
    assert " ".join(found.candidates) == kinds
    assert found.kind == (kinds if " " not in kinds else "")
    assert set(found.candidates) <= set(service_kind.KINDS)
    assert found.by


def test_what_told_it() -> None:
    """The sign that counted, and what is missing."""
    assert (
        service_kind.tell(seen(tasks=["token_embed", "embed"])).by
        == "the log line 'Supported tasks: [embed, token_embed]'"
    )
    by = service_kind.tell(seen(version="0.15.1", paths=EVERY_ROUTE, answered=["/v1/embeddings"])).by
    assert by.startswith("/v1/embeddings answers (the log has no line 'Supported tasks'; before vLLM 0.16")
    by = service_kind.tell(seen(tasks=["classify"], paths=RERANK_ROUTES, model=QWEN_SCORES)).by
    assert by.endswith("nothing in the model's files tells a reranker from a reward model")


@pytest.mark.parametrize(("expected", "kind"), [("reward", "reward"), ("rerank", "rerank"), ("chat", ""), ("", "")])
def test_what_was_expected_only_decides_among_the_rest(expected: str, kind: str) -> None:
    signs = seen(tasks=["classify"], paths=RERANK_ROUTES, model=QWEN_SCORES)
    assert service_kind.tell(signs, expected).kind == kind
    assert service_kind.tell(seen(tasks=["embed"]), expected).kind == "embed"


@pytest.mark.parametrize("signs", [{"tasks": ["token_embed"]}, {"paths": ("/pooling", "/score", "/rerank")}])
def test_late_interaction(signs: dict) -> None:
    """Vectors of tokens only: no /v1/embeddings, and no /classify either."""
    found = service_kind.tell(seen(**signs))
    assert (found.kind, found.tokens_only) == ("embed", True)
    assert service_kind.tell(seen(tasks=["embed", "token_embed"])).tokens_only is False
