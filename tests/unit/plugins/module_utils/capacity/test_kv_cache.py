# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout of the KV cache, against the tokens that real starts printed for the GiB that they printed."""

from __future__ import annotations

import json

import pytest
from capacity_cases import DATA, DEEPSEEK_V4, GIB, MODELS, WHISPER

from ansible_collections.myia.vllm.plugins.module_utils.capacity import kv_cache, model_config, vllm_rules
from ansible_collections.myia.vllm.plugins.module_utils.common import versions

CASES = [json.loads(line) for line in (DATA / "kv_cases.jsonl").read_text(encoding="utf-8").splitlines()]


def held(config, *, tp=1, pp=1, version=(0, 11, 0), length=4096, gib=10.0, width=2.0, indexed=1.0, tokens=2048):
    """What a room of some GiB holds."""
    size = model_config.shape(config)
    settings = {"tp": tp, "pp": pp, "length": length}
    batch = {"room_gib": gib, "number_bytes": width, "indexed": indexed, "tokens": tokens}
    return kv_cache.held(size, vllm_rules.rules(version)[-1], settings, batch)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["id"])
        for case in CASES
        if case["consistent"] is True
        and (case["kv_tokens"] or 0) > 0
        and (case["kv_cache_gib_per_gpu"] or 0) > 0
        # of a model whose config.json is behind a licence there is nothing to reckon from
        and "hidden_size" in MODELS[case["model"]]
    ],
)
def test_printed_tokens(case) -> None:
    """Tokens follow from the GiB within two percent (they are rounded, and the smallest rank decides)."""
    config = MODELS[case["model"]]
    dtype = case["kv_cache_dtype"] or "auto"
    answer = held(
        config,
        tp=case["tensor_parallel"],
        pp=case["pipeline_parallel"],
        version=versions.release(case["vllm_version"]) or (0, 11, 0),
        length=case["max_model_len"],
        gib=case["kv_cache_gib_per_gpu"],
        width=kv_cache.KV_BYTES[dtype],
        indexed=kv_cache.FEW_INDEXED,
    )
    assert answer["tokens"] == pytest.approx(case["kv_tokens"], rel=0.02)


def test_linear_hybrid() -> None:
    """Qwen3.6-27B on vLLM 0.27.1 printed 292,522 tokens for 41.03 GiB: blocks of 784 tokens, 6 + 3 x 2 a sequence."""
    answer = held(MODELS["Qwen/Qwen3.6-27B-FP8"], version=(0, 27, 1), gib=41.03)
    assert answer["tokens"] == pytest.approx(292522, rel=0.001)


def test_all_sliding() -> None:
    """e5-mistral printed 547,776 tokens and a concurrency of 526.71 for sequences of 1024: one block more each."""
    config = MODELS["intfloat/e5-mistral-7b-instruct"]
    answer = held(config, version=(0, 9, 0), gib=547776 * 131072 / GIB, length=1024)
    # 0.9.0 gives a sliding layer the room of a full one; 0.9.1 knows the window
    assert answer["concurrency"] == pytest.approx(547776 / 1024, rel=0.001)
    answer = held(config, version=(0, 9, 1), gib=547776 * 131072 / GIB, length=1024)
    assert answer["concurrency"] == pytest.approx(526.71, rel=0.001)


@pytest.mark.parametrize(
    ("model", "arguments", "expected"),
    [
        pytest.param("Qwen/Qwen2.5-32B-Instruct", {"tp": 2}, 2 * 64 * 4 * 128 * 2, id="gqa"),
        pytest.param("Qwen/Qwen2.5-32B-Instruct", {"tp": 2, "width": 1.0}, 2 * 64 * 4 * 128, id="fp8"),
        pytest.param("Qwen/Qwen2.5-32B-Instruct", {"tp": 2, "pp": 2}, 2 * 32 * 4 * 128 * 2, id="pipeline"),
        pytest.param("Qwen/Qwen2.5-1.5B-Instruct", {"tp": 4}, 2 * 28 * 1 * 128 * 2, id="fewer-kv-heads-than-gpus"),
        pytest.param("GLM-5.2-W4A16", {"pp": 4}, 20 * (576 * 2 + 132), id="pipeline-uneven"),
        pytest.param("deepseek-ai/DeepSeek-R1", {"tp": 8}, 61 * 576 * 2, id="latent-not-split"),
        pytest.param("GLM-5.2-W4A16", {"tp": 4, "width": 1.0}, 78 * (656 + 132), id="fp8-ds-mla"),
        pytest.param("openai/gpt-oss-20b", {}, 12 * 2 * 8 * 64 * 2, id="only-full-layers-grow"),
        pytest.param("openai/gpt-oss-20b", {"version": (0, 8, 5)}, 24 * 2 * 8 * 64 * 2, id="old-engine-all-layers"),
    ],
)
def test_bytes_per_token(model, arguments, expected) -> None:
    """Bytes a token and GPU of a growing sequence."""
    assert held(MODELS[model], **arguments)["bytes_per_token"] == expected


def test_sliding_saves() -> None:
    """Five of six layers of Gemma 3 keep a window only, so a long sequence needs far less than with an old engine."""
    gemma = MODELS["google/gemma-3-27b-it"]
    new = held(gemma, version=(0, 11, 0), length=131072)
    old = held(gemma, version=(0, 8, 5), length=131072)
    assert new["needed_gib"] < old["needed_gib"] / 4
    assert new["longest"] > 4 * old["longest"]


def test_longest_is_the_longest() -> None:
    """The longest sequence fits, and one block more does not."""
    config = MODELS["openai/gpt-oss-20b"]
    longest = held(config, gib=3.0)["longest"]
    assert held(config, gib=3.0, length=longest)["needed_gib"] <= 3.0
    assert held(config, gib=3.0, length=longest + 16)["needed_gib"] > 3.0


def test_nothing() -> None:
    """No room holds nothing."""
    answer = held(MODELS["Qwen/Qwen3-0.6B"], gib=-1.0)
    assert (answer["tokens"], answer["concurrency"], answer["longest"]) == (0, 0.0, 0)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        pytest.param("auto", (2.0, 2.0), id="auto"),
        pytest.param("fp8", (1.0, 1.0), id="fp8"),
        pytest.param("fp8_e5m2", (1.0, 1.0), id="fp8-e5m2"),
        pytest.param("torch.bfloat16", (2.0, 2.0), id="torch-name"),
        pytest.param("nvfp4", (0.5625, 0.5625), id="nvfp4"),
        pytest.param("not-known-yet", (2.0, 2.0), id="unknown"),
    ],
)
def test_number_bytes(dtype, expected) -> None:
    """Most and fewest bytes of a number."""
    size = model_config.shape(MODELS["Qwen/Qwen3-0.6B"])
    assert kv_cache.number_bytes(size, dtype, "auto", None, (0, 32, 0)) == expected


def test_number_bytes_of_the_checkpoint() -> None:
    """A checkpoint that asks for fp8 may get it from 0.12 on; with a foreign quantization it is another checkpoint."""
    size = model_config.shape(MODELS["Qwen/Qwen3.6-27B-FP8"])
    assert kv_cache.number_bytes(size, "auto", "auto", None, (0, 32, 0)) == (2.0, 1.0)
    assert kv_cache.number_bytes(size, "auto", "auto", None, (0, 11, 0)) == (2.0, 2.0)
    assert kv_cache.number_bytes(size, "auto", "auto", "fp8", (0, 32, 0)) == (2.0, 2.0)
    assert kv_cache.number_bytes(size, "auto", "float32", "fp8", (0, 32, 0)) == (4.0, 4.0)


def test_cross_attention() -> None:
    """Whisper keeps its own tokens, and in as many layers again the 1500 that its encoder answers."""
    answer = held(WHISPER, version=(0, 32, 0), length=448)
    page = 16 * 2 * 1280 * 2 * 32
    assert answer["needed_gib"] * GIB == pytest.approx((448 // 16 + -(-1500 // 16)) * page)
    assert answer["bytes_per_token"] == 2 * 1280 * 2 * 32


@pytest.mark.parametrize(("length", "printed_gib"), [pytest.param(30000, 6.66), pytest.param(13528, 5.44)])
def test_compressed(length, printed_gib) -> None:
    """What DeepSeek V4 Flash needed on vLLM 0.22 with two GPUs and 16384 tokens a step lies in the range.

    Source: vllm-project/vllm issue 44376, a refusal and the longest length that it named.
    """
    ends = [
        held(DEEPSEEK_V4, tp=2, version=(0, 22, 0), length=length, width=1.0, indexed=indexed, tokens=16384)
        for indexed in (kv_cache.FEW_INDEXED, kv_cache.ALL_INDEXED)
    ]
    assert ends[0]["needed_gib"] < printed_gib < ends[1]["needed_gib"]
    assert ends[0]["bytes_per_token"] < 4000


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"index_topk_freq": 4}, 21 / 78, id="every-fourth-after-two"),
        pytest.param({"index_topk_freq": 1}, 1.0, id="each"),
        pytest.param({"index_topk_pattern": "FSSS" * 19 + "FS"}, 20 / 78, id="listed"),
        pytest.param({}, None, id="not-said"),
    ],
)
def test_indexed_share(changes, expected) -> None:
    """How many layers have an indexer of their own, where the configuration says it (GLM 5.2: 21 of 78)."""
    size = model_config.shape({**MODELS["GLM-5.2-W4A16"], **changes})
    assert kv_cache.indexed_share(size) == (pytest.approx(expected) if expected else None)
