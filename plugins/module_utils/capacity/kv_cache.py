# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay out vLLM's KV cache: bytes a token, groups of layers, blocks of a sequence. Exact, unlike the overhead.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import math

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config, vllm_rules, weights
from ansible_collections.myia.vllm.plugins.module_utils.host.facts import GIB

#: Share of the layers that keep a sparse indexer's key where config.json does not say: all, or about a quarter as in
#: GLM-5.2 (from the tokens and GiB of two starts: 21 of 78).
ALL_INDEXED = 1.0
FEW_INDEXED = 0.25
#: Bytes of a number of the KV cache by ``kv_cache_dtype``; 8 bit types with a scale a token and head add 4 bytes of
#: 128, NVFP4 has one 8 bit scale for 16 numbers.
KV_BYTES = {
    "auto": 2.0,
    "float16": 2.0,
    "half": 2.0,
    "bfloat16": 2.0,
    "float32": 4.0,
    "fp8": 1.0,
    "fp8_e4m3": 1.0,
    "fp8_e5m2": 1.0,
    "fp8_inc": 1.0,
    "fp8_ds_mla": 1.0,
    "int8": 1.0,
    "int8_per_token_head": 1.03125,
    "fp8_per_token_head": 1.03125,
    "int4_per_token_head": 0.53125,
    "nvfp4": 0.5625,
    "nvfp4_ds_mla": 0.5625,
    "nvfp4_4over6": 0.5625,
}
#: Bytes a token and layer of DeepSeek's own fp8 layout: 512 numbers, four 32 bit scales, 64 numbers in 16 bit.
_FP8_DS_MLA_BYTES = 512 + 16 + 128
#: DeepSeek V4 (``models/deepseek_v4/{attention,compressor}.py`` of 0.32): bytes of an entry (448 numbers in 8 bit, 64
#: in 16 bit, scales), what a page is rounded up to, tokens of a block; entries of a block that slides, and of blocks of
#: the compressors' 32 bit states, by ratio. With ratio 4 the indexer keeps as much of its own beside.
_V4_ENTRY_BYTES, _V4_ROUNDED_BYTES, _V4_BLOCK_TOKENS, _V4_SLIDING_TOKENS = 584, 576, 256, 64
_V4_STATE_TOKENS = {4: 4, 128: 8}
_V4_INDEXED_RATIO = 4
#: What padding to pages and groups of equal size adds: nothing at best. The one start that is known (0.22, two GH200:
#: 6.66 GiB for 30000 tokens, 13528 tokens in 5.44 GiB) took 1.19 times the sum for what is kept of a batch.
_V4_PADDING = (1.0, 1.35)
#: Longest sequence that the search for the largest fitting one looks at, in tokens.
_LONGEST = 1 << 24


def number_bytes(size: dict, kv_cache_dtype: str, dtype: str, quantization: str | None, version) -> tuple:
    """Return the most and the fewest bytes that a number of the KV cache may take."""
    name = str(kv_cache_dtype or "auto").lower().replace("torch.", "")
    if name == "auto":
        plain = 4.0 if str(dtype).replace("torch.", "") in ("float32", "float") else 2.0
        method = weights.bits_per_weight(size["config"])[2]
        foreign = quantization and not str(quantization).startswith(method)
        follows = version is None or version >= (0, 12)
        fp8 = follows and not foreign and model_config.checkpoint_kv_is_fp8(size["config"])
        return (plain, 1.0 if fp8 else plain)
    if name in KV_BYTES:
        return (KV_BYTES[name], KV_BYTES[name])
    return (0.5625, 0.4) if name.startswith(("turboquant", "ultraquant")) else (2.0, 2.0)


def indexed_share(size: dict) -> float | None:
    """Return the share of layers with a sparse indexer of their own; None where the configuration does not say.

    Source: ``models/deepseek_v2.py`` of vLLM 0.23: others take the choice of the layer before them.
    """
    flat, layers = size["config"], size["layers"]
    pattern, every = flat.get("index_topk_pattern"), flat.get("index_topk_freq")
    if isinstance(pattern, (str, list)) and pattern:
        return sum(pattern[index : index + 1] not in ("S", ["S"]) for index in range(layers)) / layers
    if isinstance(every, int) and every > 0:
        offset = flat.get("index_skip_topk_offset", 2)
        return sum(max(index - offset + 1, 0) % every == 0 for index in range(layers)) / layers
    return None


def _layers_by_kind(size: dict, rules: dict, settings: dict) -> dict[str, int]:
    """Return the layers of the fullest pipeline stage by how they keep the past, as this version manages them."""
    kinds = {kind: number for kind, number in size["kinds"].items() if kind != "none" and number}
    if not rules["hybrid"]:
        # older versions give every attention layer the room of a full one
        kept = ("linear", "cross")
        full = sum(number for kind, number in kinds.items() if kind not in kept)
        kinds = {"full": full, **{kind: kinds[kind] for kind in kept if kind in kinds}}
    kinds = {kind: math.ceil(number / settings["pp"]) for kind, number in kinds.items() if number}
    # what drafts lies on the last stage, and attends to everything
    draft = settings.get("draft_layers", 0)
    return {**kinds, "full": kinds.get("full", 0) + draft} if draft and kinds else kinds


def _layer_bytes(size: dict, tp: int, kind: str, number_bytes: float, kv_cache_fp8_ds: bool, indexed: float) -> float:
    """Return the bytes a token of one layer on one GPU.

    Keys and values are split over tensor parallel down to one head a GPU; latent attention is not split at all.
    """
    if size["mla_dim"]:
        latent = _FP8_DS_MLA_BYTES if kv_cache_fp8_ds else size["mla_dim"] * number_bytes
        return latent + size["indexer_bytes"] * indexed
    heads, width = size["kv_heads"], size["head_dim"]
    if kind == "full" and size["global_head_dim"]:
        heads, width = size["global_kv_heads"] or heads, size["global_head_dim"]
    return 2 * max(1, math.ceil(heads / tp)) * width * number_bytes


def layout(size: dict, rules: dict, settings: dict, number_bytes: float, indexed: float) -> dict:
    """Return how vLLM lays the KV cache out: groups of layers that draw blocks of one size from one pool.

    Source: ``v1/core/kv_cache_utils.py`` (``_get_kv_cache_groups_uniform_page_size``): the smallest kind's number of
    layers is the group's size unless padding up to the largest wastes little; block sizes are stretched until
    a block of every kind has the same bytes.

    Returns:
        ``groups`` (kind, number of groups of the kind, tokens of a block), ``block_bytes`` of a block of all layers of
        a group, ``bytes_per_token`` that grow with the sequence.
    """
    kinds = _layers_by_kind(size, rules, settings)
    if not kinds:
        return {"groups": [], "block_bytes": 0.0, "bytes_per_token": 0.0}
    ds = number_bytes == 1.0 and size["indexer_bytes"] > 0
    each = {k: _layer_bytes(size, settings["tp"], k, number_bytes, ds, indexed) for k in kinds if k != "linear"}
    state = model_config.linear_state_bytes(size, settings["tp"]) if "linear" in kinds else 0
    if not each:
        return {
            "groups": [("linear", 1, 0)],
            "block_bytes": float(state * kinds["linear"]),
            "bytes_per_token": 0.0,
        }
    page = max(each.values()) * vllm_rules.BLOCK_TOKENS
    if state > page:
        narrow = min(each.values()) * vllm_rules.BLOCK_TOKENS
        page = math.ceil(state / narrow) * narrow
    group = min(kinds.values())
    if max(kinds.values()) < group * rules["padding"]:
        group = max(kinds.values())
    groups = []
    for kind, number in kinds.items():
        block = int(page / each[kind]) // vllm_rules.BLOCK_TOKENS * vllm_rules.BLOCK_TOKENS if kind in each else 0
        groups.append((kind, math.ceil(number / group), block))
    growing = sum(each[kind] * kinds[kind] for kind in kinds if kind == "full")
    if "full" not in kinds:
        growing = sum(each[kind] * kinds[kind] for kind in each)
    return {"groups": groups, "block_bytes": page * group, "bytes_per_token": growing}


def _blocks_for(groups: list, length: int, size: dict, batch: dict, rules: dict) -> int:
    """Return the blocks that one sequence of a length takes (``max_memory_usage_bytes`` of each kind of layer)."""
    blocks, window, cross, tokens = 0, size["window"], size["cross"], batch["tokens"]
    waiting = batch["draft_tokens"]
    for kind, number, block in groups:
        if kind == "full":
            one = math.ceil(length / block)
        elif kind == "sliding":
            one = math.ceil(min(window - 1 + tokens, length) / block) + 1
        elif kind == "chunked":
            one = math.ceil(min(window + tokens, length) / block)
        elif kind == "cross":
            one = math.ceil(cross / block)
        else:
            # each token that waits for its check has a state of its own (MambaSpec in v1/kv_cache_interface.py)
            one = rules["states"] + waiting
        blocks += one * number
    return blocks


def held(size: dict, rules: dict, settings: dict, batch: dict) -> dict:
    """Return what a room for the KV cache holds.

    Args:
        size: of ``model_config.shape``.
        rules: one entry of ``vllm_rules.rules``.
        settings: of ``estimate.plan``; ``length`` is the wanted length in tokens, ``draft_layers`` and
            ``draft_tokens`` (that wait for their check) are what speculation adds.
        batch: ``room_gib``; ``number_bytes`` of a number of the cache; ``indexed``, the share of layers that keep a
            sparse indexer; ``tokens``, max_num_batched_tokens.

    Returns:
        ``tokens`` as vLLM prints them, ``concurrency`` (sequences of the wanted length), ``longest`` (tokens of the
        longest sequence that fits), ``needed_gib`` (for one of the wanted length), ``bytes_per_token``.
    """
    if size["compress_ratios"]:
        return _compressed(size, settings, batch)
    plan = layout(size, rules, settings, batch["number_bytes"], batch["indexed"])
    groups, room = plan["groups"], batch["room_gib"] * GIB
    blocks = int(room // plan["block_bytes"]) if room > 0 and groups else 0

    def needed(length: int) -> int:
        return _blocks_for(groups, length, size, {"draft_tokens": settings.get("draft_tokens", 0), **batch}, rules)

    one = needed(settings["length"])
    concurrency = blocks / one if one else 0.0
    tokens = int(concurrency * settings["length"])
    if groups and not rules["capacity_by_concurrency"]:
        sizes = [block for _kind, _number, block in groups if block]
        tokens = blocks // sum(number for _kind, number, _block in groups) * min(sizes or [0])
    return {
        "tokens": tokens,
        "concurrency": concurrency,
        "longest": longest(needed, blocks) if groups else _LONGEST,
        "needed_gib": one * plan["block_bytes"] / GIB,
        "bytes_per_token": int(plan["bytes_per_token"]),
    }


def _compressed(size: dict, settings: dict, batch: dict) -> dict:
    """Return what a room holds for DeepSeek V4, whose layers keep one entry of several tokens; as `held`.

    Every layer slides beside that, and each compressor keeps the tokens that it has not joined: both for a window and
    a batch, whatever the length, which is most of what a short sequence takes.
    """

    def page(number_bytes: int) -> int:
        return math.ceil(number_bytes / _V4_ROUNDED_BYTES) * _V4_ROUNDED_BYTES

    padding = _V4_PADDING[batch["indexed"] == ALL_INDEXED]
    share = math.ceil(size["layers"] / settings["pp"]) / size["layers"] * padding
    main = page(_V4_ENTRY_BYTES * _V4_SLIDING_TOKENS)
    growing = kept = 0.0
    ratios = size["compress_ratios"] + [1] * settings.get("draft_layers", 0)
    for ratio in ratios:
        kept += main / _V4_SLIDING_TOKENS
        if ratio <= 1:
            continue
        entries = _V4_BLOCK_TOKENS / ratio
        growing += page(_V4_ENTRY_BYTES * entries) / _V4_BLOCK_TOKENS
        state = _V4_STATE_TOKENS.get(ratio, min(_V4_STATE_TOKENS.values()))
        kept += main / state
        if ratio == _V4_INDEXED_RATIO:
            indexer = page(size["indexer_bytes"] * entries)
            growing += indexer / _V4_BLOCK_TOKENS
            kept += indexer / state
    growing, kept, room = growing * share, kept * share, max(0.0, batch["room_gib"]) * GIB
    window = max(size["window"], *ratios) + batch["tokens"]

    def needed(length: int) -> float:
        return growing * length + kept * min(window, length)

    concurrency = room / needed(settings["length"])
    return {
        "tokens": int(concurrency * settings["length"]),
        "concurrency": concurrency,
        "longest": longest(needed, room),
        "needed_gib": needed(settings["length"]) / GIB,
        "bytes_per_token": int(growing),
    }


def longest(needed, blocks: float) -> int:
    """Return the longest sequence, in tokens, for which the callable ``needed`` asks for no more than ``blocks``."""
    low, high = 0, _LONGEST
    while low < high:
        middle = (low + high + 1) // 2
        if needed(middle) <= blocks:
            low = middle
        else:
            high = middle - 1
    return low
