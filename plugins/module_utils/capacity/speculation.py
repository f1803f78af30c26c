# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what speculative decoding adds to a model: layers that keep keys, weights, tokens that wait for their check.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import math

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config, weights
from ansible_collections.myia.vllm.plugins.module_utils.host.facts import GIB

#: Methods that draft without a model (``config/speculative.py`` of vLLM 0.32).
_WITHOUT_MODEL = ("ngram", "ngram_gpu", "suffix", "custom_class", "extract_hidden_states")
#: Methods whose draft is a small head of few layers, one where its config.json is not known.
_HEADS = ("eagle", "eagle3", "medusa", "mlp_speculator", "dflash", "dspark", "p_eagle")

#: Without speculation.
NONE = {"method": "", "tokens": 0, "layers": (0, 0), "weights_gib": (0.0, 0.0, 0.0), "unknown": []}


def added(speculative_config: dict | None, size: dict, asked: dict, draft_config: dict | None = None) -> dict:
    """Return what a ``--speculative-config`` adds on each GPU.

    Args:
        speculative_config: of ``--speculative-config``; empty: none.
        size: of ``model_config.shape``, of the model that is served.
        asked: ``tensor_parallel_size``, ``weights_bytes``, ``quantization``, ``dtype`` of ``estimate.plan``.
        draft_config: content of the draft model's ``config.json``.

    Returns:
        ``method``; ``tokens`` that wait for their check; ``layers`` (fewest, most) of the served model's kind that keep
        as much as the draft's; ``weights_gib`` (low, expected, high) beside those given; ``unknown``, what is not.
    """
    said = speculative_config if isinstance(speculative_config, dict) else {}
    if not said:
        return NONE
    method = _method(said, size)
    tokens = said.get("num_speculative_tokens")
    tokens = tokens if isinstance(tokens, int) and tokens > 0 else max(1, size["mtp_layers"])
    result = {**NONE, "method": method, "tokens": tokens}
    if method in _WITHOUT_MODEL:
        return result
    if method == "mtp":
        layers = size["mtp_layers"] or 1
        # the layers lie in the model's own files, and weights that a start printed hold them already
        gib = _layer_gib(size, asked) * layers
        return {**result, "layers": (layers, layers), "weights_gib": _beside(gib, asked)}
    if draft_config:
        return {**result, **_of_draft(draft_config, said, size, asked)}
    unknown = "the draft model of speculative-config (%s): its config.json was not read" % (said.get("model") or method)
    if method in _HEADS:
        gib = _layer_gib(size, asked)
        return {**result, "layers": (1, 1), "weights_gib": (0.0, gib, 2 * gib), "unknown": [unknown]}
    # a draft as large as the model would be of no use, so that bounds it
    every = sum(size["kinds"].get(kind, 0) for kind in ("full", "sliding", "chunked"))
    whole = weights.estimated_weights_bytes(size, asked["quantization"], asked["dtype"]) / GIB
    gib = whole / asked["tensor_parallel_size"]
    return {**result, "layers": (0, every), "weights_gib": (0.0, gib / 8, gib / 2), "unknown": [unknown]}


def _method(said: dict, size: dict) -> str:
    """Return the method, every spelling of the model's own layers as mtp; unset, it follows from the draft's name."""
    method = str(said.get("method") or "").lower()
    draft = str(said.get("model") or "").lower()
    if method.endswith("mtp") or method == "nextn":
        return "mtp"
    if method:
        return method
    if not draft or draft == "mtp":
        return "mtp" if size["mtp_layers"] else "ngram"
    return next((name for name in ("eagle3", "eagle", "medusa", "ngram") if name in draft), "draft_model")


def _layer_gib(size: dict, asked: dict) -> float:
    """Return the weights of one more layer on a GPU, with the matrix that joins two hidden states before it."""
    one = {**size, "tied": True, "vocab": 0, "cross": 0, "config": {**size["config"], "vision_config": None}}
    one.update(attention_layers=1, recurrent_layers=0, dense_layers=0 if size["moe_layers"] else 1)
    one["moe_layers"] = 1 if size["moe_layers"] else 0
    # the quantizers of most checkpoints leave these layers in 16 bit
    layer = sum(weights.parameters(one).values()) * 2
    joined = 2 * 2 * size["hidden"] * size["hidden"]
    return (layer + joined) / asked["tensor_parallel_size"] / GIB


def _beside(gib: float, asked: dict) -> tuple[float, float, float]:
    """Return weights beside those that are known: none at best, as the files' sum holds them."""
    return (0.0, 0.0, gib) if asked["weights_bytes"] else (gib * 0.5, gib, gib * 1.2)


def _of_draft(config: dict, said: dict, size: dict, asked: dict) -> dict:
    """Return layers and weights of a draft model whose config.json is known."""
    draft = model_config.shape(config)
    tp = said.get("draft_tensor_parallel_size") or asked["tensor_parallel_size"]
    kept = sum(draft["kinds"].get(kind, 0) for kind in ("full", "sliding", "chunked"))
    layers = math.ceil(kept * _numbers(draft, tp) / max(1, _numbers(size, asked["tensor_parallel_size"])))
    gib = weights.estimated_weights_bytes(draft, said.get("quantization"), asked["dtype"]) / tp / GIB
    # an EAGLE head has its embedding and its output from the model that it drafts for, or brings its own
    shared = 2 * 2 * draft["vocab"] * draft["hidden"] / tp / GIB if _method(said, size) in _HEADS else 0.0
    return {"layers": (layers, layers), "weights_gib": (max(0.0, gib - shared), gib, gib * 1.1), "unknown": []}


def _numbers(size: dict, tp: int) -> int:
    """Return the numbers that a token takes in one layer's cache on a GPU."""
    return size["mla_dim"] or 2 * max(1, math.ceil(size["kv_heads"] / tp)) * size["head_dim"]
