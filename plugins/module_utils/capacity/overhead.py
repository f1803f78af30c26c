# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimate the GPU memory that is neither weights nor KV cache: what profiling finds, NCCL, CUDA graphs.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.capacity import outside, vllm_rules
from ansible_collections.myia.vllm.plugins.module_utils.host.facts import GIB

#: What PyTorch sees less than ``nvidia-smi`` reports: the driver keeps a part of a fixed size and one that grows with
#: the memory. (low, expected, high) of the fixed part in GiB and of the share, from the totals that vLLM printed for
#: 24, 48, 80, 96 and 141 GB cards of seven types (0.31 to 0.75 GiB less; almost nothing under Windows' own driver).
#: Measured (tools/measure_gpu_memory.py, docs/hardware.md): PyTorch sees 81079.0 of an H100's 81559 MiB and 143155.9 of
#: an H200's 143771, less by what nvidia-smi calls reserved (480 and 616 MiB; as a line through both, 0.29 GiB and a
#: share of 0.0022).
RESERVED_GIB = (0.05, 0.30, 0.45)
RESERVED_SHARE = (0.0025, 0.003, 0.0045)
#: Bytes a sequence and word of the vocabulary that PyTorch's own sampler holds at once while vLLM warms it up: logits
#: in 16 and 32 bit, a sort's values, 64 bit indexes and workspace, softmax, its sum, masks. Measured as 38.2 to 38.6 by
#: subtracting the hidden states from the printed peaks of six models (256 and 1024 sequences).
_SORTING_SAMPLER_BYTES = (37.8, 38.4, 39.0)
#: The same for samplers that do not sort (FlashInfer's; vLLM's own Triton kernel from 0.17 on): logits in 16 and 32
#: bit, softmax and random numbers in 32 bit = 14.
_TRITON_SAMPLER_BYTES = (8.0, 14.0, 18.0)
#: The same for the V2 model runner, whose logits stay in 16 bit. Measured with 0.26 on an H200: 0.34 GiB of 1024
#: sequences x 151936 words with 8192 tokens x 1024, which is 2.2 (docs/hardware.md). The upper end is that of the older
#: runner: one model was seen.
_V2_SAMPLER_BYTES = (1.9, 2.3, 18.0)
#: What checking drafted tokens adds: logits of two tokens a sequence in 32 bit, their softmax and a copy
#: (``_dummy_sampler_run`` in ``v1/worker/gpu_model_runner.py`` of 0.26). Two peaks with 0.26 on an H200, 1024
#: sequences x 151936 words, come to 31 bytes with FlashInfer's sampler: 4.54 GiB (ngram, 8 billion weights) and 4.48 (a
#: draft model of two layers beside 0.6 billion).
_REJECTION_BYTES = (0.0, 17.0, 24.0)
#: While nothing is compiled yet, a copy of a matrix as large as the word embeddings is alive once, beside two hidden
#: states a token. Measured with 0.26 on H200 and H100: 1.19 and 1.29 GiB of 2048 and 8192 tokens cold, 0.78 warm; 0.65
#: to 0.70 with two GPUs (151936 words x 4096). Assumed for the versions around; 0.12 printed less than that.
_COMPILE_PEAK_SINCE = (0, 22)
_COMPILE_RANGE = 1.1
#: Hidden states a token that live at the same time as the widest matrix product of a layer: input, residual, output.
#: Confirmed by two starts that differ in nothing but 9000 tokens (110 kB a token of Llama-3.1-8B).
_LIVE_HIDDEN_STATES = 3
#: How far a forward pass may be from that count: fused kernels hold less, workspaces of attention and experts more.
_FORWARD_RANGE = (0.75, 1.0, 1.35)
#: Allocator rounding, compile leftovers and buffers of attention kernels, in GiB: what the other terms leave of the
#: overhead of real starts (-0.1 to 0.6, most between 0 and 0.15); below 0 because the terms are rounded themselves.
_UNEXPLAINED_GIB = (-0.10, 0.05, 0.30)
#: MiB a CUDA graph and layer, alone and with tensor parallel (whose all-reduce buffers are captured too); of the
#: printed sizes of 25 starts, 28 to 94 layers. Measured without vLLM (tools/measure_gpu_memory.py: 35 graphs of 28
#: layers, hidden size 1024, no attention): 0.171 on H100, 0.169 on H200, of which the pool is 0.067.
GRAPH_MIB_PER_LAYER = (0.25, 0.40)
GRAPH_RANGE = (0.25, 1.0, 2.2)
#: Captures share one pool: beside the graphs it holds at least this much (GiB), and never less than nothing.
GRAPH_POOL_GIB = 0.05
#: Images: widths of the vision tower's hidden state alive a patch at the peak (attention inputs, rotary embedding in
#: 32 bit, feed-forward), split over tensor parallel. From two families, 19 to 24; nothing when the
#: service is told to be text-only, hence the 0. For encoders of sound the same is assumed.
_VISION_WIDTHS = (0.0, 20.0, 45.0)
#: Width of the tower's hidden state where config.json does not say: between SigLIP's 1152 and Qwen-VL's 1280.
_VISION_HIDDEN = 1152
#: Most patches that one item of the largest modality has: 16384 tokens of four patches (Qwen2-VL to Qwen3-VL).
_QWEN_IMAGE_PATCHES = 16384 * 4
#: Patches a token of the other families (Pixtral and most others merge 2 x 2; Gemma 3 pools 4096 into 256).
_PATCHES_PER_TOKEN = 4
_GEMMA_PATCHES_PER_TOKEN = 16
#: Llama 3.2 Vision: four tiles of 1601 patches for each of max_num_seqs sequences, not split over GPUs, 1280 wide; its
#: encoder keeps six hidden states for the text layers.
_MLLAMA_PATCHES = 4 * 1601
#: Tokens that the older engine profiles multimodal models with at least (vLLM 0.6 and 0.7, scheduler configuration).
_V0_MULTIMODAL_TOKENS = 5120


def overhead(size: dict, rules: dict, settings: dict, total_gib: float) -> dict:
    """Return the memory of a GPU that is neither weights nor KV cache.

    Args:
        size: of ``model_config.shape``.
        rules: one entry of ``vllm_rules.rules``.
        settings: of ``estimate.plan``.
        total_gib: memory of a GPU as ``nvidia-smi`` reports it.

    Returns:
        ``terms`` (each ``name``, ``gib`` as (low, expected, high) and ``text``), ``gib`` (their sum), ``seqs`` and
        ``tokens`` (max_num_seqs and max_num_batched_tokens that apply), ``graphs_gib`` (of CUDA graphs, whether they
        are among the terms or not; zero without graphs); ``cold``, whether compiling may be the widest moment.
    """
    seqs, tokens = _batch(size, rules, settings, total_gib)
    v2 = vllm_rules.v2_runs(
        rules["version"],
        size,
        settings.get("quantized", False),
        settings.get("draft_method", ""),
        settings.get("environment"),
    )
    terms = [_peak(size, rules, settings, seqs, tokens, v2)]
    if size["multimodal"] and not settings.get("no_media"):
        terms.append(_vision(size, settings, seqs, tokens))
    terms += outside.terms(rules, settings)
    terms.append({"name": "unexplained", "gib": _UNEXPLAINED_GIB, "text": "rounding and buffers of kernels"})
    graphs = (0.0, 0.0, 0.0) if settings["eager"] else _graphs_gib(rules, settings, seqs)
    free = v2 and vllm_rules.v2_takes_no_graphs(rules["version"])
    if rules["graphs_in_budget"] and not settings["eager"] and not free:
        text = "%d graphs x %d layers" % (_graphs(rules, settings, seqs), _stage(settings))
        terms.append({"name": "cuda_graphs", "gib": graphs, "text": text})
    total = tuple(sum(term["gib"][i] for term in terms) for i in range(3))
    return {
        "terms": terms,
        "gib": total,
        "seqs": seqs,
        "tokens": tokens,
        "graphs_gib": graphs,
        "cold": terms[0]["cold"],
    }


def _batch(size: dict, rules: dict, settings: dict, total_gib: float) -> tuple[int, int]:
    """Return max_num_seqs and max_num_batched_tokens, vLLM's defaults where they are not set."""
    seqs, tokens = vllm_rules.default_batch(rules["version"], total_gib, settings["gpu_name"], settings["length"])
    seqs = settings["seqs"] or seqs
    if settings["tokens"]:
        return seqs, settings["tokens"]
    if set(size["kinds"]) == {"none"}:
        # an encoder reads a text in one piece
        tokens = max(tokens, settings["length"])
    elif rules["v0"] and not rules["whole_prompts"]:
        tokens = min(tokens, vllm_rules.v0_chunk(rules["version"]))
    elif size["multimodal"] and rules["v0"]:
        tokens = max(tokens, _V0_MULTIMODAL_TOKENS)
    return seqs, min(tokens, seqs * settings["length"])


def _peak(size: dict, rules: dict, settings: dict, seqs: int, tokens: int, v2: bool) -> dict:
    """Return the peak of the profiling run: the widest of forward pass, sampler and unpacked latent attention."""
    hidden, rows = tokens * size["hidden"] * 2 / GIB, min(seqs, tokens)
    numbers = _forward_numbers(size, settings["tp"])
    unpacked = _latent_tokens(size, rules, settings, seqs)
    peaks = {
        "forward": (
            tuple(tokens * numbers * 2 / GIB * factor for factor in _FORWARD_RANGE),
            "%d tokens x %d numbers x 2 bytes" % (tokens, numbers),
        ),
        "latent_attention": (
            tuple(unpacked * _latent_numbers(size, settings["tp"]) * 2 / GIB * factor for factor in _FORWARD_RANGE),
            "%d tokens x %d numbers x 2 bytes" % (unpacked, _latent_numbers(size, settings["tp"])),
        ),
    }
    if rules["version"] >= _COMPILE_PEAK_SINCE and not settings["eager"]:
        matrix = size["vocab"] * size["hidden"] * 2 / settings["tp"] / GIB
        peaks["compile"] = (
            (0.0, 0.0, matrix * _COMPILE_RANGE + 2 * hidden),
            "%d words x %d x 2 bytes / %d while nothing is compiled yet"
            % (size["vocab"], size["hidden"], settings["tp"]),
        )
    if size["pooling"]:
        # a pooler holds the hidden states of the whole batch, and at most once more in 32 bit (v1/pool, 0.32)
        peaks["pooler"] = ((hidden, 2 * hidden, 4 * hidden), "hidden states of %d tokens" % tokens)
    else:
        peaks["sampler"] = _sampler(size, rules, settings, rows, tokens, v2)
    name = max(peaks, key=lambda key: peaks[key][0][1])
    gib = tuple(max(peak[0][i] for peak in peaks.values()) for i in range(3))
    # where a start may be far above what is expected, what then is the widest is said too
    widest = max(peaks, key=lambda key: peaks[key][0][2])
    text = peaks[name][1] if widest == name else "%s; at most %s: %s" % (peaks[name][1], widest, peaks[widest][1])
    return {"name": name, "gib": gib, "text": text, "cold": widest == "compile"}


def _sampler(size: dict, rules: dict, settings: dict, rows: int, tokens: int, v2: bool) -> tuple[tuple, str]:
    """Return the sampler's peak and its text; low and high over every sampler that a start may take."""
    bytes_of = {"sorting": _SORTING_SAMPLER_BYTES, "lean": _TRITON_SAMPLER_BYTES}
    each = [_V2_SAMPLER_BYTES] if v2 else [bytes_of[name] for name in rules["samplers"]]
    checked = _REJECTION_BYTES if settings.get("draft_tokens") else (0.0, 0.0, 0.0)
    spread = (min(e[0] for e in each), each[0][1], max(e[2] for e in each))
    hidden = tokens * size["hidden"] * 2 / GIB
    return (
        tuple(rows * size["vocab"] * (spread[i] + checked[i]) / GIB + hidden for i in range(3)),
        "%d sequences x %d words x %s bytes + hidden states of %d tokens"
        % (rows, size["vocab"], " or ".join("%.1f" % (e[1] + checked[1]) for e in each), tokens),
    )


def _forward_numbers(size: dict, tp: int) -> int:
    """Return the numbers a token that the widest moment of a layer holds: gate, up and their product, or attention.

    Routed experts hold for each chosen expert the wider of gate-and-up and the hidden state, and their product (the two
    work buffers of vLLM's fused expert kernels).
    """
    heads, flat = size["heads"] / tp, size["config"]
    if size["mla_dim"]:
        query = (flat.get("qk_nope_head_dim") or 128) + (flat.get("qk_rope_head_dim") or 64)
        attention = heads * (2 * query + 2 * (flat.get("v_head_dim") or 128))
    else:
        attention = size["head_dim"] * (2 * heads + 2 * max(1.0, size["kv_heads"] / tp))
    matrices = 3 if size["gated"] else 2
    dense = matrices * size["dense_intermediate"] / tp if size["dense_layers"] else 0.0
    if size["moe_layers"]:
        inner = size["moe_intermediate"] / tp
        routed = size["experts_per_token"] * (max((matrices - 1) * inner, size["moe_hidden"]) + inner)
        dense = max(routed + matrices * size["shared_intermediate"] / tp, dense)
    return int(max(attention, dense) + _LIVE_HIDDEN_STATES * size["hidden"])


def _latent_tokens(size: dict, rules: dict, settings: dict, seqs: int) -> int:
    """Return the tokens of cached prompts whose latent keys and values are unpacked while vLLM profiles.

    Source: ``v1/attention/backends/mla/common.py`` of 0.8.5 (at most 131072 tokens) and 0.11 (65536). Sparse attention
    does not unpack them.
    """
    if not size["mla_dim"] or size["indexer_bytes"] or rules["v0"]:
        return 0
    limit = (64 if rules["version"] >= vllm_rules.V1_USUAL_SINCE else 128) * 1024
    return min(max(8 * settings["length"], 4 * seqs * vllm_rules.BLOCK_TOKENS), limit)


def _latent_numbers(size: dict, tp: int) -> int:
    flat = size["config"]
    wide = (flat.get("qk_nope_head_dim") or 128) + (flat.get("v_head_dim") or 128)
    return int(size["heads"] / tp * wide + size["mla_dim"])


def _vision(size: dict, settings: dict, seqs: int, tokens: int) -> dict:
    """Return what profiling the encoder takes beside the language model."""
    family = size["family"]
    if size["cross"]:
        # sounds: at least one whole one, two frames a token before its convolutions (Whisper)
        frames = 2 * max(tokens, size["cross"])
        gib = tuple(frames * size["hidden"] * 2 * widths / GIB for widths in _VISION_WIDTHS)
        text = "%d frames of sound x %d x 2 bytes x up to %d" % (frames, size["hidden"], _VISION_WIDTHS[2])
        return {"name": "encoder", "gib": gib, "text": text}
    if family.startswith("mllama"):
        patches, wide, split = seqs * _MLLAMA_PATCHES, 1280, 1
    else:
        per_token = _GEMMA_PATCHES_PER_TOKEN if family.startswith("gemma") else _PATCHES_PER_TOKEN
        patches = tokens * per_token
        if "qwen" in family:
            patches = max(patches, _QWEN_IMAGE_PATCHES)
        wide, split = size["vision_hidden"] or _VISION_HIDDEN, settings["tp"]
    gib = tuple(patches * wide * 2 * widths / split / GIB for widths in _VISION_WIDTHS)
    text = "%d image patches x %d x 2 bytes x up to %d" % (patches, wide, _VISION_WIDTHS[2] / split)
    return {"name": "vision", "gib": gib, "text": text}


def graph_count(version: tuple, seqs: int) -> int:
    """Return the number of batch sizes captured: 1, 2, 4 and steps of 8, above 256 (from 0.12 on) steps of 16."""
    largest = min(2 * seqs, 512) if version >= vllm_rules.V1_SINCE else min(seqs, 256)
    if version < vllm_rules.V1_SINCE or version < (0, 12):
        return 3 + largest // 8
    return 3 + min(largest, 256) // 8 + max(0, largest - 256) // 16


def _graphs(rules: dict, settings: dict, seqs: int) -> int:
    return len(settings["capture_sizes"]) or graph_count(rules["version"], seqs)


def _stage(settings: dict) -> int:
    """Return the layers of the fullest stage, with those of a draft, whose steps are captured too."""
    return settings["stage_layers"] + settings.get("draft_layers", 0)


def _graphs_gib(rules: dict, settings: dict, seqs: int) -> tuple:
    each = GRAPH_MIB_PER_LAYER[settings["tp"] > 1] / 1024
    graphs = _graphs(rules, settings, seqs) * _stage(settings) * each
    return tuple(graphs * factor + GRAPH_POOL_GIB * factor for factor in GRAPH_RANGE)
