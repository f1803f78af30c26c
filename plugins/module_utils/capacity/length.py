# SPDX-License-Identifier: GPL-3.0-or-later
"""Derive the longest sequence that a model's ``config.json`` allows, and say what YaRN would make of it.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import math

from ansible_collections.myia.vllm.plugins.module_utils.capacity.model_config import shape, unused_positions
from ansible_collections.myia.vllm.plugins.module_utils.common import versions

#: Keys of the longest sequence, the smallest of which vLLM takes (vLLM 0.11 to 0.32, ``config/model.py``,
#: ``_get_and_verify_max_len``).
_LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)

#: What a max_model_len says that vLLM is to choose: the longest that fits into the KV cache, at most the model's own
#: (``_auto_fit_max_model_len`` in ``v1/core/kv_cache_utils.py`` since 0.14).
AUTO = "auto"
#: Tokens that vLLM takes where neither the operator nor config.json names a length (``config/model.py``).
UNSAID_TOKENS = 2048
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}

#: RoPE types whose ``max_position_embeddings`` is the scaled length already, for every vLLM (0.11 to 0.32).
_ALREADY_SCALED = ("su", "longrope", "llama3", "default", "mrope")
#: The same from `YARN_ALREADY_SCALED_SINCE` on: the factor is not applied a second time.
YARN = ("yarn", "deepseek_yarn", "deepseek_llama_scaling")
#: First vLLM that takes ``max_position_embeddings`` as already scaled by YaRN: its ``config/model.py`` multiplies the
#: original length in 0.29.0 and does not in 0.30.0 (read in the wheels of both).
_YARN_ALREADY_SCALED_SINCE = (0, 30)
#: First vLLM that reads ``rope_parameters``; 0.11.0 to 0.11.2 know ``rope_scaling`` only (``config/model.py`` and
#: ``transformers_utils/config.py`` of each).
_ROPE_PARAMETERS_SINCE = (0, 12)
#: Families whose positions are learned or absolute, so that there is nothing to scale (their published model code).
_NO_ROPE = ("opt", "gpt2", "gptbigcode", "bloom", "mpt")


def derived_length(size: dict, version: tuple | None) -> dict:
    """Return the longest sequence that the model's configuration allows, as vLLM derives it.

    Before 0.30 vLLM multiplies YaRN's ``original_max_position_embeddings`` by the factor; later it takes
    ``max_position_embeddings`` as already scaled (``_get_and_verify_max_len`` of both).

    Args:
        size: of `shape`.
        version: vLLM's version as a tuple, or None where it is not known.

    Returns:
        ``tokens`` (None when the configuration has no limit), ``native_tokens`` (without scaling), ``rope_type``,
        ``rope_theta``, ``factor``, ``original_tokens``; ``_rope_key`` that this version reads, whether it has
        ``ignored`` another, and whether YaRN can stretch the model at all (``scalable``); ``unused_positions`` of a
        table of learned ones.
    """
    flat = size["config"]
    lengths = [flat[key] for key in _LENGTH_KEYS if isinstance(flat.get(key), int) and flat[key] > 0]
    unused = unused_positions(flat)
    native = max(1, min(lengths) - unused) if lengths else None
    rope = _rope(flat, version)
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    factor = rope.get("factor") or 1.0
    original = rope.get("original_max_position_embeddings") or native
    tokens = native
    if native and "gemma3" not in size["family"] and kind not in _ALREADY_SCALED:
        if kind not in YARN:
            tokens = int(native * factor)
        elif version is not None and version < _YARN_ALREADY_SCALED_SINCE:
            tokens = int((original if kind == "yarn" else native) * factor)
    return {
        "tokens": tokens,
        "native_tokens": original if kind in YARN else native,
        "rope_type": kind,
        "rope_theta": rope.get("rope_theta") or flat.get("rope_theta"),
        "factor": factor if kind != "default" else 1.0,
        "original_tokens": rope.get("original_max_position_embeddings"),
        "rope_key": _rope_key(version),
        "ignored": version is not None and version < _ROPE_PARAMETERS_SINCE and bool(flat.get("rope_parameters")),
        "scalable": kind in ("default", *YARN) and size["family"] not in _NO_ROPE and not unused,
        "unused_positions": unused,
    }


def _rope_key(version: tuple | None) -> str:
    """Return the key of ``config.json`` from which a version of vLLM reads how positions are scaled."""
    return "rope_scaling" if version is not None and version < _ROPE_PARAMETERS_SINCE else "rope_parameters"


def _rope(flat: dict, version: tuple | None) -> dict:
    """Return the RoPE parameters; of models that keep one set a layer type, those of the full layers."""
    old, new = flat.get("rope_scaling"), flat.get("rope_parameters")
    rope = (old if _rope_key(version) == "rope_scaling" else new or old) or {}
    if isinstance(rope, dict) and isinstance(rope.get("full_attention"), dict):
        rope = rope["full_attention"]
    return rope if isinstance(rope, dict) else {}


def length_verdict(
    model_config: dict, max_model_len: int | str | None, vllm_version: str | None, hf_overrides: dict | None = None
) -> dict:
    """Return what the model's configuration says about a length, without any GPU: ``length`` of ``estimate.plan``.

    Raises:
        ShapeError: ``model_config`` does not describe a language model.
    """
    size = shape(model_config, hf_overrides)
    length = derived_length(size, versions.release(vllm_version))
    wanted = asked_length(max_model_len)
    wanted = None if wanted == AUTO else wanted
    return verdict(length, wanted or length["tokens"] or UNSAID_TOKENS, wanted is None)


def asked_length(value) -> int | str | None:
    """Return a max_model_len as tokens, `AUTO` for the longest that fits (auto, -1), or None for the model's own.

    Suffixes are vLLM's (``human_readable_int`` in ``engine/arg_utils.py`` of 0.32): k, m, g count by thousands and may
    have a fraction, K, M, G by 1024.

    Raises:
        ValueError: it is none of these.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if text.lower() == AUTO or text == "-1":
        return AUTO
    number, unit = (text[:-1], _UNITS[text[-1]]) if text[-1] in _UNITS else (text, 1)
    fraction = unit % 1000 == 0
    try:
        tokens = int(float(number) * unit) if fraction else int(number) * unit
    except ValueError:
        tokens = 0
    if isinstance(value, bool) or tokens < 1:
        raise ValueError(
            "max_model_len is %s; it must be 1 token or more, as a number (32768, 32k), or auto or -1 for the longest "
            "that fits." % value
        )
    return tokens


def verdict(length: dict, wanted: int, unset: bool) -> dict:
    """Return whether the model's configuration allows a length, and the overrides that would."""
    allowed, native = length["tokens"], length["native_tokens"]
    verdict = {
        "derived_tokens": allowed,
        "native_tokens": native,
        "within": unset or allowed is None or wanted <= allowed,
        "yarn_factor": None,
        "hf_overrides": {},
        "ignored": False,
        "text": "",
    }
    if verdict["within"]:
        verdict["text"] = "%d tokens are within what the model's config.json allows (%s)." % (wanted, allowed)
        if length["factor"] != 1.0 and length["rope_type"] in YARN:
            verdict["yarn_factor"] = length["factor"]
            verdict["text"] += " YaRN with factor %s is on; it is applied to short prompts too." % length["factor"]
        if length["ignored"]:
            verdict["ignored"] = True
            verdict["text"] += (
                " But vLLM reads rope_parameters from 0.12 on only: nothing is scaled, and long prompts give nonsense. "
                "Name it rope_scaling in vllm_hf_overrides, or set vllm_version to 0.12 or later."
            )
        return verdict
    if length["unused_positions"]:
        verdict["text"] = (
            "%d tokens are more than the model has positions for (%d, since the first %d of max_position_embeddings "
            "are never used): vLLM starts, and the first longer text breaks it. Lower vllm_max_model_len to %d; this "
            "model cannot be stretched by YaRN." % (wanted, allowed, length["unused_positions"], allowed)
        )
        return verdict
    verdict["text"] = (
        "%d tokens are more than the model's config.json allows (%d): vLLM refuses to start. Lower vllm_max_model_len "
        "to %d" % (wanted, allowed, allowed)
    )
    if not length["scalable"]:
        verdict["text"] += "; this model cannot be stretched by YaRN."
        return verdict
    factor = math.ceil(wanted / native * 2) / 2
    verdict["yarn_factor"] = float(factor)
    rope = {"rope_type": "yarn", "factor": float(factor), "original_max_position_embeddings": native}
    if length["rope_theta"]:
        rope["rope_theta"] = float(length["rope_theta"])
    verdict["hf_overrides"] = {"max_position_embeddings": int(native * factor), length["rope_key"]: rope}
    verdict["text"] += (
        ", or set vllm_hf_overrides to YaRN with factor %s, both %s and max_position_embeddings: vLLM before 0.30 "
        "multiplies the original length by the factor, later ones take max_position_embeddings as already scaled."
        % (factor, length["rope_key"])
    )
    return verdict
