# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the layers of a model apart: how each keeps the past, and which have experts, a plain feed-forward or none.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

from collections.abc import Callable

#: ``layer_types`` and block letters of the families, by how the layer keeps its past.
_LAYER_KINDS = {
    "full_attention": "full",
    "attention": "full",
    "global": "full",
    "*": "full",
    "sliding_attention": "sliding",
    "local": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "mamba": "linear",
    "mamba2": "linear",
    "hybrid": "full",
    "conv": "linear",
    "recurrent": "linear",
    "M": "linear",
    "-": "none",
    "E": "none",
    "mlp": "none",
    "moe": "none",
}
#: Those that are a feed-forward: where a list of layers has one, each of its layers is one thing, either what mixes
#: tokens or a feed-forward (``model_executor/models/nemotron_h.py`` of vLLM 0.33). True: of routed experts.
_FEED_FORWARD = {"-": False, "mlp": False, "E": True, "moe": True}

#: Families whose every Nth layer attends to everything and whose others slide, when the configuration does not list
#: its layers (the families' published model code).
_SLIDING_PATTERNS = {"gemma2": 2, "gemma3": 6, "cohere2": 4, "gptoss": 2}

#: Families whose ``sliding_window`` holds for every layer (their published model code); Qwen names one and leaves it
#: off by ``use_sliding_window``.
_ALL_SLIDING = ("mistral", "mixtral", "phi3", "starcoder2")

#: Families whose layers are Mamba and nothing else, without a feed-forward (their published model code).
_MAMBA = ("mamba", "mamba2", "falconmamba")

#: Families that keep nothing of a text: vLLM gives them no KV cache (their classes in
#: model_executor/models/{bert,roberta,modernbert,bert_with_rope}.py use EncoderOnlyAttention, 0.11 to 0.33).
_ENCODERS = ("bert", "roberta", "xlmroberta", "modernbert", "nomicbert", "new", "gte")


def names(flat: dict, family: str, layers: int) -> list[str]:
    """Return the name of each layer of a flattened configuration, as its family lists or derives it."""
    listed = flat.get("layer_types") or flat.get("layers_block_type") or flat.get("hybrid_override_pattern")
    if isinstance(listed, (list, tuple)) and listed:
        return [str(name) for name in listed]
    if isinstance(listed, str) and set(listed) <= set("M*-E"):
        return list(listed)
    return _pattern(flat, family, layers)


def kinds(flat: dict, listed: list[str], encoder: bool) -> dict[str, int]:
    """Return the number of layers by how they keep the past: full, sliding, chunked, linear, none.

    Args:
        flat: a flattened configuration.
        listed: of `names`.
        encoder: whether the model keeps nothing of a text.
    """
    if encoder:
        return {"none": len(listed)}
    blocks = flat.get("block_configs")
    if isinstance(blocks, list) and len(blocks) == len(listed):
        # DeciLM (Nemotron NAS): a block may have no attention, or a linear map in its place
        listed = ["-" if _without_attention(block) else name for block, name in zip(blocks, listed)]
    found: dict[str, int] = {}
    # the last layers of Gemma 3n and 4 read the keys of earlier ones
    own = len(listed) - (flat.get("num_kv_shared_layers") or 0)
    for index, name in enumerate(listed):
        kind = _LAYER_KINDS.get(name, "full") if index < own else "none"
        found[kind] = found.get(kind, 0) + 1
    return found


def looks_both_ways(flat: dict, family: str) -> bool:
    """Tell whether the model looks at a whole text at once and keeps nothing of it: an encoder.

    Told by the family, by what only encoders have (segments of a text pair), or by an attention that the configuration
    or the class calls not causal (``is_causal`` in ``model_executor/models/{llama,qwen2,gemma3,config}.py`` of 0.33).
    """
    if flat.get("is_decoder"):
        return False
    both_ways = flat.get("is_causal") is False or flat.get("use_bidirectional_attention") is True
    named = any("Bidirectional" in str(name) for name in flat["architectures"])
    return family in _ENCODERS or both_ways or named or bool(flat.get("type_vocab_size"))


def mixers(flat: dict, listed: list[str]) -> tuple[int, int]:
    """Return the number of layers with attention and of recurrent ones, whether or not they keep keys of their own."""
    found = [_LAYER_KINDS.get(name, "full") for name in listed]
    recurrent = found.count("linear")
    blocks = flat.get("block_configs")
    none = found.count("none")
    if isinstance(blocks, list) and len(blocks) == len(listed):
        none = sum(map(_without_attention, blocks))
    return len(listed) - recurrent - none, recurrent


def feed_forwards(flat: dict, family: str, listed: list[str], size: dict) -> tuple[int, int, int]:
    """Return the number of plain feed-forwards, the width of one, and the number of layers with routed experts.

    Args:
        flat: a flattened configuration.
        family: its family.
        listed: of `names`.
        size: ``hidden`` and ``intermediate`` sizes, ``experts`` of a layer that has some.
    """
    wide, experts = size["intermediate"], size["experts"]
    if family in _MAMBA:
        return 0, wide, 0
    single = [_FEED_FORWARD[name] for name in listed if name in _FEED_FORWARD]
    if single:
        return single.count(False), wide, single.count(True)
    blocks = flat.get("block_configs")
    if isinstance(blocks, list) and len(blocks) == len(listed):
        widths = [_width_of(block, size["hidden"]) for block in blocks]
        return sum(map(bool, widths)), sum(widths) // max(1, sum(map(bool, widths))), 0
    if not experts:
        return len(listed), wide, 0
    sparse = sum(map(_sparse(flat), range(len(listed))))
    # Gemma 4 and Arctic add experts to a plain feed-forward, LongCat to two of them
    beside = 2 if family.startswith("longcatflash") else bool(flat.get("enable_moe_block") or family == "arctic")
    return len(listed) - sparse + beside * sparse, wide, sparse


def _sparse(flat: dict) -> Callable[[int], bool]:
    """Return what tells by its number whether a layer has routed experts; each family says it in its own words.

    Source: the families' classes in ``model_executor/models`` and ``models`` of vLLM 0.33.
    """
    listed = flat.get("mlp_layer_types")
    if isinstance(listed, list):
        return lambda index: index < len(listed) and listed[index] in ("sparse", "moe")
    listed = flat.get("moe_layer_freq")
    if isinstance(listed, list):
        return lambda index: index < len(listed) and bool(listed[index])
    listed = flat.get("layers_num_experts")
    if isinstance(listed, list):
        return lambda index: index < len(listed) and listed[index] not in (0, 1, None)
    for key in ("moe_layers_enum", "moe_layer_list", "moe_layers"):
        listed = flat.get(key)
        if isinstance(listed, str) and listed.strip():
            listed = [int(number) for number in listed.split(",") if number.strip().isdigit()]
        if isinstance(listed, list) and listed:
            return listed.__contains__
    if flat.get("expert_layer_period"):
        period, offset = flat["expert_layer_period"], flat.get("expert_layer_offset") or 0
        return lambda index: index % period == offset
    return _range_of_sparse(flat)


def _range_of_sparse(flat: dict) -> Callable[[int], bool]:
    """Return the same for families that name where experts begin and end, and how often they come."""
    dense = flat.get("mlp_only_layers") if isinstance(flat.get("mlp_only_layers"), (list, tuple)) else ()
    begins = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", "moe_start_layer", "dense_mlp_idx")
    begin = next((_least(flat[key]) for key in begins if flat.get(key)), 0)
    last = _least(flat.get("moe_layer_end_index")) or -1
    # counted from the first layer, or from the last of each group
    frequency = _least(flat.get("moe_layer_freq")) or 1
    steps = ("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", "moe_every_n_layers")
    step = next((_least(flat[key]) for key in steps if _least(flat.get(key)) > 0), 1)

    def sparse(index: int) -> bool:
        there = begin <= index and (last < 0 or index <= last) and index not in dense
        return there and index % frequency == 0 and (index + 1) % step == 0

    return sparse


def _least(value) -> int:
    """Return a number, of a list the least (models of two kinds of experts name one for each); else 0."""
    found = [part for part in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(part, int)]
    return min(found, default=0)


def part_of(block, name: str) -> dict:
    """Return a part of one of Nemotron NAS' blocks; empty where it has none."""
    part = block.get(name) if isinstance(block, dict) else None
    return part if isinstance(part, dict) else {}


def _without_attention(block: dict) -> bool:
    attention = part_of(block, "attention")
    return bool(attention.get("no_op") or attention.get("replace_with_linear"))


def _width_of(block: dict, hidden: int) -> int:
    """Return the width of a block's feed-forward (``models/nemotron_nas.py`` of vLLM 0.33, but for its rounding)."""
    feed_forward = part_of(block, "ffn")
    if feed_forward.get("no_op"):
        return 0
    return int(feed_forward.get("intermediate_size") or 2 * (feed_forward.get("ffn_mult") or 0) * hidden / 3)


def _pattern(flat: dict, family: str, layers: int) -> list[str]:
    """Return the layers of a configuration that does not list them."""
    interval = flat.get("full_attention_interval")
    if interval:
        return ["full_attention" if (i + 1) % interval == 0 else "linear_attention" for i in range(layers)]
    if flat.get("attn_layer_period"):
        period, offset = flat["attn_layer_period"], flat.get("attn_layer_offset") or 0
        return ["attention" if i % period == offset else "mamba" for i in range(layers)]
    if family in _MAMBA:
        return ["mamba"] * layers
    return _windows(flat, family, layers)


def _windows(flat: dict, family: str, layers: int) -> list[str]:
    """Return the layers of a model that has attention only, of which some may see a window."""
    if flat.get("attention_chunk_size") and family.startswith("llama4"):
        return ["full_attention" if (i + 1) % 4 == 0 else "chunked_attention" for i in range(layers)]
    if not isinstance(flat.get("sliding_window"), int) or flat.get("use_sliding_window") is False:
        return ["full_attention"] * layers
    every = next((number for name, number in _SLIDING_PATTERNS.items() if family.startswith(name)), 0)
    every = flat.get("sliding_window_pattern") or flat.get("_sliding_window_pattern") or every
    if isinstance(every, int) and every > 1:
        return ["full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(layers)]
    return ["sliding_attention" if family in _ALL_SLIDING else "full_attention"] * layers
