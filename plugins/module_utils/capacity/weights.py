# SPDX-License-Identifier: GPL-3.0-or-later
"""Work out a model's weights: parameters of its architecture, bits of a weight, GiB on the fullest GPU.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.capacity.model_config import first, mamba_sizes
from ansible_collections.myia.vllm.plugins.module_utils.host.facts import GIB

#: How far weights that were worked out from the architecture may be off: unknown layers kept in 16 bit, padding.
_ESTIMATED_WEIGHTS = (0.94, 1.0, 1.10)
#: Weights read from files: padding of the vocabulary and repacking add a little.
_FILE_WEIGHTS = (1.0, 1.002, 1.008)


def parameters(size: dict) -> dict:
    """Return the model's parameters by how a checkpoint stores them.

    Returns:
        ``linear`` (attention and feed-forward), ``expert`` (routed experts), ``embedding`` (embeddings and output
        head), ``vision``: numbers of parameters.
    """
    flat, hidden = size["config"], size["hidden"]
    matrices = 3 if size["gated"] else 2
    attention = size["attention_layers"] * _attention(size)
    if size["cross"]:
        attention *= 2
    recurrent = size["recurrent_layers"] * _recurrent(size)
    dense = size["dense_layers"] * matrices * hidden * size["dense_intermediate"]
    latent = 2 * hidden * size["moe_hidden"] if size["moe_hidden"] != hidden else 0
    shared = matrices * hidden * size["shared_intermediate"] + hidden * size["experts"] + latent
    vision = flat.get("vision_config") if isinstance(flat.get("vision_config"), dict) else {}
    depth = first(vision, ("depth", "num_hidden_layers", "num_layers")) or 0
    wide = size["vision_hidden"]
    # attention is four square matrices; a feed-forward of four times the width is eight
    tower = depth * (4 * wide * wide + 3 * wide * (vision.get("intermediate_size") or 2.67 * wide))
    if size["cross"]:
        ffn = flat.get("encoder_ffn_dim") or 4 * hidden
        tower += (flat.get("encoder_layers") or 0) * (4 * hidden * hidden + 2 * hidden * ffn)
    expert = size["experts"] * matrices * size["moe_hidden"] * size["moe_intermediate"]
    return {
        "linear": int(attention + recurrent + dense + size["moe_layers"] * shared),
        "expert": int(size["moe_layers"] * expert),
        "embedding": size["vocab"] * hidden * (1 if size["tied"] or size["pooling"] else 2),
        "vision": int(tower),
    }


def _attention(size: dict) -> int:
    """Return the parameters of one layer's attention."""
    flat, hidden, heads, head_dim = size["config"], size["hidden"], size["heads"], size["head_dim"]
    low_rank = flat.get("q_lora_rank")
    if size["compress_ratios"]:
        # one key for all heads, and an output of low rank in groups (models/deepseek_v4/attention.py of 0.32)
        groups, rank = flat.get("o_groups") or 1, flat.get("o_lora_rank") or 0
        wide = heads * head_dim
        return (low_rank or 0) * (hidden + wide) + hidden * head_dim + rank * wide + groups * rank * hidden
    if not size["mla_dim"]:
        return hidden * head_dim * (2 * heads + 2 * size["kv_heads"])
    nope, rope = flat.get("qk_nope_head_dim") or 128, flat.get("qk_rope_head_dim") or 0
    value, rank = flat.get("v_head_dim") or 128, flat["kv_lora_rank"]
    query = heads * (nope + rope)
    attention = low_rank * (hidden + query) if low_rank else hidden * query
    return attention + hidden * size["mla_dim"] + rank * heads * (nope + value) + heads * value * hidden


def _recurrent(size: dict) -> int:
    """Return the parameters of one recurrent layer: gated delta net, else Mamba 2 or 1."""
    flat, hidden = size["config"], size["hidden"]
    if flat.get("linear_num_value_heads"):
        key_dim = flat["linear_num_key_heads"] * flat["linear_key_head_dim"]
        value_dim = flat["linear_num_value_heads"] * flat["linear_value_head_dim"]
        return hidden * (2 * key_dim + 3 * value_dim + 2 * flat["linear_num_value_heads"])
    if flat.get("conv_L_cache"):
        # LFM2's short convolution: three inputs, one output
        return 4 * hidden * hidden
    inner, heads, groups, state = mamba_sizes(size)
    if heads:
        return hidden * (2 * inner + 2 * groups * state + heads) + inner * hidden
    rank = flat.get("time_step_rank") if isinstance(flat.get("time_step_rank"), int) else -(-hidden // 16)
    return hidden * 2 * inner + inner * (rank + 2 * state) + rank * inner + inner * state + inner * hidden


def bits_per_weight(config: dict, quantization: str | None = None) -> tuple[float, bool, str]:
    """Return the bits of a quantized weight, whether only experts are quantized, and the method's name.

    A group of g weights shares one 16 bit scale and (AWQ, GPTQ) one zero point of the weight's own width: that is
    how those formats are defined. Blocks of MXFP4 are 32 weights with one 8 bit scale, of NVFP4 16 with one.

    Args:
        config: a flattened configuration.
        quantization: what ``--quantization`` gives; decides where the checkpoint is not quantized.
    """
    quant = config.get("quantization_config") if isinstance(config.get("quantization_config"), dict) else {}
    method = str(quant.get("quant_method") or quantization or "").lower()
    algorithm = str(quant.get("quant_algo") or "").lower()
    bits = 16.0
    if method.startswith(("awq", "gptq", "auto-round", "auto_round", "autoround")):
        width = quant.get("bits") or quant.get("w_bit") or 4
        group = quant.get("group_size") or quant.get("q_group_size") or 128
        bits = width + ((16 + width) / group if group > 0 else 0)
    elif method == "compressed-tensors":
        bits = _compressed_bits(quant)
    elif method == "mxfp4":
        bits = 4 + 8 / 32
    elif "nvfp4" in method + algorithm or "fp4" in method + algorithm:
        bits = 4 + 8 / 16
    elif method.startswith("bitsandbytes"):
        # 4 bit with one 32 bit scale for 64 weights; 8 bit when the checkpoint says so
        bits = 8.0 if quant.get("load_in_8bit") else 4.5
    elif "fp8" in method + algorithm or "int8" in method or "w8a8" in method or method == "modelopt":
        bits = 8.0
    return bits, method == "mxfp4", method


def _compressed_bits(quant: dict) -> float:
    """Return the bits of a weight of a compressed-tensors checkpoint: its widest group of layers."""
    found = []
    for group in (quant.get("config_groups") or {}).values():
        weights = (group or {}).get("weights") or {}
        width, block = weights.get("num_bits"), weights.get("group_size")
        if width:
            found.append(width + (16 / block if isinstance(block, int) and block > 0 else 0))
    return float(max(found)) if found else 8.0


def estimated_weights_bytes(size: dict, quantization: str | None = None, dtype: str = "auto") -> int:
    """Return the bytes of a model's weights, worked out from its architecture."""
    count = parameters(size)
    wide = _weight_width_bytes(size["config"], dtype)
    bits, experts_only, _method = bits_per_weight(size["config"], quantization)
    narrow = bits / 8 if bits < 16 else wide
    linear = wide if experts_only else narrow
    # DeepSeek V4 keeps its experts in 4 bit, 32 of which share an 8 bit scale, beside layers of 8 bit
    experts = (4 + 8 / 32) / 8 if str(size["config"].get("expert_dtype") or "").lower() == "fp4" else narrow
    return int(count["linear"] * linear + count["expert"] * experts + (count["embedding"] + count["vision"]) * wide)


def _weight_width_bytes(config: dict, dtype: str = "auto") -> int:
    """Return the bytes of an unquantized weight on the GPU: vLLM loads a float32 checkpoint as 16 bit by ``auto``."""
    return 4 if str(dtype).replace("torch.", "") in ("float32", "float") else 2


def weights_gib(size: dict, asked: dict, settings: dict) -> tuple[tuple, str]:
    """Return low, expected and high GiB of weights of the fullest GPU, and where they come from.

    Args:
        size: of ``model_config.shape``.
        asked: arguments of ``estimate.plan``.
        settings: ``tp``, ``stage_layers`` (layers of the fullest pipeline stage).
    """
    given, quantization, dtype = asked["weights_bytes"], asked["quantization"], asked["dtype"]
    source = (asked["weights_source"] or "given") if given else "estimated"
    whole = given or estimated_weights_bytes(size, quantization, dtype)
    if source in ("index", "files", "hub"):
        whole *= _loading_factor(size, quantization, dtype)
    spread = {"given": (1.0, 1.0, 1.0), "estimated": _ESTIMATED_WEIGHTS}.get(source, _FILE_WEIGHTS)
    # the stage with most layers decides; embeddings and output head lie on the first and the last stage
    share = settings["stage_layers"] / size["layers"] / settings["tp"] / GIB
    return tuple(whole * share * factor for factor in spread), source


def _loading_factor(size: dict, quantization: str | None, dtype: str) -> float:
    """Return what becomes of a file's bytes on the GPU: quantized while loading, or 32 bit read as 16 bit."""
    flat = size["config"]
    if quantization and not flat.get("quantization_config"):
        plain = estimated_weights_bytes(size, None, dtype)
        return estimated_weights_bytes(size, quantization, dtype) / plain
    stored = str(flat.get("torch_dtype") or flat.get("dtype") or "").replace("torch.", "")
    if stored == "float32" and not flat.get("quantization_config"):
        return _weight_width_bytes(flat, dtype) / 4
    return 1.0
