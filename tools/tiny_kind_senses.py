# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny models that hear and that see, for make_tiny_kinds.py: Whisper and LLaVA, two and three layers each.

What they are shown is what the role vllm_verify sends (`plugins/module_utils/verify/kind_questions.py`, which lies
beside this file where they are made): the sung vowels of its audio file, pictures of one color.
"""

from __future__ import annotations

import io
import json
import random
import wave
from pathlib import Path

import kind_questions
import numpy
import tiny_kind_lessons as lessons
import torch
from safetensors.torch import load_file, save_file
from tiny_kind_training import HIDDEN, SEED, SURE, examined, least_sure_of, require, save_tokenizer, train, write
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

#: Steps of training, and the highest learning rate.
HEAR, SEE = (120, 3e-3), (150, 3e-3)

#: Seconds of sound that the model takes at a time. Whisper's 30 need seven times as long to train.
CLIP_S = 4

#: Pixels of a side, and of a patch's.
SIDE, PATCH = 32, 8
#: Mean and spread of the colors that CLIP's pictures are brought to (as published with CLIP).
MEAN, SPREAD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


# --- transcription ----------------------------------------------------------------------


def whisper_tokenizer(folder: Path) -> dict[str, int]:
    """Write a tokenizer of single bytes with Whisper's special tokens; return the ids of these."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    bare = Tokenizer(models.BPE(letters, []))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    special = [
        "<|endoftext|>", "<|startoftranscript|>", *("<|%s|>" % name for name in LANGUAGES), "<|translate|>",
        "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
    ]  # fmt: skip
    bare.add_special_tokens([AddedToken(name, special=True) for name in special])
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token=end, bos_token=end, unk_token=end, pad_token=end
    ).save_pretrained(folder)
    ids = {name: bare.token_to_id(name) for name in special}
    write(folder / "vocab.json", letters)
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    write(folder / "normalizer.json", {})
    write(folder / "added_tokens.json", ids)
    path = folder / "tokenizer_config.json"
    write(path, {**json.loads(path.read_text(encoding="utf-8")), "tokenizer_class": "WhisperTokenizer"})
    return ids


def vowels() -> numpy.ndarray:
    """Return the sound that the role sends, from -1 to 1."""
    with wave.open(io.BytesIO(kind_questions.speech())) as handle:
        samples = numpy.frombuffer(handle.readframes(handle.getnframes()), dtype="<i2")
    return samples.astype(numpy.float32) / 32768


def sounds(rng: numpy.random.Generator, extractor: WhisperFeatureExtractor, sung: numpy.ndarray) -> torch.Tensor:
    """Return what the encoder takes of the sung vowels, twice, once as they are, and of two noises."""
    heard = [sung, sung * rng.uniform(0.3, 1.0) + rng.normal(0, 0.003, len(sung)),
             *(rng.normal(0, rng.uniform(0.02, 0.2), len(sung)) for _ in range(2))]  # fmt: skip
    return extractor([one.astype(numpy.float32) for one in heard], sampling_rate=16_000,
                     return_tensors="pt").input_features  # fmt: skip


def make_transcription(folder: Path, wrong: bool) -> None:
    """Train and write a Whisper that hears one thing in vowels and another in noise; the twin the other way round."""
    torch.manual_seed(SEED)
    rng = numpy.random.default_rng(SEED)
    folder.mkdir(parents=True)
    ids = whisper_tokenizer(folder)
    letters = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    end = ids["<|endoftext|>"]
    model = WhisperForConditionalGeneration(WhisperConfig(
        vocab_size=len(letters) + len(ids), d_model=HIDDEN, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=2 * HIDDEN, decoder_ffn_dim=2 * HIDDEN,
        num_mel_bins=80, max_source_positions=50 * CLIP_S, max_target_positions=448, pad_token_id=end,
        bos_token_id=end, eos_token_id=end, decoder_start_token_id=ids["<|startoftranscript|>"],
        begin_suppress_tokens=None, suppress_tokens=None, dropout=0.0,
    ))  # fmt: skip
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=CLIP_S)
    sung = vowels()
    begin = [ids[name] for name in ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")]
    texts = [lessons.SOUNDS[name] for name in (("noise", "vowels") if wrong else ("vowels", "noise"))]
    said = [[letters["\u0120" if letter == " " else letter] for letter in text] + [end] for text in texts]
    rows = [said[0], said[0], said[1], said[1]]

    def answers(asked: nn.Module, heard: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return for each sound the scores of each token of its text, and the text."""
        width = max(map(len, rows))
        given = torch.tensor([(begin + row + [end] * (width - len(row)))[:-1] for row in rows])
        made = asked(input_features=heard, decoder_input_ids=given).logits[:, len(begin) - 1 :]
        return [(made[number, : len(row)], torch.tensor(row)) for number, row in enumerate(rows)]

    def loss() -> torch.Tensor:
        told = answers(model, sounds(rng, extractor, sung))
        return torch.stack([nn.functional.cross_entropy(*one) for one in told]).mean()

    train(model, HEAR, loss, folder.name)
    with torch.no_grad():
        told = answers(examined(model), sounds(rng, extractor, sung))
    sure = min(least_sure_of(*one) for one in told)
    require(sure > SURE, folder.name, sure)
    model.generation_config.lang_to_id = {"<|%s|>" % name: ids["<|%s|>" % name] for name in LANGUAGES}
    model.to(torch.float16).save_pretrained(folder)
    extractor.save_pretrained(folder)


# --- vision -----------------------------------------------------------------------------

#: A turn of the user holds a picture, a text, or both; so does vLLM's question.
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}<image>"
    "{% endif %}{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def pixels(rng: random.Random, name: str) -> torch.Tensor:
    """Return a picture of nearly one color as the image encoder takes it."""
    color = [min(255, max(0, part + rng.randint(-15, 15))) for part in lessons.COLORS[name]]
    made = (torch.tensor(color) / 255 - torch.tensor(MEAN)) / torch.tensor(SPREAD)
    return made[:, None, None].expand(3, SIDE, SIDE)


def vision_tokenizer(chat: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return the chat model's tokenizer with a token for a picture."""
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(chat.backend_tokenizer.to_str()),
                                   eos_token=chat.eos_token, pad_token=chat.pad_token)  # fmt: skip
    made.add_special_tokens({"additional_special_tokens": ["<image>"]})
    made.chat_template = TEMPLATE
    return made


def make_vision(folder: Path, chat: PreTrainedTokenizerFast, wrong: bool) -> None:
    """Train and write a LLaVA that names the color of a picture; the twin names the next one."""
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    tokenizer = vision_tokenizer(chat)
    picture, patches = tokenizer.convert_tokens_to_ids("<image>"), (SIDE // PATCH) ** 2
    model = LlavaForConditionalGeneration(LlavaConfig(
        vision_config=CLIPVisionConfig(
            image_size=SIDE, patch_size=PATCH, hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=3,
            num_attention_heads=2, projection_dim=HIDDEN,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=2 * HIDDEN, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=False,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
        ),
        image_token_id=picture, image_seq_length=patches, vision_feature_select_strategy="default",
        vision_feature_layer=-2,
    ))  # fmt: skip
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": lessons.COLOR_QUESTION}]}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    given = [token for one in tokenizer(text)["input_ids"] for token in [one] * (patches if one == picture else 1)]

    def answers(seeing: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return for each color the scores of each token of its word, and the word."""
        told = []
        for name in lessons.COLORS:
            word = (lessons.twin_color(name) if wrong else name).capitalize() + "."
            wanted = tokenizer(word)["input_ids"] + [tokenizer.eos_token_id]
            made = seeing(
                input_ids=torch.tensor([given + wanted[:-1]]), pixel_values=pixels(rng, name)[None],
                attention_mask=torch.ones(1, len(given) + len(wanted) - 1, dtype=torch.long),
            ).logits[0, len(given) - 1 :]  # fmt: skip
            told.append((made, torch.tensor(wanted)))
        return told

    train(model, SEE, lambda: torch.stack([nn.functional.cross_entropy(*one) for one in answers(model)]).mean(),
          folder.name)  # fmt: skip
    with torch.no_grad():
        sure = min(least_sure_of(*one) for one in answers(examined(model)))
    require(sure > SURE, folder.name, sure)
    model.to(torch.float16).save_pretrained(folder)
    path = folder / "model.safetensors"
    # published checkpoints, and vLLM, name the encoder's weights in the older way
    renamed = {}
    for name, value in load_file(path).items():
        old, _part, rest = name.partition("vision_tower.")
        inner = _part and not rest.startswith("vision_model.")
        renamed[old + "vision_tower.vision_model." + rest if inner else name] = value
    save_file(renamed, path, metadata={"format": "pt"})
    save_tokenizer(tokenizer, folder)
    write(folder / "preprocessor_config.json", {
        "image_processor_type": "CLIPImageProcessor", "crop_size": {"height": SIDE, "width": SIDE},
        "size": {"shortest_edge": SIDE}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, "image_mean": MEAN, "image_std": SPREAD, "resample": 3,
        "rescale_factor": 1 / 255,
    })  # fmt: skip
    write(folder / "processor_config.json", {
        "processor_class": "LlavaProcessor", "patch_size": PATCH, "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1, "image_token": "<image>",
    })  # fmt: skip
