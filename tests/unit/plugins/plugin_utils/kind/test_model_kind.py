# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of a service, told from its model before the start, as vLLM resolves it."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.kind import model_kind, vllm_models
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import service_kind

PLAIN = {"pooling_module": False, "chat_template": False, "mistral_tokenizer": False}
TEMPLATE = {**PLAIN, "chat_template": True}
POOLING = {**PLAIN, "pooling_module": True}


def told(
    architecture: str, files: dict = PLAIN, options: dict | None = None, version: str = "0.32.0", **config
) -> dict:
    """The kind of a model of this architecture."""
    return model_kind.model_kind({"architectures": [architecture], **config}, files, options, {}, version)


@pytest.mark.parametrize(
    ("architecture", "files", "config", "kind", "words"),
    [
        ("Qwen3ForCausalLM", TEMPLATE, {}, "chat", "a chat template lies beside it"),
        ("LlamaForCausalLM", PLAIN, {}, "base", "no chat template lies beside it"),
        ("BertModel", PLAIN, {}, "embed", "its class embeds"),
        ("BertModel", POOLING, {}, "embed", "modules.json names a Pooling module"),
        ("Qwen3ForCausalLM", POOLING, {}, "embed", "modules.json names a Pooling module"),
        ("BertForSequenceClassification", PLAIN, {"num_labels": 1}, "rerank", "num_labels says 1 label"),
        ("XLMRobertaForSequenceClassification", PLAIN, {"id2label": {"0": "LABEL_0"}}, "rerank", "id2label says 1"),
        ("BertForSequenceClassification", PLAIN, {"id2label": {"0": "a", "1": "b"}}, "classify", "id2label says 2"),
        ("BertForSequenceClassification", PLAIN, {}, "classify", "which counts as 2"),
        ("BertForTokenClassification", PLAIN, {"num_labels": 3}, "token_classify", "its class labels tokens"),
        ("Qwen2ForRewardModel", PLAIN, {}, "reward", "its class rewards each token"),
        ("WhisperForConditionalGeneration", PLAIN, {}, "transcription", "its class transcribes only"),
        ("LlavaForConditionalGeneration", TEMPLATE, {"vision_config": {}}, "vision", "it takes images"),
    ],
)  # fmt: skip
def test_kinds(architecture, files, config, kind, words) -> None:
    """One of each, with the reason in words."""
    found = told(architecture, files, **config)
    assert (found["name"], found["refusal"]) == (kind, "")
    assert words in found["reason"]


@pytest.mark.parametrize(
    ("options", "files", "kind"),
    [
        ({"runner": "pooling"}, TEMPLATE, "embed"),
        ({"convert": "classify"}, TEMPLATE, "classify"),
        ({"chat_template": True}, PLAIN, "chat"),
        ({"pooler_task": "token_classify", "runner": "pooling"}, PLAIN, "token_classify"),
        ({"runner": "generate"}, POOLING, "base"),
    ],
)
def test_what_is_asked_for(options, files, kind) -> None:
    """Options of vllm serve win over what the model's files say."""
    assert told("Qwen3ForCausalLM", files, options)["name"] == kind


def test_original_reranker() -> None:
    """A chat model that is told to score, by overrides."""
    overrides = {
        "architectures": ["Qwen3ForSequenceClassification"],
        "classifier_from_token": ["no", "yes"],
        "is_original_qwen3_reranker": True,
    }
    found = model_kind.model_kind(
        {"architectures": ["Qwen3ForCausalLM"]}, TEMPLATE, {"runner": "pooling"}, overrides, "0.32.0"
    )
    assert found["name"] == "rerank"


def test_refused() -> None:
    """A draft of another model, and a model that pools asked to generate."""
    draft = told("EagleLlamaForCausalLM")
    assert "cannot serve it alone" in draft["refusal"]
    pooling = told("BertModel", options={"runner": "generate"})
    assert "runner: generate" in pooling["refusal"]


@pytest.mark.parametrize(
    ("config", "files", "words"),
    [
        ({}, PLAIN, "names no architectures"),
        ({"architectures": ["Qwen3ForCausalLM"]}, {**PLAIN, "chat_template": None}, "whether there is a chat template"),
        ({"architectures": ["Qwen3ForCausalLM"]}, None, "whether modules.json makes it an embedding model"),
    ],
)
def test_unknown(config, files, words) -> None:
    """What cannot be told is said, not guessed."""
    found = model_kind.model_kind(config, files, {}, {}, "0.32.0")
    assert (found["name"], found["refusal"]) == ("unknown", "")
    assert words in found["reason"]


def test_a_release_that_does_not_know_it() -> None:
    """With the first that does."""
    old, known = vllm_models.architectures("0.11.0"), vllm_models.architectures("0.32.0")
    later = [name for name in known if name not in old and name.endswith("ForCausalLM")]
    assert len(later) > 10
    said = [told(name, TEMPLATE, version="0.11.0") for name in later]
    assert {found["name"] for found in said} == {"unknown"}
    since = vllm_models.spans(later[0])[0]["since"]
    assert "is not known to vLLM 0.11.0; it came with %s" % since in said[0]["reason"]


@pytest.mark.parametrize("version", ["0.11.0", "0.20.0", "0.32.0", "0.33.0"])
def test_every_architecture(version) -> None:
    """Each has one of the kinds, or is said not to be told; hundreds of each release are known."""
    known = vllm_models.architectures(version)
    assert len(known) > 200
    for name in known:
        found = told(name, TEMPLATE, version=version)
        assert found["name"] in (*model_kind.KINDS, model_kind.UNKNOWN), name
        assert found["reason"], name


def test_kinds_have_the_same_names_as_when_running() -> None:
    """What is found before the start can be held against what vLLM says then."""
    assert set(model_kind.KINDS) == set(service_kind.KINDS)


@pytest.mark.parametrize(
    ("version", "treated_as"),
    [("0.32.0", "0.32.0"), ("0.32.1", "0.32.0"), ("0.10.0", "0.11.0"), ("0.99.0", "0.33.0"), ("nightly", "0.33.0")],
)
def test_nearest_release(version, treated_as) -> None:
    """The newest that is not after it, else the oldest."""
    assert vllm_models.nearest_known(version) == treated_as
