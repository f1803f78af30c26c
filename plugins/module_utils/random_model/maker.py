# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a model of any architecture with random weights, from its ``config.json`` alone.

This file runs INSIDE the service's image, as ``python3 -c <this text> <arguments as JSON>``, with the image's own torch
and transformers (tried: transformers 5.1x), which it needs there only. It prints one JSON object, and on failure a line
that begins with ``random-model: ``; its exit status is then 1.

Memory, KV cache and speed are those of a trained model of that shape; what it answers is noise. Nothing is downloaded.
Quantized weights are not made: their layout belongs to the program that quantized them.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import copy
import json
import os
import sys

#: Names that architectures give the number of their layers.
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")

#: Bytes of a weight by the names of dtype that vLLM and transformers share.
DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}

#: Weights of one draw of random numbers; a larger matrix repeats them, each from another place.
_DRAW = 1 << 22

#: Spread of the weights where config.json does not say (transformers' usual initializer_range).
_SPREAD = 0.02

#: Special words that a config.json names by their number, and what they are called here.
_SPECIAL = {"bos_token_id": "<|bos|>", "eos_token_id": "<|eos|>", "pad_token_id": "<|pad|>"}

#: What a conversation becomes, in the least that vLLM's chat needs.
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

#: Bytes of one file of weights, as transformers' own writing has it.
_SHARD = "4GB"


class Refused(Exception):
    """Such a model cannot be made; the text says why and what to do."""


def text_part(config: dict) -> dict:
    """Return the part of a config that has the language model's layers."""
    for part in (config, *(config[key] for key in ("text_config", "llm_config") if isinstance(config.get(key), dict))):
        if any(isinstance(part.get(name), int) for name in LAYERS):
            return part
    raise Refused("config.json says no number of layers (%s)." % ", ".join(LAYERS))


def layers_of(config: dict) -> int:
    """Return the number of layers."""
    part = text_part(config)
    return next(part[name] for name in LAYERS if isinstance(part.get(name), int))


def with_layers(config: dict, number: int) -> dict:
    """Return a config with another number of layers; lists with an entry for each layer go on as they began."""
    changed = copy.deepcopy(config)
    part = text_part(changed)
    before = layers_of(changed)
    for key, value in part.items():
        if isinstance(value, list) and len(value) == before:
            part[key] = [value[i % before] for i in range(number)]
    name = next(name for name in LAYERS if isinstance(part.get(name), int))
    part[name] = number
    if isinstance(part.get("max_window_layers"), int):
        part["max_window_layers"] = min(part["max_window_layers"], number)
    return changed


def layers_for(wanted: float, sizes: dict[int, float]) -> int:
    """Return how many layers come nearest to a size.

    Args:
        wanted: bytes in all.
        sizes: bytes of the model with two different numbers of layers.

    Raises:
        Refused: what stands beside the layers is larger than that alone.
    """
    (few, least), (more, larger) = sorted(sizes.items())
    layer = (larger - least) / (more - few)
    if wanted < least - layer / 2:
        raise Refused(
            "size_gib is %.2f, and the model with %d layer%s is %.2f GiB already: give a larger size, or a smaller "
            "hidden_size or vocab_size in config.json." % (wanted / 2**30, few, "s" * (few > 1), least / 2**30)
        )
    return max(few, round(few + (wanted - least) / layer))


def byte_letters() -> list[str]:
    """Return the letter that stands for each byte in byte-level tokenizers (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in shown]
    return [chr(number) if number in shown else chr(256 + others.index(number)) for number in range(256)]


def tokenizer_files(config: dict) -> dict[str, str]:
    """Return a tokenizer's files for a vocabulary of that size: each byte is a word, the others are numbered words.

    Raises:
        Refused: the vocabulary has no room for all bytes.
    """
    part = config if isinstance(config.get("vocab_size"), int) else text_part(config)
    size = part.get("vocab_size") or 0
    special: dict[int, str] = {}
    for key, word in _SPECIAL.items():
        number = part.get(key, config.get(key))
        number = number[0] if isinstance(number, list) and number else number
        if isinstance(number, int) and 0 <= number < size:
            special.setdefault(number, word)
    if size < 256 + len(special):
        raise Refused("vocab_size is %s; 256 and the special words are needed at least." % size)
    bytes_left = iter(byte_letters())
    vocabulary = {}
    for number in range(size):
        word = special.get(number) or next(bytes_left, None) or "\u0120w%d" % number
        vocabulary[word] = number
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": word, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for number, word in sorted(special.items())
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": []},
    }  # fmt: skip
    names = {key.replace("_id", ""): word for key, word in _SPECIAL.items() if word in special.values()}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": _TEMPLATE, **names}
    return {"tokenizer.json": json.dumps(tokenizer), "tokenizer_config.json": json.dumps(about, indent=2)}


def make(folder: str, config: dict, size_gib: float | None, layers: int | None, dtype: str, seed: int) -> dict:
    """Write a model; return ``{layers, bytes, parameters, architecture, transformers}``.

    Args:
        folder: where to; it is there and empty.
        config: content of a ``config.json``.
        size_gib: size of all weights; None: as many layers as ``layers`` or the config say.
        layers: number of layers; None: the config's own, or what ``size_gib`` takes.
        dtype: of the weights.
        seed: of the random numbers.
    """
    import torch  # noqa: PLC0415 - of the image alone
    import transformers  # noqa: PLC0415 - of the image alone

    if config.get("quantization_config"):
        raise Refused(
            "config.json has quantization_config: take it out. vLLM quantizes plain weights itself where it is told to "
            "(--quantization fp8)."
        )
    kind = torch.float32 if dtype == "float32" else getattr(torch, dtype)
    changed = _sized(transformers, config, size_gib, layers, kind)
    model = _skeleton(transformers, changed, kind).to_empty(device="cpu")
    model.tie_weights()
    part = text_part(changed)
    _fill(torch, model, float(part.get("initializer_range") or _SPREAD), seed)
    model.save_pretrained(folder, max_shard_size=_SHARD)
    # as it was given: what transformers writes is in the words of its own release
    written = {**changed, "dtype": dtype, "torch_dtype": dtype, "architectures": [type(model).__name__]}
    files = {"config.json": json.dumps(written, indent=2), **tokenizer_files(changed)}
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.write(text)
    for name in os.listdir(folder):
        # whoever the service runs as must read them, and safetensors writes for its own user alone
        os.chmod(os.path.join(folder, name), 0o644)
    return {
        "layers": layers_of(changed),
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": sum(
            os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".safetensors")
        ),
        "architecture": type(model).__name__,
        "transformers": transformers.__version__,
    }


def _sized(transformers, config: dict, size_gib: float | None, layers: int | None, kind) -> dict:
    if layers:
        return with_layers(config, layers)
    if not size_gib:
        return config
    # from two layers on: the first one of a mixture of experts is often a dense one
    sizes = {}
    for number in (2, 4):
        model = _skeleton(transformers, with_layers(config, number), kind)
        sizes[number] = float(sum(p.numel() * p.element_size() for p in model.parameters()))
    return with_layers(config, layers_for(size_gib * 2**30, sizes))


def _skeleton(transformers, config: dict, kind):
    """Return the model without memory for its weights."""
    import torch  # noqa: PLC0415 - of the image alone

    name = (config.get("architectures") or [""])[0]
    known = getattr(transformers, name, None)
    try:
        settings = transformers.AutoConfig.for_model(**config)
    except (KeyError, ValueError, TypeError) as error:
        raise Refused(
            "the image's transformers %s does not know model_type %s (%s): take a newer image, or another config.json."
            % (transformers.__version__, config.get("model_type"), str(error)[:200])
        ) from error
    with torch.device("meta"):
        if known is None:
            return transformers.AutoModelForCausalLM.from_config(settings, dtype=kind)
        return known._from_config(settings, dtype=kind)


def _fill(torch, model, spread: float, seed: int) -> None:
    """Give all weights values: matrices random ones, norms 1, biases 0."""
    draw = torch.randn(_DRAW, generator=torch.Generator().manual_seed(seed)).mul_(spread)
    drawn: dict = {}
    with torch.no_grad():
        for number, (name, weight) in enumerate(model.named_parameters()):
            if weight.dim() < 2:
                weight.fill_(0.0 if "bias" in name else 1.0)
                continue
            values = drawn.setdefault(weight.dtype, draw.to(weight.dtype))
            flat, place = weight.data.view(-1), (number * 7919 * 64) % (_DRAW // 2)
            part = values[place:]
            for begin in range(0, flat.numel(), part.numel()):
                piece = flat[begin : begin + part.numel()]
                piece.copy_(part[: piece.numel()])
        for buffer in model.buffers():
            buffer.zero_()


def main() -> int:
    """Make the model that the first argument describes."""
    try:
        sys.stdout.write(json.dumps(make(**json.loads(sys.argv[1]))) + "\n")
    except Refused as error:
        sys.stdout.write("random-model: %s\n" % error)
        return 1
    except MemoryError:
        sys.stdout.write("random-model: the host's memory is too small for it: all weights are in memory once.\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
