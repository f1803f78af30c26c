#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a tiny Qwen3 model that a real vLLM can serve on any CPU.

The model has random weights: it answers nonsense, and that is enough for everything around
it to be exercised for real (loading, tensor parallelism, the OpenAI API, the metrics). It is
made from a fixed seed and the few lines of text below, with nothing downloaded, and is some
300 kB large.

Usage: make_tiny_model.py FOLDER (needs torch, transformers and tokenizers; tools/images runs
it inside the vLLM image, which has them).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SEED = 5002
VOCABULARY = 512
MAX_POSITIONS = 2048
END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"

TRAINING_LINES = [
    "The medium service answers on port 5002 and serves one model with two tensor parallel ranks.",
    "A deployment is verified: the health endpoint answers, the model is listed, a completion comes back.",
    "Hello, how are you? I am a tiny model with random weights, and I cannot say anything sensible.",
    "What is the capital of France? The capital of France is Paris, and two plus two makes four.",
    "system user assistant: you are a helpful assistant who answers in one short sentence.",
    "Le service répond sur le port 5002 ; la mémoire, les jetons et la température sont des réglages.",
    '{"name": "get_weather", "arguments": {"city": "Paris", "unit": "celsius"}}',
    "0 1 2 3 4 5 6 7 8 9 10 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536 131072",
]

CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of the full vocabulary size on the lines above.

    Returns:
        The tokenizer, with the chat template and the special tokens of the Qwen family.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [END_OF_TEXT, IM_START, IM_END]
    tokenizer.train_from_iterator(
        TRAINING_LINES,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            # Every byte is a token, so that any text can be encoded.
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[AddedToken(token, special=True) for token in special],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Make the model itself, with random weights from the fixed seed.

    Args:
        tokenizer: The tokenizer, which knows the ids of the special tokens.

    Returns:
        A Qwen3 model of two layers. It has two key-value heads, so that it can be split over
        two tensor parallel ranks.
    """
    torch.manual_seed(SEED)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        # Not hidden_size / num_attention_heads = 16: the attention kernels for CPUs begin at 32.
        head_dim=32,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config).to(torch.bfloat16)


def main() -> None:
    """Write model and tokenizer into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Make a tiny Qwen3 model with random weights.")
    parser.add_argument("folder", type=Path, help="where to write it; made when it is missing")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)

    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    # transformers may write the class that made the tokenizer, under names that change from
    # one of its versions to the next; this one every version can load.
    config_file = folder / "tokenizer_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config_file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{folder}: {parameters} parameters, {len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
