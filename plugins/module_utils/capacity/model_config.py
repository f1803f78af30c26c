# SPDX-License-Identifier: GPL-3.0-or-later
"""Read out of a Hugging Face ``config.json`` what decides a model's memory: layers, heads, experts, windows.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import math
import re

#: Places where a multimodal model keeps the configuration of its language model.
_TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "thinker_config")

#: Names under which families keep one and the same size.
_NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "head_dim": ("head_dim", "kv_channels", "attention_head_dim"),
    "intermediate": ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim"),
    "vocab": ("vocab_size", "padded_vocab_size"),
    "experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "experts_per_token": ("num_experts_per_tok", "moe_topk", "num_experts_per_token", "moe_k"),
    "moe_intermediate": ("moe_intermediate_size", "moe_ffn_hidden_size"),
    "shared_intermediate": ("shared_expert_intermediate_size", "shared_intermediate_size"),
}

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
}

#: Families whose every Nth layer attends to everything and whose others slide, when the configuration does not list
#: its layers (the families' published model code).
_SLIDING_PATTERNS = {"gemma2": 2, "gemma3": 6, "cohere2": 4, "gptoss": 2}

#: Families whose ``sliding_window`` holds for every layer (their published model code); Qwen names one and leaves it
#: off by ``use_sliding_window``.
_ALL_SLIDING = ("mistral", "mixtral", "phi3", "starcoder2")

#: Families whose feed-forward has two matrices rather than a gate's three (their published model code).
_UNGATED = ("opt", "gpt2", "gptneox", "gptj", "gptbigcode", "bloom", "falcon", "mpt", "phi", "starcoder2", "nemotron")


#: Families that look at a whole text at once and keep nothing of it: vLLM gives them no KV cache (their classes in
#: model_executor/models/{bert,roberta,modernbert,bert_with_rope}.py use EncoderOnlyAttention, 0.11 to 0.33).
_ENCODERS = ("bert", "roberta", "xlmroberta", "modernbert", "nomicbert", "new", "gte")


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
    # a text_config's default of tied embeddings is not what the checkpoint says
    if "tie_word_embeddings" in outer:
        flat["tie_word_embeddings"] = outer["tie_word_embeddings"]
    for key in ("max_position_embeddings", "rope_scaling", "rope_parameters"):
        if key in (overrides or {}):
            flat[key] = outer[key]
    return flat


def shape(config: dict, overrides: dict | None = None) -> dict:
    """Return the sizes of a model.

    Args:
        config: content of a ``config.json``.
        overrides: what ``--hf-overrides`` gives.

    Returns:
        ``layers``, ``hidden``, ``heads``, ``kv_heads``, ``head_dim``, ``intermediate``, ``vocab`` (counts);
        ``kinds`` (number of layers by how they keep the past: full, sliding, chunked, linear, none); ``window``
        (tokens); ``mla_dim`` (numbers a token and layer of multi-head latent attention, 0 without), ``indexer_bytes``
        (bytes a token and layer of a sparse indexer, 0 without); ``global_head_dim`` and ``global_kv_heads`` (of full
        layers, where they differ); ``experts``, ``experts_per_token``, ``moe_intermediate``, ``shared_intermediate``,
        ``moe_layers``; ``tied``, ``gated``, ``multimodal``, ``pooling`` (bool); ``vision_hidden``; ``name``; ``config``
        (flattened).

    Raises:
        ShapeError: the configuration lacks layers, heads or hidden size.
    """
    flat = _flattened(config, overrides)
    size = {name: first(flat, keys) for name, keys in _NAMES.items()}
    missing = [_NAMES[name][0] for name in ("layers", "hidden", "heads") if not size[name]]
    if missing:
        raise ShapeError(
            "The model's config.json has no %s (found %s). Pass the content of a Hugging Face config.json of a "
            "language model as model_config." % (", ".join(missing), ", ".join(sorted(config)[:8]) or "nothing")
        )
    family = _family(flat)
    if not size["kv_heads"]:
        size["kv_heads"] = 1 if flat.get("multi_query") else size["heads"]
    size["head_dim"] = size["head_dim"] or size["hidden"] // size["heads"]
    size["intermediate"] = size["intermediate"] or 4 * size["hidden"]
    size["vocab"] = size["vocab"] or 32000
    mla_dim = (flat.get("kv_lora_rank") or 0) + (flat.get("qk_rope_head_dim") or 0) if flat.get("kv_lora_rank") else 0
    experts = size["experts"] or 0
    # one 4 byte scale for every 128 numbers of the fp8 key of DeepSeek's sparse indexer (vLLM 0.32, indexer cache)
    index_dim = flat.get("index_head_dim") or 0
    vision = flat.get("vision_config") if isinstance(flat.get("vision_config"), dict) else {}
    return {
        **size,
        "kinds": _kinds(flat, family, size["layers"]),
        "window": _window(flat),
        "mla_dim": mla_dim,
        "indexer_bytes": index_dim + math.ceil(index_dim / 128) * 4,
        "global_head_dim": flat.get("global_head_dim") or 0,
        "global_kv_heads": flat.get("num_global_key_value_heads") or 0,
        "experts": experts,
        "experts_per_token": size["experts_per_token"] or (1 if experts else 0),
        "moe_intermediate": size["moe_intermediate"] or (size["intermediate"] if experts else 0),
        "shared_intermediate": _shared(flat, size),
        "moe_layers": _moe_layers(flat, size["layers"]) if experts else 0,
        "tied": bool(flat.get("tie_word_embeddings", family.startswith("gemma"))),
        "gated": family not in _UNGATED,
        "multimodal": _multimodal(config, flat),
        "pooling": _pooling(flat),
        "vision_hidden": first(vision, ("hidden_size", "embed_dim", "width")) or 0,
        "name": flat.get("_name_or_path") or "/".join(flat["architectures"]),
        "family": family,
        "config": flat,
    }


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
        heads = flat.get("mamba_num_heads") or flat.get("mamba_n_heads") or flat.get("n_mamba_heads")
        head_dim = flat.get("mamba_head_dim") or flat.get("mamba_d_head") or 64
        inner = heads * head_dim if isinstance(heads, int) else (flat.get("mamba_expand") or 2) * size["hidden"]
        state_size = first(flat, ("ssm_state_size", "mamba_d_state", "state_size")) or 16
        groups = first(flat, ("n_groups", "mamba_n_groups")) or 1
        conv_kernel = first(flat, ("conv_kernel", "mamba_d_conv")) or 4
        conv = (inner + 2 * groups * state_size) * (conv_kernel - 1) * 2
        state = inner * state_size * _width(flat.get("mamba_ssm_cache_dtype"), 4)
    return math.ceil((conv + state) / tensor_parallel)


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
    """Return the first number but 0 that a configuration has under one of ``keys``."""
    return next((config[key] for key in keys if isinstance(config.get(key), int) and config[key]), None)


def _width(dtype, default: int) -> int:
    return {"float32": 4, "float16": 2, "bfloat16": 2}.get(str(dtype), default)


def _family(flat: dict) -> str:
    """Return the family's name without separators: of ``model_type``, else of the architecture."""
    name = str(flat.get("model_type") or "")
    if not name and flat["architectures"]:
        name = re.sub(r"(For[A-Z]\w*|Model|LMHead\w*)$", "", str(flat["architectures"][0]))
    return re.sub(r"(_text|[-_.])", "", name.lower())


def _kinds(flat: dict, family: str, layers: int) -> dict[str, int]:
    """Return the number of layers by how they keep the past."""
    if family in _ENCODERS and not flat.get("is_decoder"):
        return {"none": layers}
    listed = flat.get("layer_types") or flat.get("layers_block_type") or flat.get("hybrid_override_pattern")
    if not isinstance(listed, (list, str)) or (isinstance(listed, str) and not set(listed) <= set("M*-E")):
        listed = _pattern(flat, family, layers)
    kinds: dict[str, int] = {}
    # the last layers of Gemma 3n and 4 read the keys of earlier ones
    own = layers - (flat.get("num_kv_shared_layers") or 0)
    for index, name in enumerate(listed):
        kind = _LAYER_KINDS.get(str(name), "full") if index < own else "none"
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def _pattern(flat: dict, family: str, layers: int) -> list[str]:
    """Return the layers of a configuration that does not list them."""
    interval = flat.get("full_attention_interval")
    if interval:
        return ["full_attention" if (i + 1) % interval == 0 else "linear_attention" for i in range(layers)]
    if flat.get("attn_layer_period"):
        period, offset = flat["attn_layer_period"], flat.get("attn_layer_offset") or 0
        return ["attention" if i % period == offset else "mamba" for i in range(layers)]
    if family.startswith(("mamba", "falconmamba")):
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


def _window(flat: dict) -> int:
    """Return the tokens that a sliding or chunked layer keeps."""
    for key in ("sliding_window", "attention_chunk_size", "sliding_window_size"):
        if isinstance(flat.get(key), int):
            return flat[key]
    return 0


def _moe_layers(flat: dict, layers: int) -> int:
    """Return the number of layers that have routed experts."""
    dense = flat.get("first_k_dense_replace") or len(flat.get("mlp_only_layers") or [])
    step = flat.get("decoder_sparse_step") or flat.get("interleave_moe_layer_step") or flat.get("moe_layer_freq") or 1
    return (layers - dense) // step if isinstance(step, int) and step > 1 else layers - dense


def _shared(flat: dict, size: dict) -> int:
    if size["shared_intermediate"]:
        return size["shared_intermediate"]
    number = flat.get("n_shared_experts") or flat.get("num_shared_experts") or flat.get("num_shared_expert") or 0
    return number * (size["moe_intermediate"] or 0) if isinstance(number, int) else 0


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
