# SPDX-License-Identifier: GPL-3.0-or-later
"""Read out of a Hugging Face ``config.json`` what decides a model's memory: layers, heads, experts, windows.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import math
import re

from ansible_collections.myia.vllm.plugins.module_utils.capacity import layers as model_layers

#: Places where a multimodal model keeps the configuration of its language model.
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "thinker_config")

#: Names under which families keep one and the same size.
_NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads", "multi_query_group_num"),
    "head_dim": ("head_dim", "kv_channels", "attention_head_dim", "hidden_size_per_head"),
    "intermediate": ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"),
    "dense_intermediate": ("intermediate_size_mlp", "dense_intermediate_size"),
    "vocab": ("vocab_size", "padded_vocab_size"),
    "experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "experts_per_token": (
        "num_experts_per_tok", "moe_topk", "num_experts_per_token", "moe_k", "moe_top_k", "experts_per_token",
        "top_k_experts", "moe_experts_per_token",
    ),
    "moe_intermediate": (
        "moe_intermediate_size", "moe_ffn_hidden_size", "expert_ffn_hidden_size", "expert_hidden_dim",
        "moe_expert_inner_dim",
    ),
    "moe_hidden": ("moe_latent_size", "routed_expert_hidden_size"),
    "shared_intermediate": (
        "shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size",
        "share_expert_dim",
    ),
}  # fmt: skip

#: The same for the decoder of a model that has an encoder beside it: its ``num_hidden_layers`` counts the encoder's.
_DECODER_NAMES = {
    "layers": ("decoder_layers", "num_decoder_layers"),
    "heads": ("decoder_attention_heads",),
    "intermediate": ("decoder_ffn_dim",),
}
#: What is a number wherever it stands; of another kind it counts as not said.
_NUMBERS = (
    "kv_lora_rank", "q_lora_rank", "o_lora_rank", "o_groups", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
    "index_head_dim", "index_topk_freq", "index_skip_topk_offset", "global_head_dim", "num_global_key_value_heads",
    "linear_num_value_heads", "linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim",
    "linear_conv_kernel_dim", "mamba_expand", "expand", "mamba_head_dim", "mamba_d_head", "num_kv_shared_layers",
    "full_attention_interval", "attn_layer_period", "attn_layer_offset", "expert_layer_period", "expert_layer_offset",
    "encoder_ffn_dim", "encoder_layers", "decoder_layers", "max_source_positions", "num_heads", "conv_L_cache",
)  # fmt: skip
#: The sizes of a gated delta net (Qwen3-Next and later), of use only together.
_DELTA_NET = ("linear_num_value_heads", "linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim")
#: Parts of a configuration that hold the sizes of a layer's part (DBRX, MPT).
_PARTS = ("attn_config", "ffn_config")

#: Families whose feed-forward has two matrices rather than a gate's three (their published model code).
_UNGATED = (
    "opt", "gpt2", "gptneox", "gptj", "gptbigcode", "bloom", "falcon", "mpt", "phi", "starcoder2", "nemotron", "arcee",
    "bert", "roberta", "xlmroberta", "camembert", "whisper", "bart", "mbart",
)  # fmt: skip
#: Activations that only feed-forwards without a gate have (NemotronH, Nemotron and Arcee of vLLM 0.33; OPT).
_UNGATED_ACTIVATIONS = ("relu", "relu2", "squared_relu", "relu_squared")

#: Families whose learned positions begin behind the padding token's, so that as many are never used: a table of 514
#: with padding token 1 is 512 tokens (``model_executor/models/roberta.py``, 0.11 to 0.33).
_POSITIONS_BEHIND_PADDING = ("roberta", "xlmroberta", "xlmrobertaxl", "camembert")


class ShapeError(ValueError):
    """The configuration does not say enough to plan with."""


def _flattened(config: dict, overrides: dict | None = None) -> dict:
    """Return the language model's configuration with the outer keys it needs and ``hf_overrides`` applied.

    Args:
        config: content of a ``config.json``.
        overrides: what ``--hf-overrides`` gives; nested dictionaries are merged, as vLLM does.
    """
    outer = merged(config, overrides or {})
    inner = outer
    for _depth in range(2):
        inner = next((inner[key] for key in _TEXT_CONFIGS if isinstance(inner.get(key), dict)), inner)
    kept = ("architectures", "quantization_config", "vision_config", "torch_dtype", "dtype", "_name_or_path")
    flat = {**{key: outer[key] for key in kept if key in outer}, **inner}
    flat["architectures"] = outer.get("architectures") or inner.get("architectures") or []
    for part in _PARTS:
        flat = {**(flat[part] if isinstance(flat.get(part), dict) else {}), **flat}
    # a text_config's default of tied embeddings is not what the checkpoint says
    if "tie_word_embeddings" in outer:
        flat["tie_word_embeddings"] = outer["tie_word_embeddings"]
    for key in ("max_position_embeddings", "rope_scaling", "rope_parameters"):
        if key in (overrides or {}):
            flat[key] = outer[key]
    listed = flat["architectures"]
    flat["architectures"] = [str(name) for name in listed] if isinstance(listed, (list, tuple)) else [str(listed)]
    flat = {key: value for key, value in flat.items() if key not in _NUMBERS or _is_number(value)}
    if not all(flat.get(key) for key in _DELTA_NET):
        flat = {key: value for key, value in flat.items() if key not in _DELTA_NET}
    return flat


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def shape(config: dict, overrides: dict | None = None, runner: str = "") -> dict:
    """Return the sizes of a model.

    Args:
        config: content of a ``config.json``.
        overrides: what ``--hf-overrides`` gives.
        runner: generate or pooling, as vLLM will run the model; "" where that is not known.

    Returns:
        ``layers``, ``hidden``, ``heads``, ``kv_heads``, ``head_dim``, ``intermediate``, ``vocab`` (counts);
        ``kinds`` (number of layers by how they keep the past: full, sliding, chunked, linear, cross, none);
        ``attention_layers``, ``recurrent_layers``, ``dense_layers`` (plain feed-forwards), ``moe_layers``; ``window``
        and ``cross`` (tokens that a window and an encoder keep); ``mla_dim`` (numbers a token and layer of multi-head
        latent attention, 0 without), ``indexer_bytes`` (bytes a token and layer of a sparse indexer, 0 without),
        ``compress_ratios`` (of each layer of DeepSeek V4, else empty); ``global_head_dim`` and ``global_kv_heads`` (of
        full layers, where they differ); ``experts``, ``experts_per_token``, ``moe_intermediate``, ``moe_hidden``,
        ``shared_intermediate``, ``dense_intermediate``; ``mtp_layers`` (that draft, of the model itself);
        ``tied``, ``gated``, ``multimodal``, ``pooling`` (bool); ``vision_hidden``; ``name``; ``config`` (flattened).

    Raises:
        ShapeError: the configuration lacks layers, heads or hidden size.
    """
    flat = _flattened(config, overrides)
    family = _family(flat)
    size = _sizes(flat, family, config)
    listed = model_layers.names(flat, family, size["layers"])
    pooling = runner == "pooling" if runner else _pooling(flat)
    encoder = runner != "generate" and model_layers.looks_both_ways(flat, family)
    kinds = model_layers.kinds(flat, listed, encoder)
    cross = flat.get("max_source_positions") if _has_encoder(flat) else 0
    if _has_encoder(flat):
        kinds["cross"] = size["layers"]
    # each layer of LongCat Flash attends twice (models/longcat_flash.py of vLLM 0.33)
    twice = 2 if family.startswith("longcatflash") else 1
    kinds = {kind: number * twice for kind, number in kinds.items()}
    dense, dense_intermediate, moe = model_layers.feed_forwards(flat, family, listed, size)
    attention, recurrent = model_layers.mixers(flat, listed)
    # one 4 byte scale for every 128 numbers of the fp8 key of DeepSeek's sparse indexer (vLLM 0.32, indexer cache)
    index_dim = flat.get("index_head_dim") or 0
    vision = flat.get("vision_config") if isinstance(flat.get("vision_config"), dict) else {}
    return {
        **size,
        "kinds": kinds,
        "attention_layers": attention * twice,
        "recurrent_layers": recurrent,
        "dense_layers": dense,
        "dense_intermediate": size["dense_intermediate"] or dense_intermediate,
        "moe_layers": moe,
        "cross": cross or 0,
        "window": _window(flat),
        "indexer_bytes": index_dim + math.ceil(index_dim / 128) * 4,
        "compress_ratios": _ratios(flat.get("compress_ratios"), size["layers"]),
        "mtp_layers": first(flat, ("num_nextn_predict_layers", "mtp_num_hidden_layers", "n_predict")) or 0,
        "global_head_dim": flat.get("global_head_dim") or 0,
        "global_kv_heads": flat.get("num_global_key_value_heads") or 0,
        "tied": bool(flat.get("tie_word_embeddings", family.startswith(("gemma", "whisper")))),
        "gated": _gated(flat, family),
        "multimodal": _multimodal(config, flat),
        "pooling": pooling,
        "vision_hidden": first(vision, ("hidden_size", "embed_dim", "width")) or 0,
        "name": flat.get("_name_or_path") or "/".join(flat["architectures"]),
        "family": family,
        "config": flat,
    }


def _ratios(listed, layers: int) -> list[int]:
    """Return how many tokens an entry of each layer's cache stands for; empty where a configuration lists none."""
    if not isinstance(listed, (list, tuple)) or not all(isinstance(ratio, int) for ratio in listed):
        return []
    return list(listed)[:layers]


def _sizes(flat: dict, family: str, config: dict) -> dict:
    """Return the sizes of a layer, what a configuration leaves out filled in as its family does.

    Raises:
        ShapeError: the configuration lacks layers, heads or hidden size.
    """
    names = {**_NAMES}
    if _has_encoder(flat):
        names = {name: _DECODER_NAMES.get(name, ()) + keys for name, keys in _NAMES.items()}
    size = {name: first(flat, keys) for name, keys in names.items()}
    # experts of two kinds (Ernie 4.5 VL) are named as a list: as many as all, as wide as the middle
    size["experts"] = size["experts"] or _of_list(flat, names["experts"], sum) or 0
    for name in ("moe_intermediate", "intermediate"):
        size[name] = size[name] or _of_list(flat, names[name], lambda many: sum(many) // len(many))
    if "mamba" in family and size["layers"] and size["hidden"]:
        # Mamba has no attention heads; what is worked out of them is not used
        size["heads"] = size["heads"] or 1
    missing = [names[name][0] for name in ("layers", "hidden", "heads") if not size[name]]
    if missing:
        raise ShapeError(
            "The model's config.json has no %s (found %s). Pass the content of a Hugging Face config.json of a "
            "language model as model_config." % (", ".join(missing), ", ".join(sorted(config)[:8]) or "nothing")
        )
    size["kv_heads"] = size["kv_heads"] or _kv_heads(flat, size["heads"])
    size["head_dim"] = size["head_dim"] or max(1, size["hidden"] // size["heads"])
    size["intermediate"] = size["intermediate"] or 4 * size["hidden"]
    size["vocab"] = size["vocab"] or 32000
    size["mla_dim"] = (flat.get("qk_rope_head_dim") or 0) + flat["kv_lora_rank"] if flat.get("kv_lora_rank") else 0
    size["experts_per_token"] = size["experts_per_token"] or (1 if size["experts"] else 0)
    size["moe_intermediate"] = size["moe_intermediate"] or (size["intermediate"] if size["experts"] else 0)
    size["moe_hidden"] = size["moe_hidden"] or size["hidden"]
    size["shared_intermediate"] = _shared(flat, size, family)
    return size


def _kv_heads(flat: dict, heads: int) -> int:
    """Return the KV heads of a configuration that does not name them."""
    if flat.get("multi_query"):
        return 1
    blocks = flat.get("block_configs")
    for block in blocks if isinstance(blocks, list) else []:
        # Nemotron NAS names how many heads share a KV head, block by block; all that are published agree
        group = model_layers.part_of(block, "attention").get("n_heads_in_group")
        if _is_number(group):
            return max(1, heads // group)
    return heads


def _has_encoder(flat: dict) -> bool:
    """Tell whether the model decodes beside an encoder (Whisper), whose answers each of its layers looks at."""
    return bool(flat.get("decoder_layers") and (flat.get("encoder_layers") or flat.get("is_encoder_decoder")))


def _gated(flat: dict, family: str) -> bool:
    """Tell whether a feed-forward has a gate, hence three matrices rather than two."""
    named = (flat.get(key) for key in ("mlp_hidden_act", "hidden_act", "hidden_activation", "activation_function"))
    activation = next((str(value).lower() for value in named if value), "")
    return family not in _UNGATED and activation not in _UNGATED_ACTIVATIONS


def linear_state_bytes(size: dict, tensor_parallel: int) -> int:
    """Return the bytes of one layer's recurrent state of one sequence on one GPU (linear attention, Mamba).

    The convolution's state has the model's two bytes a number, the recurrent state four (``mamba_ssm_dtype`` float32
    is the default of Qwen3.5 and of Mamba 2 in vLLM 0.32).
    """
    flat = size["config"]
    if flat.get("linear_num_value_heads"):
        key_dim = flat["linear_num_key_heads"] * flat["linear_key_head_dim"]
        value_dim = flat["linear_num_value_heads"] * flat["linear_value_head_dim"]
        conv = (2 * key_dim + value_dim) * (flat.get("linear_conv_kernel_dim", 4) - 1) * 2
        state = value_dim * flat["linear_key_head_dim"] * _width(flat.get("mamba_ssm_dtype"), 4)
    else:
        inner, _heads, groups, state_size = mamba_sizes(size)
        conv_kernel = first(flat, ("conv_kernel", "mamba_d_conv")) or 4
        conv = (inner + 2 * groups * state_size) * (conv_kernel - 1) * 2
        state = inner * state_size * _width(flat.get("mamba_ssm_cache_dtype"), 4)
    return math.ceil((conv + state) / tensor_parallel)


def mamba_sizes(size: dict) -> tuple[int, int, int, int]:
    """Return the inner width of a Mamba layer, its heads (0 of Mamba 1), groups and the numbers of a state."""
    flat = size["config"]
    keys = ("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    heads = next((flat[key] for key in keys if isinstance(flat.get(key), int)), 0)
    if not heads and "mamba2" in size["family"]:
        heads = flat.get("num_heads") or 0
    head_dim = flat.get("mamba_head_dim") or flat.get("mamba_d_head") or 64
    inner = heads * head_dim or (flat.get("mamba_expand") or flat.get("expand") or 2) * size["hidden"]
    state = first(flat, ("ssm_state_size", "mamba_d_state", "state_size")) or 16
    return int(inner), heads, first(flat, ("n_groups", "mamba_n_groups")) or 1, state


def unused_positions(config: dict) -> int:
    """Return how many of a model's learned positions no token ever has: those up to the padding token's.

    Args:
        config: a flattened configuration.
    """
    if _family(config) not in _POSITIONS_BEHIND_PADDING:
        return 0
    padding = config.get("pad_token_id")
    return 1 + (padding if isinstance(padding, int) else 1)


def checkpoint_kv_is_fp8(config: dict) -> bool:
    """Return whether the checkpoint asks for an fp8 KV cache, which newer vLLM follows under ``auto``."""
    quant = config.get("quantization_config") if isinstance(config.get("quantization_config"), dict) else {}
    scheme = quant.get("kv_cache_scheme")
    if isinstance(scheme, dict):
        return scheme.get("num_bits") == 8 and scheme.get("type") == "float"
    return "fp8" in str(quant.get("kv_cache_quant_algo") or scheme or "").lower()


def merged(base: dict, changes: dict) -> dict:
    """Return a configuration with ``--hf-overrides``: nested dictionaries are merged, as vLLM does."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def first(config: dict, keys: tuple) -> int | None:
    """Return the first number above 0 that a configuration has under one of ``keys``."""
    return next((config[key] for key in keys if isinstance(config.get(key), int) and _is_number(config[key])), None)


def _of_list(config: dict, keys: tuple, what) -> int | None:
    """Return ``what`` of the first list of numbers that a configuration has under one of ``keys``."""
    found = (config[key] for key in keys if isinstance(config.get(key), list) and config[key])
    many = next((value for value in found if all(isinstance(number, int) for number in value)), None)
    return int(what(many)) if many else None


def _width(dtype, default: int) -> int:
    return {"float32": 4, "float16": 2, "bfloat16": 2}.get(str(dtype), default)


def _family(flat: dict) -> str:
    """Return the family's name without separators: of ``model_type``, else of the architecture."""
    name = str(flat.get("model_type") or "")
    if not name and flat["architectures"]:
        name = re.sub(r"(For[A-Z]\w*|Model|LMHead\w*)$", "", str(flat["architectures"][0]))
    return re.sub(r"(_text|[-_.])", "", name.lower())


def _window(flat: dict) -> int:
    """Return the tokens that a sliding or chunked layer keeps."""
    for key in ("sliding_window", "attention_chunk_size", "sliding_window_size"):
        if isinstance(flat.get(key), int):
            return flat[key]
    return 0


def _shared(flat: dict, size: dict, family: str) -> int:
    """Return the width of what all tokens go through beside the routed experts: one shared expert or several."""
    keys = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
    number = next((flat[key] for key in keys if isinstance(flat.get(key), int)), 0)
    if size["shared_intermediate"]:
        # NemotronH multiplies the width of one by their number, which is 1 in all that are published
        return size["shared_intermediate"] * max(1, number if "moe_shared_expert_intermediate_size" in flat else 1)
    if family.startswith("llama4") and size["experts"]:
        return size["moe_intermediate"]
    return number * (size["moe_intermediate"] or 0)


def _multimodal(config: dict, flat: dict) -> bool:
    keys = ("vision_config", "audio_config", "thinker_config", "vision_tower", "mm_vision_tower")
    named = any(re.search(r"ForConditionalGeneration|VL|Vision|Mllama", str(a)) for a in flat["architectures"])
    return named or any(config.get(key) for key in keys)


def _pooling(flat: dict) -> bool:
    """Return whether the model embeds or scores: by its architecture, else by its name (Qwen3-Embedding generates)."""
    names = [str(name) for name in flat["architectures"]]
    if names and not any(re.search(r"For(CausalLM|Conditional)|LMHead", name) for name in names):
        return True
    last = str(flat.get("_name_or_path") or "").rstrip("/").rpartition("/")[2].lower()
    return bool(re.search(r"(^|[-_.])(embed(ding)?s?|rerank(er)?|reward)([-_.]|$)", last))
