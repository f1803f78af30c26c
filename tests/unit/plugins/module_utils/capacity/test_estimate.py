# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: verdict, arithmetic, what is refused."""

from __future__ import annotations

import pytest
from capacity_cases import DEEPSEEK_V4, GIB, MODELS, SMALL, medium

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, model_config


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        pytest.param({}, "yes", id="fp8"),
        pytest.param({"kv_cache_dtype": "auto"}, "no", id="16-bit-cache"),
        pytest.param({"kv_cache_dtype": "auto", "max_model_len": 65536}, "yes", id="16-bit-half-length"),
        pytest.param({"kv_cache_dtype": "auto", "max_model_len": 90000}, "uncertain", id="grey-zone"),
        pytest.param({"gpu_memory_mib": [49140, 49140], "kv_cache_dtype": "auto"}, "yes", id="48-gb"),
        pytest.param({"gpu_memory_mib": [49140, 16376]}, "no", id="smallest-decides"),
        pytest.param({"tensor_parallel_size": 1, "num_gpus": 1}, "no", id="one-gpu"),
        pytest.param({"vllm_version": "0.32.0"}, "uncertain", id="graphs-in-the-budget"),
        pytest.param({"vllm_version": "0.32.0", "enforce_eager": True}, "yes", id="no-graphs"),
        pytest.param({"vllm_version": None}, "uncertain", id="unknown-version"),
        pytest.param({"weights_bytes": 45 * GIB}, "no", id="weights-too-large"),
    ],
)
def test_fits(changes, fits) -> None:
    """The verdict on the medium service and what changes it."""
    assert medium(**changes)["fits"] == fits


def test_arithmetic() -> None:
    """Room = budget - weights - overhead at both ends, and tokens = room / bytes a token in whole blocks."""
    found = medium(weights_bytes=18 * GIB)
    budget, over, room = found["budget_gib_per_gpu"], found["overhead_gib_per_gpu"], found["kv_cache_gib_per_gpu"]
    assert found["weights_gib_per_gpu"] == 9.0
    assert room["low"] == pytest.approx(budget["low"] - 9.0 - over["high"], abs=0.001)
    assert room["high"] == pytest.approx(budget["high"] - 9.0 - over["low"], abs=0.001)
    assert sum(term["high_gib"] for term in found["overhead"]) == pytest.approx(over["high"], abs=0.001)
    for end in ("low", "high"):
        tokens = room[end] * GIB / found["kv_bytes_per_token_per_gpu"]
        assert found["kv_tokens"][end] == pytest.approx(tokens, abs=17)
        assert found["max_model_len"][end] == found["kv_tokens"][end]
        assert found["concurrency"][end] == pytest.approx(found["kv_tokens"][end] / 131072, rel=0.001)
    assert found["kv_cache_needed_gib_per_gpu"] == 8.0


def test_defaults() -> None:
    """What is unset takes vLLM's default of the version and card."""
    found = medium(gpu_memory_utilization=None, max_model_len=None, vllm_version="0.32.0", hf_overrides=None)
    assert found["settings"] == {
        "gpu_memory_utilization": 0.92,
        "max_model_len": 32768,
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
    }


@pytest.mark.parametrize(
    ("free_mib", "fits"),
    [(24081, "yes"), (22600, "yes"), (22000, "uncertain"), (21700, "uncertain"), (21500, "no")],
)
def test_context_beside_the_budget(free_mib, fits) -> None:
    """vLLM compares the free memory with its budget after its CUDA context is there, so that must be free as well."""
    found = medium(gpu_memory_free_mib=free_mib)
    assert found["fits"] == fits
    if fits == "uncertain":
        assert "beside its CUDA context (0.60 GiB" in found["warnings"][0]
        lower = float(found["warnings"][0].rstrip(".").rpartition(" ")[2])
        assert medium(gpu_memory_free_mib=free_mib, gpu_memory_utilization=lower)["warnings"] == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"tensor_parallel_size": 3, "num_gpus": 4}, "one of 1, 2, 4, 5, 8, 10", id="heads"),
        pytest.param({"num_gpus": 1}, "needs 2 GPUs, the service has 1", id="gpus"),
        pytest.param({"gpu_memory_free_mib": [24000, 15000]}, "14.65 GiB are free, vLLM wants 21", id="memory-in-use"),
        pytest.param({"kv_cache_dtype": "auto"}, "needs 16.00 GiB of KV cache a GPU, at most", id="length"),
        pytest.param({"weights_bytes": 60 * GIB}, "leave no memory for the KV cache", id="weights"),
    ],
)
def test_problems(changes, text) -> None:
    """A refusal says why, in one sentence."""
    found = medium(**changes)
    assert found["fits"] == "no"
    assert len(found["problems"]) == 1
    assert text in found["problems"][0]


def test_graphs_beside_the_budget() -> None:
    """Up to 0.19 graphs lie outside of the budget: at 0.97 there is no room for them on a full card."""
    found = medium(gpu_memory_utilization=0.97)
    assert found["fits"] == "uncertain"
    assert "CUDA graphs take about 1.7 GiB beside the 0.7 GiB" in found["warnings"][0]
    assert medium(gpu_memory_utilization=0.97, enforce_eager=True)["warnings"] == []
    assert medium(gpu_memory_utilization=0.97, vllm_version="0.32.0")["warnings"] == []


#: A model of 0.6 billion weights on an H200, as its starts with vLLM 0.26 were (docs/hardware.md).
H200 = {
    "model_config": {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 151936, "max_position_embeddings": 40960, "tie_word_embeddings": True,
    },
    "weights_bytes": 1192135096, "gpu_memory_mib": 143771, "gpu_name": "NVIDIA H200", "num_gpus": 1,
    "max_model_len": 8192, "vllm_version": "0.26.0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        pytest.param({"gpu_memory_utilization": 0.9}, "yes", id="started"),
        pytest.param({"gpu_memory_utilization": 0.98}, "yes", id="room-for-both"),
        # this one ran out of memory while it made its KV cache
        pytest.param({"gpu_memory_utilization": 0.996}, "uncertain", id="out-of-memory"),
        pytest.param({"gpu_memory_utilization": 0.996, "enforce_eager": True}, "uncertain", id="context-alone"),
        # which counts the context as a part of its budget
        pytest.param(
            {"gpu_memory_utilization": 0.996, "vllm_version": "0.9.0", "enforce_eager": True}, "yes", id="older"
        ),
    ],
)
def test_context_on_an_idle_card(changes, fits) -> None:
    """Context and graphs need room beside the budget on a card that nobody uses, too."""
    found = estimate.plan(**{**H200, **changes})
    assert found["fits"] == fits
    if fits == "uncertain":
        assert "must lie beside the budget, and utilization 0.996 leaves 0.56 GiB" in found["warnings"][0]
        assert ("CUDA graphs" in found["warnings"][0]) is not changes.get("enforce_eager", False)
        lower = float(found["warnings"][0].rstrip(".").rpartition(" ")[2])
        assert lower == (0.99 if changes.get("enforce_eager") else 0.98)
        assert estimate.plan(**{**H200, **changes, "gpu_memory_utilization": lower})["warnings"] == []


@pytest.mark.parametrize(
    ("draft", "real_gib"),
    [pytest.param(None, 40.21, id="none"), pytest.param(2, 35.38, id="draft-model")],
)
def test_drafts_as_they_were_seen(draft, real_gib) -> None:
    """What vLLM printed for the same card with and without a draft model of two layers is what is expected."""
    said = {
        "speculative_config": {"method": "draft_model", "model": "/srv/models/draft", "num_speculative_tokens": 3},
        "draft_config": {**H200["model_config"], "num_hidden_layers": draft},
    }
    more = {"gpu_memory_utilization": 0.3, "max_model_len": 4096, **(said if draft else {})}
    found = estimate.plan(**{**H200, **more})["kv_cache_gib_per_gpu"]
    assert found["low"] <= real_gib <= found["high"]
    assert found["expected"] == pytest.approx(real_gib, rel=0.005)


def test_other_sampler() -> None:
    """What only a sampler that does not sort lets start is no refusal, and the way is named."""
    h100 = {"model_config": MODELS["openai/gpt-oss-120b"], "gpu_memory_mib": 81559, "vllm_version": "0.11.0"}
    h100 |= {"weights_bytes": int(64.38 * GIB), "max_model_len": 16000, "gpu_memory_utilization": 0.9}
    found = estimate.plan(**h100)
    assert found["fits"] == "uncertain"
    assert "VLLM_USE_FLASHINFER_SAMPLER" in found["unknown"][0]
    # what is known is not guessed at
    for value, fits in (("0", "no"), ("1", "yes")):
        known = estimate.plan(**h100, environment={"VLLM_USE_FLASHINFER_SAMPLER": value})
        assert known["fits"] == fits
        assert "SAMPLER" not in " ".join(known["unknown"])


def test_old_engine_in_chunks() -> None:
    """What the older engine can start with prompts in chunks only is no refusal either."""
    llama = {"model_config": MODELS["meta-llama/Llama-3.1-8B-Instruct"], "gpu_memory_mib": 24576}
    arguments = {"weights_bytes": int(14.99 * GIB), "max_model_len": 30000, "gpu_memory_utilization": 0.85}
    found = estimate.plan(**llama, **arguments, vllm_version="0.6.6")
    assert found["max_model_len"]["high"] < 30000
    assert found["fits"] == "uncertain"
    assert estimate.plan(**llama, **arguments, max_num_batched_tokens=30000, vllm_version="0.6.6")["fits"] == "no"


def test_nothing_is_zero_or_one() -> None:
    """Options that a playbook leaves null are as if they were not given."""
    left = ("pipeline_parallel_size", "gpu_name", "dtype", "quantization", "max_num_seqs", "enforce_eager")
    assert medium(**dict.fromkeys(left)) == medium()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"gpu_memory_mib": []}, "empty list", id="no-gpu"),
        pytest.param({"gpu_memory_mib": 0}, "must be the MiB", id="no-memory"),
        pytest.param({"tensor_parallel_size": 0}, "must be 1 or more", id="no-parallel"),
        pytest.param({"model_config": {"model_type": "clip"}}, "no num_hidden_layers", id="no-language-model"),
    ],
)
def test_refuses_to_plan(changes, text) -> None:
    """What cannot be planned is an error, and says what is wanted."""
    with pytest.raises(ValueError, match=text):
        medium(**changes)


def test_every_family_plans() -> None:
    """Every model of the collected configurations, on every kind of version, gives an ordered range."""
    for model, config in MODELS.items():
        for version in (None, "0.6.6", "0.8.4", "0.11.0", "0.19.0", "0.32.0"):
            try:
                found = estimate.plan(
                    model_config=config, gpu_memory_mib=81559, max_model_len=4096, vllm_version=version, suggest=False
                )
            except model_config.ShapeError:
                assert "hidden_size" not in config
                continue
            for key in ("kv_cache_gib_per_gpu", "kv_tokens", "concurrency", "max_model_len", "overhead_gib_per_gpu"):
                assert found[key]["low"] <= found[key]["high"], (model, version, key)


@pytest.mark.parametrize("value", ["auto", -1, "-1"])
@pytest.mark.parametrize(
    ("mib", "fits", "words"),
    [
        pytest.param(81559, "yes", "", id="the-models-own"),
        pytest.param(24564, "yes", "", id="shorter"),
        pytest.param(19000, "uncertain", "not even one token may fit", id="perhaps-too-short"),
        pytest.param(16384, "no", "not even one token", id="nothing"),
    ],
)
def test_length_that_vllm_chooses(value, mib, fits, words) -> None:
    """Auto and -1 are the longest that fits, at most the model's own; only where not one token fits it is a no."""
    llama = {"model_config": MODELS["meta-llama/Llama-3.1-8B-Instruct"], "weights_bytes": int(14.99 * GIB)}
    found = estimate.plan(**llama, gpu_memory_mib=mib, max_model_len=value, vllm_version="0.32.0")
    assert found["fits"] == fits
    assert words in " ".join([*found["problems"], *found["warnings"]])
    chosen = found["auto_max_model_len"]
    assert chosen["low"] <= found["length"]["derived_tokens"]
    assert chosen["low"] <= chosen["high"]
    assert found["settings"]["max_model_len"] == max(1, chosen["low"] or chosen["high"])
    assert found["length"]["within"] is True
    if fits == "yes":
        given = estimate.plan(**llama, gpu_memory_mib=mib, max_model_len=chosen["low"], vllm_version="0.32.0")
        assert given["fits"] == "yes"
        assert given["auto_max_model_len"] is None


def test_draft_weights_are_counted() -> None:
    """A draft whose config.json is known takes weights and keys; one that is not widens both, and is named."""
    llama = {"model_config": MODELS["meta-llama/Llama-3.1-8B-Instruct"], "weights_bytes": int(14.99 * GIB)}
    llama |= {"gpu_memory_mib": 81559, "max_model_len": 8192, "vllm_version": "0.32.0", "suggest": False}
    draft = {**SMALL, "vocab_size": 128256, "num_hidden_layers": 16, "num_key_value_heads": 8}
    plain = estimate.plan(**llama)
    known = estimate.plan(**llama, speculative_config={"model": "org/small"}, draft_config=draft)
    unknown = estimate.plan(**llama, speculative_config={"model": "org/small"})
    assert known["weights_gib_per_gpu"] > plain["weights_gib_per_gpu"] + 0.5
    assert known["kv_tokens"]["high"] < 0.7 * plain["kv_tokens"]["high"]
    assert unknown["kv_tokens"]["low"] < known["kv_tokens"]["low"]
    assert unknown["kv_tokens"]["high"] > known["kv_tokens"]["high"]
    assert any("org/small" in text for text in unknown["unknown"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({}, "the version of vLLM", id="version"),
        pytest.param({"vllm_version": "0.8.5"}, "which of its two engines", id="engine"),
        pytest.param({"vllm_version": "0.8.5"}, "what other processes hold", id="others"),
        pytest.param({"vllm_version": "0.11.0"}, "whether the sampler sorts: the container's variables", id="sampler"),
        pytest.param({"vllm_version": "0.11.0", "environment": {}}, "whether the image has FlashInfer", id="image"),
        pytest.param(
            {"vllm_version": "0.26.0", "max_num_batched_tokens": 2048, "max_num_seqs": 8},
            "whether everything is compiled",
            id="compiled",
        ),
        pytest.param({"vllm_version": "0.26.0", "gpu_name": "NVIDIA GB10"}, "processes of the host", id="unified"),
        pytest.param({"model_config": MODELS["google/gemma-3-27b-it"]}, "how large images", id="images"),
        pytest.param({"model_config": DEEPSEEK_V4}, "how vLLM pads the layers", id="padding"),
    ],
)
def test_unknown_is_named(changes, words) -> None:
    """What a plan cannot know stands in it, with the option that would say it, and in its explanation."""
    arguments = {"model_config": MODELS["Qwen/Qwen3-32B"], "gpu_memory_mib": 143771, "max_model_len": 4096}
    found = estimate.plan(**{**arguments, **changes}, suggest=False)
    assert words in " ".join(found["unknown"])
    assert words in " ".join(found["explanation"])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"enforce_eager": True}, id="eager-compiles-nothing"),
        pytest.param({"runner": "pooling", "max_num_seqs": 1024, "enforce_eager": True}, id="pooling-has-no-sampler"),
    ],
)
def test_all_is_known(changes) -> None:
    """Nothing is said to be unknown that the options decide."""
    arguments = {"model_config": MODELS["Qwen/Qwen3-32B"], "gpu_memory_mib": 143771, "max_model_len": 4096}
    found = estimate.plan(**arguments, **changes, vllm_version="0.26.0", gpu_name="NVIDIA H200", suggest=False)
    assert found["unknown"] == []


@pytest.mark.parametrize(
    ("model", "runner", "sampler", "cache"),
    [
        pytest.param(MODELS["Qwen/Qwen3-Embedding-8B"], "generate", True, True, id="generates"),
        pytest.param(MODELS["Qwen/Qwen3-Embedding-8B"], "pooling", False, True, id="pools-with-a-cache"),
        pytest.param({**SMALL, "type_vocab_size": 2, "vocab_size": 250002}, "pooling", False, False, id="encoder"),
    ],
)
def test_kind_of_service(model, runner, sampler, cache) -> None:
    """A model that pools has no sampler; an encoder keeps nothing of a text."""
    arguments = {"model_config": model, "gpu_memory_mib": 81559, "max_model_len": 512, "max_num_seqs": 1024}
    found = estimate.plan(**arguments, runner=runner, vllm_version="0.11.0")
    assert (found["overhead"][0]["name"] == "sampler") is sampler
    assert (found["kv_bytes_per_token_per_gpu"] > 0) is cache
    assert found["fits"] == "yes"


def test_text_only() -> None:
    """No images, nothing for the encoder; one more is the same as saying nothing."""
    arguments = {"model_config": MODELS["google/gemma-3-27b-it"], "gpu_memory_mib": 81559, "vllm_version": "0.11.0"}
    names = [
        {term["name"] for term in estimate.plan(**arguments, limit_mm_per_prompt=limits, suggest=False)["overhead"]}
        for limits in ({}, {"image": 1}, {"image": 0, "video": {"count": 0}})
    ]
    assert ["vision" in found for found in names] == [True, True, False]
