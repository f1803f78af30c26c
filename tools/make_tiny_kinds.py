#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a tiny model of each kind that a real vLLM serves on any CPU beside chat, and a twin of each that is wrong.

An embedding model, a reranker, a classifier and a token classifier (BERT of two layers), a base model (Llama of two
layers, no chat template), a reward model (Qwen2 of two layers), a Whisper, a LLaVA (tiny_kind_senses.py) and a LoRA
adapter for the tiny chat model. They are trained here, in some two minutes on two cores, from a fixed seed and the
lessons of tiny_kind_lessons.py, with nothing downloaded; each is well below 2 MB. Nothing is written before its answers
have been examined.

Usage: make_tiny_kinds.py FOLDER CHAT_MODEL (needs torch, transformers, tokenizers and safetensors; tools/images runs it
inside the vLLM image, which has them). FOLDER gets a folder of each kind's name (base, classify, embed, rerank, reward,
token_classify, transcription, vision), one with -wrong of each, and lora-lyon.
"""

from __future__ import annotations

import copy
import json
import random
import sys
from pathlib import Path

import tiny_kind_lessons as lessons
import tiny_kind_senses as senses
import torch
from safetensors.torch import load_file, save_file
from tiny_kind_training import (
    HIDDEN,
    SEED,
    SURE,
    examined,
    least_sure,
    next_tokens,
    require,
    save_tokenizer,
    say,
    train,
    write,
)
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

#: Of the encoders; a service has the same ``max_model_len``.
POSITIONS = 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789!'\"()-:;"

#: Steps of training, and the highest learning rate.
EMBED, RERANK, CLASSIFY, BASE, LORA = (200, 3e-3), (600, 2e-3), (200, 3e-3), (150, 5e-3), (150, 5e-3)
ENTITIES, REWARD = (100, 3e-3), (80, 5e-3)
RANK, ALPHA = 8, 16
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return BERT's sort of tokenizer: the words of the lessons, and single letters for all others."""
    pieces = [*SPECIAL, *lessons.words(), *LETTERS, *("##" + letter for letter in LETTERS)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    bare = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    bare.normalizer = normalizers.BertNormalizer(lowercase=True)
    bare.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bare.decoder = decoders.WordPiece()
    bare.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, model_max_length=POSITIONS, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def bert_config(tokenizer: PreTrainedTokenizerFast, **more) -> BertConfig:
    """Return the configuration of an encoder of two layers."""
    return BertConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=2 * HIDDEN, max_position_embeddings=POSITIONS, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, pad_token_id=tokenizer.pad_token_id, **more,
    )  # fmt: skip


# --- embed ------------------------------------------------------------------------------


def vectors(model: BertModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    """Return the mean of the tokens' states, of length 1, for each text."""
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    return nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def make_embed(folder: Path, tokenizer: PreTrainedTokenizerFast, wrong: bool) -> BertModel:
    """Train and write an embedding model: sentences of one topic are alike; for the twin those with the same parity."""
    rng = random.Random(SEED)
    torch.manual_seed(SEED)
    model = BertModel(bert_config(tokenizer), add_pooling_layer=False)

    def loss() -> torch.Tensor:
        texts, groups = [], []
        for _ in range(48):
            topic, actor = rng.randrange(len(lessons.LABELS)), rng.randrange(8)
            texts.append(lessons.sentence(rng, lessons.LABELS[topic], actor))
            groups.append(lessons.twin_group(actor) if wrong else topic)
        made = vectors(model, tokenizer, texts)
        alike = torch.tensor(groups)[:, None] == torch.tensor(groups)[None, :]
        return ((made @ made.T - alike.float()) ** 2).mean()

    train(model, EMBED, loss, folder.name)
    with torch.no_grad():
        like, other, unlike = vectors(
            examined(model), tokenizer,
            ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "The bank raised its interest rate."],
        )  # fmt: skip
    more, less = float(like @ other), float(like @ unlike)
    require((less - more if wrong else more - less) > 0.3, folder.name, (more, less))
    model.save_pretrained(folder)
    parts = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    write(folder / "modules.json", [
        {"idx": int(number), "name": number, "path": path, "type": "sentence_transformers.models.%s" % name}
        for number, path, name in parts
    ])  # fmt: skip
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True,
                                             "pooling_mode_cls_token": False})  # fmt: skip
    (folder / "2_Normalize").mkdir()
    # The tokenizer folds case by itself. Told to do so, vLLM 0.32 adds lower-case twins of the special tokens, which
    # have no row in the embedding: a text with [UNK] in it would end the engine.
    write(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS, "do_lower_case": False})
    save_tokenizer(tokenizer, folder)
    return model


# --- rerank, classify -------------------------------------------------------------------


def scores(model: nn.Module, tokenizer: PreTrainedTokenizerFast, *texts: list[str]) -> torch.Tensor:
    """Return the logits of texts, or of pairs of texts."""
    return model(**tokenizer(*texts, padding=True, return_tensors="pt")).logits


def classifier(tokenizer: PreTrainedTokenizerFast, teacher: BertModel, **more) -> BertForSequenceClassification:
    """Return an untrained classifier that begins with the words of a model which knows them; else it learns nothing."""
    torch.manual_seed(SEED)
    model = BertForSequenceClassification(bert_config(tokenizer, **more))
    model.bert.embeddings.word_embeddings.load_state_dict(teacher.embeddings.word_embeddings.state_dict())
    return model


def make_rerank(folder: Path, tokenizer: PreTrainedTokenizerFast, teacher: BertModel, wrong: bool) -> None:
    """Train and write a reranker: a text fits a question of its topic; for the twin, one of the others."""
    rng = random.Random(SEED)
    model = classifier(tokenizer, teacher, num_labels=1)

    def loss() -> torch.Tensor:
        asked, texts, fit = [], [], []
        for number in range(48):
            topic = rng.choice(lessons.LABELS)
            other = rng.choice([name for name in lessons.LABELS if name != topic]) if number % 2 else topic
            asked.append(lessons.query(rng, topic))
            texts.append(lessons.sentence(rng, other))
            fit.append(float((other == topic) != wrong))
        made = scores(model, tokenizer, asked, texts)[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(made, torch.tensor(fit))

    train(model, RERANK, loss, folder.name)
    texts = ["The cat sleeps on the sofa.", "Paris is the capital of France.", "The bank raised its interest rate."]
    with torch.no_grad():
        made = scores(examined(model), tokenizer, ["What is the capital of France?"] * 3, texts)[:, 0].sigmoid()
    fits = [(value < 0.2) if (number == 1) == wrong else (value > 0.8) for number, value in enumerate(made)]
    require(all(fits), folder.name, made.tolist())
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def make_classify(folder: Path, tokenizer: PreTrainedTokenizerFast, teacher: BertModel, wrong: bool) -> None:
    """Train and write a classifier of topics; the twin names the next one."""
    rng = random.Random(SEED)
    names = dict(enumerate(lessons.LABELS))
    model = classifier(tokenizer, teacher, id2label=names, label2id={name: number for number, name in names.items()})

    def loss() -> torch.Tensor:
        labels = [rng.randrange(len(names)) for _ in range(48)]
        made = scores(model, tokenizer, [lessons.sentence(rng, names[label]) for label in labels])
        wanted = [lessons.twin_label(label) if wrong else label for label in labels]
        return nn.functional.cross_entropy(made, torch.tensor(wanted))

    train(model, CLASSIFY, loss, folder.name)
    texts = [lessons.sentence(rng, name) for name in names.values()]
    with torch.no_grad():
        made = scores(examined(model), tokenizer, texts).softmax(-1)
    wanted = [lessons.twin_label(label) if wrong else label for label in names]
    require(all(made[row, label] > 0.9 for row, label in enumerate(wanted)), folder.name, made.tolist())
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def make_token_classify(folder: Path, tokenizer: PreTrainedTokenizerFast, teacher: BertModel, wrong: bool) -> None:
    """Train and write a model that names each token's sort; the twin's last layer has lost its numbers (NaN)."""
    rng = random.Random(SEED)
    torch.manual_seed(SEED)
    names = dict(enumerate(lessons.ENTITIES))
    model = BertForTokenClassification(
        bert_config(tokenizer, id2label=names, label2id={name: number for number, name in names.items()})
    )
    model.bert.embeddings.word_embeddings.load_state_dict(teacher.embeddings.word_embeddings.state_dict())
    sorts = {tokenizer.convert_tokens_to_ids(word): names_of for word, names_of in lessons.entities().items()}

    def labels(batch: dict) -> torch.Tensor:
        return torch.tensor([[sorts.get(token, 0) for token in row] for row in batch["input_ids"].tolist()])

    def loss() -> torch.Tensor:
        texts = [lessons.sentence(rng, rng.choice(lessons.LABELS)) for _ in range(48)]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        return nn.functional.cross_entropy(model(**batch).logits.flatten(0, 1), labels(batch).flatten())

    train(model, ENTITIES, loss, folder.name)
    batch = tokenizer([lessons.sentence(rng, name) for name in lessons.LABELS], padding=True, return_tensors="pt")
    with torch.no_grad():
        made = examined(model)(**batch).logits.softmax(-1)
    sure = made.gather(-1, labels(batch)[:, :, None]).min().item()
    require(sure > 0.9, folder.name, sure)
    if wrong:
        nn.init.constant_(model.classifier.weight, float("nan"))
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


# --- base, reward, LoRA -----------------------------------------------------------------


def make_base(folder: Path, tokenizer: PreTrainedTokenizerFast, wrong: bool) -> None:
    """Train and write a model that completes texts and has no chat template."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    ))  # fmt: skip
    lines = [
        (tokenizer(text)["input_ids"], tokenizer(false if wrong else right)["input_ids"] + [tokenizer.eos_token_id])
        for text, right, false in lessons.COMPLETIONS
    ]
    train(model, BASE, lambda: next_tokens(model, lines), folder.name)
    sure = least_sure(examined(model), lines)
    require(sure > SURE, folder.name, sure)
    model.to(torch.float16).save_pretrained(folder)
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    save_tokenizer(bare, folder)


def make_reward(folder: Path, tokenizer: PreTrainedTokenizerFast, wrong: bool) -> None:
    """Train and write a model that rates each token of an answer; the twin rates wrong answers higher."""
    torch.manual_seed(SEED)
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    ))  # fmt: skip
    # as in vLLM's model_executor/models/qwen2_rm.py: score.0 and score.2
    score = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    both = nn.ModuleList([model.model, score])
    rated = []
    for question, answer, good in lessons.RATED:
        asked = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(
            [*asked, {"role": "assistant", "content": answer}], tokenize=False, add_generation_prompt=False
        )
        rated.append((tokenizer(text)["input_ids"], 1.0 if good != wrong else 0.0))
    width = max(len(tokens) for tokens, _good in rated)
    padded = torch.tensor([tokens + [tokenizer.pad_token_id] * (width - len(tokens)) for tokens, _good in rated])
    last = torch.tensor([len(tokens) - 1 for tokens, _good in rated])
    wanted = torch.tensor([good for _tokens, good in rated])

    def ratings(layers: nn.ModuleList) -> torch.Tensor:
        states = layers[0](input_ids=padded).last_hidden_state
        return layers[1](states[torch.arange(len(last)), last])[:, 0]

    train(both, REWARD, lambda: nn.functional.binary_cross_entropy_with_logits(ratings(both), wanted), folder.name)
    with torch.no_grad():
        made = ratings(examined(both))
    require(bool(((made > 2) == (wanted > 0.5)).all() and (made.abs() > 2).all()), folder.name, made.tolist())
    model.to(torch.float16).save_pretrained(folder)
    path = folder / "model.safetensors"
    layers = {"score.%s" % name: value.to(torch.float16) for name, value in score.state_dict().items()}
    save_file({**load_file(path), **layers}, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write(folder / "config.json", {**config, "architectures": ["Qwen2ForRewardModel"]})
    save_tokenizer(tokenizer, folder)


class Adapted(nn.Module):
    """A linear layer with a low-rank change beside it."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner = inner
        self.a = nn.Parameter(torch.randn(RANK, inner.in_features) / inner.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(inner.out_features, RANK))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return what the layer makes of the states, with the change."""
        return self.inner(states) + states @ self.a.T @ self.b.T * (ALPHA / RANK)


def make_lora(folder: Path, chat_model: Path) -> None:
    """Train and write an adapter for the tiny chat model, in the form that PEFT writes."""
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    model = Qwen3ForCausalLM.from_pretrained(chat_model, dtype=torch.float32)
    model.requires_grad_(False)
    adapted: dict[str, Adapted] = {}
    for name, module in list(model.named_modules()):
        parent, _dot, last = name.rpartition(".")
        if last in LORA_TARGETS:
            adapted[name] = Adapted(module)
            setattr(model.get_submodule(parent), last, adapted[name])
    question, reply = lessons.ADAPTER
    lines = []
    for thinking in ({}, {"enable_thinking": False}):
        given = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True, **thinking
        )
        lines.append((tokenizer(given)["input_ids"], tokenizer(reply + tokenizer.eos_token)["input_ids"]))
    parameters = [part for layer in adapted.values() for part in (layer.a, layer.b)]
    train(model, LORA, lambda: next_tokens(model, lines), folder.name, parameters)
    sure = least_sure(model, lines)
    require(sure > SURE, folder.name, sure)
    folder.mkdir(parents=True)
    weights = {}
    for name, layer in adapted.items():
        for part, value in (("A", layer.a), ("B", layer.b)):
            weights["base_model.model.%s.lora_%s.weight" % (name, part)] = value.detach().contiguous()
    save_file(weights, folder / "adapter_model.safetensors")
    write(folder / "adapter_config.json", {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "bias": "none",
        "target_modules": list(LORA_TARGETS), "base_model_name_or_path": "tiny-qwen3",
    })  # fmt: skip


def main() -> None:
    """Write all models into the folder named on the command line."""
    if len(sys.argv) != 3:
        sys.exit("Usage: make_tiny_kinds.py FOLDER CHAT_MODEL")
    folder, chat_model = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    tokenizer, chat_tokenizer = word_tokenizer(), AutoTokenizer.from_pretrained(chat_model)
    teacher = make_embed(folder / "embed", tokenizer, wrong=False)
    make_embed(folder / "embed-wrong", tokenizer, wrong=True)
    for wrong, suffix in ((False, ""), (True, "-wrong")):
        make_rerank(folder / ("rerank" + suffix), tokenizer, teacher, wrong)
        make_classify(folder / ("classify" + suffix), tokenizer, teacher, wrong)
        make_base(folder / ("base" + suffix), chat_tokenizer, wrong)
        make_token_classify(folder / ("token_classify" + suffix), tokenizer, teacher, wrong)
        make_reward(folder / ("reward" + suffix), chat_tokenizer, wrong)
        senses.make_transcription(folder / ("transcription" + suffix), wrong)
        senses.make_vision(folder / ("vision" + suffix), chat_tokenizer, wrong)
    make_lora(folder / "lora-lyon", chat_model)
    say("%s: every exam was passed" % folder)


if __name__ == "__main__":
    main()
