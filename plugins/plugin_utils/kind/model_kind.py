# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the kind of a service from its model's configuration, as vLLM will resolve it. Pure Python, no I/O.

The rules follow ``config/model.py``, ``model_executor/models/registry.py`` and ``v1/worker/gpu_model_runner.py`` of
vLLM 0.11 to 0.33. What an architecture's class can is data (vllm_models.json).

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config
from ansible_collections.myia.vllm.plugins.plugin_utils.kind import vllm_models
from ansible_collections.myia.vllm.plugins.plugin_utils.kind.labels import number_of_labels, reward_words

#: Every kind of service, and what is said where none can be told.
KINDS = ("chat", "base", "vision", "embed", "rerank", "classify", "token_classify", "reward", "transcription")
UNKNOWN = "unknown"
#: Those of a model that pools: it answers with vectors or scores and generates nothing.
POOLING_KINDS = ("embed", "rerank", "classify", "token_classify", "reward")

#: What an architecture's name promises: suffix -> runner and conversion, the first match counts (``config/model.py``).
_SUFFIXES = (
    ("ForCausalLM", "generate", "none"),
    ("ForConditionalGeneration", "generate", "none"),
    ("ChatModel", "generate", "none"),
    ("LMHeadModel", "generate", "none"),
    ("ForTextEncoding", "pooling", "embed"),
    ("EmbeddingModel", "pooling", "embed"),
    ("ForSequenceClassification", "pooling", "classify"),
    ("ForTokenClassification", "pooling", "classify"),
    ("ForAudioClassification", "pooling", "classify"),
    ("ForImageClassification", "pooling", "classify"),
    ("ForVideoClassification", "pooling", "classify"),
    ("ClassificationModel", "pooling", "classify"),
    ("ForRewardModeling", "pooling", "embed"),
    ("RewardModel", "pooling", "embed"),
    ("Model", "pooling", "embed"),
)
#: ``--task`` of vLLM before 0.13, as runner and conversion (``config/model.py`` of 0.12).
_TASKS = {
    "generate": ("generate", "auto"),
    "transcription": ("generate", "auto"),
    "embed": ("pooling", "embed"),
    "embedding": ("pooling", "embed"),
    "classify": ("pooling", "classify"),
    "score": ("pooling", "classify"),
    "reward": ("pooling", "reward"),
    "encode": ("pooling", "auto"),
}
#: Families for which vLLM brings a chat template along (``transformers_utils/chat_templates`` of 0.32).
_FALLBACK_TEMPLATES = (
    "blip-2", "chameleon", "clip", "colpali", "deepseek_ocr", "deepseek_ocr2", "deepseek_vl_v2", "fuyu", "minicpmv",
    "minicpmv4_6", "minicpmv4_7", "paligemma", "siglip", "siglip2", "unlimited-ocr", "unlimited_ocr",
)  # fmt: skip
#: Architectures whose tokenizer of vLLM's own writes a chat without a template (``config/model.py`` of 0.32).
_OWN_TOKENIZERS = (
    "MoonshotKimiaForCausalLM", "KimiK3ForConditionalGeneration", "DeepseekV32ForCausalLM", "DeepseekV4ForCausalLM",
    "DeepseekV4ForConditionalGeneration", "DeepseekV41ForCausalLM", "InklingForCausalLM",
    "InklingForConditionalGeneration",
)  # fmt: skip
#: Tokenizer modes that do the same when they are asked for, by their beginning.
_TEMPLATE_MODES = ("mistral", "deepseek", "kimi", "inkling", "grok")

#: What is known of the model's files, see :func:`module_utils.hub.model_files.facts`; null: not known.
NO_FILES = {"pooling_module": None, "chat_template": None, "mistral_tokenizer": None}

#: What ``vllm serve`` is told that decides about the kind.
NO_OPTIONS = {
    "runner": "auto",
    "convert": "auto",
    "task": "auto",
    "pooler_task": "",
    "tokenizer_mode": "auto",
    "chat_template": False,
    "text_only": False,
    "model_impl": "auto",
}


class _Model(NamedTuple):
    """A model as vLLM will resolve it."""

    architecture: str
    #: The registered architecture whose class is taken: itself or its base; "" for a class of Transformers.
    base: str
    groups: tuple
    flags: frozenset
    config: dict
    files: dict
    options: dict
    version: str


def model_kind(  # noqa: PLR0911 one for each way to tell
    config: dict,
    files: dict | None = None,
    options: dict | None = None,
    overrides: dict | None = None,
    version="",
) -> dict:
    """Return the kind of service that ``vllm serve`` will be with a model.

    Args:
        config: content of the model's ``config.json``.
        files: :data:`NO_FILES` with what is known; None for nothing.
        options: :data:`NO_OPTIONS` with what is said.
        overrides: of ``--hf-overrides``.
        version: release of vLLM.

    Returns:
        ``name``, one of :data:`KINDS` or V(unknown); ``reason`` in words; ``architecture``; ``runner`` (generate,
        pooling, or "" where it cannot be told); ``task`` of a pooling model's pooler, else ""; ``also``, other kinds
        that it answers as; ``refusal``, why vLLM will not serve it ("" for none).
    """
    merged = model_config.merged(config, overrides or {})
    said = {**NO_OPTIONS, **{key: value for key, value in (options or {}).items() if value not in (None, "")}}
    if said["task"] in _TASKS:
        runner, convert = _TASKS[said["task"]]
        said["runner"] = runner if said["runner"] == "auto" else said["runner"]
        said["convert"] = convert if said["convert"] == "auto" else said["convert"]
    if "speculators_config" in merged:
        reason = "config.json is a draft model's that names the model to serve, whose own kind counts"
        return _kind(UNKNOWN, reason)
    names = [str(name) for name in merged.get("architectures") or []]
    if not names:
        return _kind(UNKNOWN, "config.json names no architectures")
    model = _resolved(names, merged, {**NO_FILES, **(files or {})}, said, version)
    if not model.base and vllm_models.spans(model.architecture):
        return _kind(UNKNOWN, _other_release(model), model.architecture)
    if model.groups == (vllm_models.DRAFTS,):
        return _draft(model)
    runner, why = _runner(model)
    if runner == "generate":
        return _generating(model, why)
    if runner == "pooling":
        return _pooling(model, why)
    return _kind(UNKNOWN, "runner %s is none that serves" % runner, model.architecture)


def _kind(
    name: str, reason: str, architecture: str = "", runner: str = "", task: str = "", also=(), refusal=""
) -> dict:
    return {
        "name": name,
        "reason": reason,
        "architecture": architecture,
        "runner": runner,
        "task": task,
        "also": list(also),
        "refusal": refusal,
    }


def _resolved(names: list[str], config: dict, files: dict, options: dict, version: str) -> _Model:
    """Return the model under the first of its architectures that vLLM knows, itself or by its base."""
    known = vllm_models.architectures(version)
    for name in names:
        base = name if name in known else _base(name, known, options)
        if base:
            entry = known[base]
            return _Model(name, base, entry["groups"], entry["flags"], config, files, options, version)
    return _Model(names[0], "", (), frozenset(), config, files, options, version)


def _base(name: str, known: dict, options: dict) -> str:
    """Return the registered architecture of which an unregistered one is made: another suffix of the same name."""
    match = _match(name, options["runner"], options["convert"])
    if match is None:
        return ""
    candidates = [name.replace(match[0], suffix[0]) for suffix in _SUFFIXES]
    return next((candidate for candidate in candidates if candidate in known), "")


def _match(name: str, runner: str = "auto", convert: str = "auto") -> tuple | None:
    """Return the first suffix that a name has, among those of a runner and a conversion."""
    for suffix in _SUFFIXES:
        fits = runner in ("auto", suffix[1]) and convert in ("auto", suffix[2])
        if fits and name.endswith(suffix[0]):
            return suffix
    return None


def _other_release(model: _Model) -> str:
    first, last = vllm_models.spans(model.architecture)[0], vllm_models.spans(model.architecture)[-1]
    known = vllm_models.nearest_known(model.version)
    order = vllm_models.versions()
    if order.index(first["since"]) > order.index(known):
        return "%s is not known to vLLM %s; it came with %s" % (model.architecture, model.version, first["since"])
    return "%s is no longer known to vLLM %s; the last with it is %s" % (
        model.architecture,
        model.version,
        last.get("until", order[-1]),
    )


def _draft(model: _Model) -> dict:
    refusal = (
        "%s is a draft model: vLLM loads it beside the model that it drafts for, and cannot serve it alone"
        % model.architecture
    )
    return _kind(UNKNOWN, refusal, model.architecture, refusal=refusal)


def _runner(model: _Model) -> tuple[str, str]:
    """Return the runner and why, "" where it follows from the class alone."""
    options = model.options
    if options["runner"] != "auto":
        return options["runner"], "runner: %s is set" % options["runner"]
    if options["convert"] not in ("auto", "none"):
        return "pooling", "convert: %s is set" % options["convert"]
    if model.files["pooling_module"]:
        return "pooling", "modules.json names a Pooling module"
    if model.architecture == model.base:
        if "pooling" in model.flags:
            return "pooling", ""
        if "generate" in model.flags:
            return "generate", ""
    match = _match(model.architecture)
    return (match[1] if match else "generate"), ""


def _generating(model: _Model, why: str) -> dict:
    """Return the kind of a model that generates."""
    flags, name = model.flags, model.architecture
    if model.base and "generate" not in flags and ("pooling" in flags or "embedding" in model.groups):
        refusal = (
            "%s is a pooling model, and vLLM refuses it with runner: generate (Embedding models do not support "
            "`--runner generate`)" % name
        )
        return _kind(UNKNOWN, refusal, name, "generate", refusal=refusal)
    if "transcription_only" in flags:
        return _kind("transcription", _words(name, "its class transcribes only"), name, "generate")
    also = ("transcription",) if "transcription" in flags else ()
    if model.files["pooling_module"] is None and not why:
        because = "whether modules.json makes it an embedding model is not known"
        return _kind(UNKNOWN, _words(name, because), name, also=also)
    foreign = "" if model.base else _foreign(model)
    template, because = _template(model)
    if template is None:
        return _kind(UNKNOWN, _words(name, why, because, foreign), name, "generate", also=also)
    if not template:
        return _kind("base", _words(name, why, because, foreign), name, "generate", also=also)
    sees, other = _sees(model), "multimodal" in flags and not model.options["text_only"]
    seen = "it takes images" if sees else "its class takes other input than text" if other else ""
    return _kind("vision" if sees else "chat", _words(name, why, seen, because, foreign), name, "generate", also=also)


def _foreign(model: _Model) -> str:
    return "vLLM %s runs it through Transformers, if at all" % vllm_models.nearest_known(model.version)


def _words(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _sees(model: _Model) -> bool:
    """Tell whether a model is asked about images: it takes more than text, and not sound alone."""
    if model.options["text_only"]:
        return False
    nested = [value for value in model.config.values() if isinstance(value, dict)]
    keys = [str(key) for part in (model.config, *nested) for key in part]
    sight = any(re.search(r"vision|visual|image|img", key) for key in keys)
    if not model.base:
        return "vision_config" in keys
    sound = any(re.search(r"audio|speech", key) for key in keys)
    heard = "transcription" in model.flags or re.search(r"Audio|Speech|ASR", model.architecture)
    return "multimodal" in model.flags and (sight or not (sound or heard))


def _template(model: _Model) -> tuple[bool | None, str]:  # noqa: PLR0911 one for each place of a template
    """Return whether vLLM can write a chat for the model, None where that is not known, and why."""
    options, files = model.options, model.files
    if options["chat_template"]:
        return True, "chat-template is set"
    if str(options["tokenizer_mode"]).startswith(_TEMPLATE_MODES):
        return True, "tokenizer-mode: %s writes the chat" % options["tokenizer_mode"]
    if files["chat_template"]:
        return True, "a chat template lies beside it"
    if files["mistral_tokenizer"]:
        return True, "Mistral's own tokenizer writes the chat"
    if model.base in _OWN_TOKENIZERS or str(model.config.get("model_type")) in _FALLBACK_TEMPLATES:
        return True, "vLLM brings its chat template along"
    if files["chat_template"] is None:
        return None, "chat or base: whether there is a chat template is not known"
    return False, "no chat template lies beside it"


def _pooling(model: _Model, why: str) -> dict:
    """Return the kind of a model that pools."""
    name, given = model.architecture, model.options["convert"]
    itself = "pooling" in model.flags and name == model.base
    if itself and given in ("auto", "none"):
        task, how = _own_task(model)
    else:
        convert = given
        if given in ("auto", "none"):
            match = _match(name, "pooling")
            convert = match[2] if match else "embed"
        task = {"embed": "embed", "classify": "classify", "reward": "token_classify"}.get(convert, "")
        how = "" if why else "by its name"
        if task == "classify" and "ForTokenClassification" in name:
            task = "token_classify"
    asked = model.options["pooler_task"]
    if asked:
        task, how = asked, "pooler-config asks for task %s" % asked
    kind, because = _kind_of_task(model, task)
    foreign = "" if model.base else _foreign(model)
    return _kind(kind, _words(name, why, how, because, foreign), name, "pooling", task)


def _own_task(model: _Model) -> tuple[str, str]:  # noqa: PLR0911 one for each group
    """Return the task of a class that pools by itself, and how that is known."""
    groups, name = set(model.groups), model.architecture
    # BertForMaskedLM gives a number for each word of the vocabulary (bert.py of 0.32); Roberta's of the name embeds
    if "ForTokenClassification" in name or "token_classification" in groups or name == "BertForMaskedLM":
        return "token_classify", "its class labels tokens"
    if _rewards_tokens(model):
        return "token_classify", "its class rewards each token"
    if "sequence_classification" in groups or "cross_encoder" in groups:
        return "classify", "its class labels a text"
    if "late_interaction" in groups:
        how = "ranks by what it embeds" if name.endswith("ForRanking") else "embeds each token"
        return "token_embed", "its class %s" % how
    if name == "Terratorch":
        return "plugin", "its class answers by a plugin"
    if "embedding" in groups:
        return "embed", "its class embeds"
    match = _match(name, "pooling")
    return (match[2], "its class pools") if match else ("", "its class pools")


def _rewards_tokens(model: _Model) -> bool:
    """Tell whether a class rewards tokens; before 0.12 these stand among the embedding models."""
    return "reward" in model.groups or model.base.endswith("RewardModel")


def _kind_of_task(model: _Model, task: str) -> tuple[str, str]:
    """Return the kind of a pooling model whose pooler does ``task``, and what it depends on beside it."""
    if task in ("embed", "token_embed", "embed&token_classify"):
        return ("rerank" if model.base.endswith("ForRanking") else "embed"), ""
    if task == "token_classify":
        rewards = model.options["convert"] == "reward" or _rewards_tokens(model)
        return ("reward" if rewards else "token_classify"), ""
    if task in ("classify", "score"):
        return _scoring(model)
    return UNKNOWN, "what its pooler answers is not known"


def _scoring(model: _Model) -> tuple[str, str]:
    """Return the kind of a model that labels a whole text: one label is a score."""
    number, said = number_of_labels(model.config, model.architecture)
    if number != 1:
        return "classify", said
    words = reward_words(model.config, model.architecture)
    if words:
        return "reward", "%s, %s" % (said, words)
    return "rerank", said
