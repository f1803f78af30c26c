# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the arithmetic of a plan in lines that an operator can follow.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import math

from ansible_collections.myia.vllm.plugins.module_utils.capacity import vllm_rules

#: From so many cache blocks on, a plan says how long they take: vLLM's scheduler makes a Python object of each before
#: it answers (``BlockPool`` in v1/core/block_pool.py), without a line in its log. 66 million of them took 77 s on a
#: host of two H200 (0.26): five million are about six seconds.
MANY_BLOCKS = 5_000_000
BLOCK_S = 77 / 65.9e6


def lines(result: dict, size: dict, settings: dict, memory: dict, terms: list[dict]) -> list[str]:
    """Return the arithmetic.

    Args:
        result: the plan so far.
        size: of ``model_config.shape``.
        settings: what was asked for, with vLLM's defaults.
        memory: of one GPU in GiB.
        terms: of ``overhead.overhead``.
    """
    card_gib, total, weights = memory["card_gib"], memory["total_gib"], memory["weights_gib"]
    tp, kv, tokens = settings["tp"], result["kv_cache_gib_per_gpu"], result["kv_tokens"]
    found = [
        "GPU memory: nvidia-smi reports %d MiB = %.2f GiB, of which CUDA offers %.2f to %.2f GiB"
        % (card_gib * 1024, card_gib, total[0], total[2]),
        "Budget: %.2f x that = %.2f to %.2f GiB"
        % (settings["utilization"], result["budget_gib_per_gpu"]["low"], result["budget_gib_per_gpu"]["high"]),
        "Weights: %.2f GiB / tensor parallel %d%s = %.2f GiB a GPU (%s)"
        % (
            weights[1] * tp * size["layers"] / settings["stage_layers"],
            tp,
            " x %d of %d layers" % (settings["stage_layers"], size["layers"]) if settings["pp"] > 1 else "",
            weights[1],
            result["weights_source"],
        ),
    ]
    for term in terms:
        found.append(
            "Overhead, %s: %.2f to %.2f GiB (%s)"
            % (term["name"].replace("_", " "), term["gib"][0], term["gib"][2], term["text"])
        )
    if set(size["kinds"]) == {"none"}:
        rest = "Rest: budget - weights - overhead = %.2f to %.2f GiB a GPU" % (kv["low"], kv["high"])
        return [
            *found,
            rest,
            "KV cache: none, since the model looks at a whole text at once and keeps nothing of it",
            "Length: %s" % result["length"]["text"],
            *_not_known(result),
            "Verdict: %s" % result["fits"],
        ]
    spans = len(vllm_rules.rules(settings["version"], settings["environment"])) > 1
    both = "The version leaves open how vLLM starts: what follows spans every way, what stands above is the newest"
    found += [
        "KV cache: budget - weights - overhead = %.2f to %.2f GiB a GPU" % (kv["low"], kv["high"]),
        "KV cache a token and GPU: %s = %d bytes" % (_kv_formula(size, settings), result["kv_bytes_per_token_per_gpu"]),
        *([both] if spans else []),
        "That holds %d to %d tokens; one sequence of %d tokens needs %.2f GiB, so %.2f to %.2f of them fit at once"
        % (
            tokens["low"],
            tokens["high"],
            settings["length"],
            result["kv_cache_needed_gib_per_gpu"],
            result["concurrency"]["low"],
            result["concurrency"]["high"],
        ),
        "Longest sequence that fits: %d to %d tokens"
        % (result["max_model_len"]["low"], result["max_model_len"]["high"]),
        "Length: %s" % result["length"]["text"],
        *_many_blocks(tokens["high"]),
        *_not_known(result),
        "Verdict: %s" % result["fits"],
    ]
    return found


def _many_blocks(tokens: float) -> list[str]:
    """Return the line about a cache of so many blocks that making them takes long, if there are so many."""
    blocks = tokens / vllm_rules.BLOCK_TOKENS
    if blocks < MANY_BLOCKS:
        return []
    return [
        "Cache blocks: up to %.0f million of %d tokens, which vLLM makes one by one: about %.0f s more before it "
        "answers. A lower vllm_gpu_memory_utilization makes fewer"
        % (blocks / 1e6, vllm_rules.BLOCK_TOKENS, blocks * BLOCK_S)
    ]


def _not_known(result: dict) -> list[str]:
    """Return the line that names what is not known, if anything is not."""
    return ["Not known, so that the ranges span it: %s" % "; ".join(result["unknown"])] if result["unknown"] else []


def _kv_formula(size: dict, settings: dict) -> str:
    tp = settings["tp"]
    drafts = " + %d that draft" % settings["draft_layers"] if settings["draft_layers"] else ""
    if size["compress_ratios"]:
        ratios = sorted(set(size["compress_ratios"]))
        return "entries of 584 bytes for %s tokens in %d layers%s, on every GPU" % (
            " or ".join(str(ratio) for ratio in ratios if ratio > 1),
            sum(ratio > 1 for ratio in size["compress_ratios"]),
            drafts,
        )
    layers = ", ".join("%d %s" % (number, kind) for kind, number in size["kinds"].items() if kind != "none")
    if size["mla_dim"]:
        return "latent attention, %d numbers in each of %d layers%s, on every GPU" % (
            size["mla_dim"],
            sum(size["kinds"].values()),
            drafts,
        )
    return "2 x %s%s layers x %d of %d heads x %d numbers" % (
        layers,
        drafts,
        max(1, math.ceil(size["kv_heads"] / tp)),
        size["kv_heads"],
        size["head_dim"],
    )
