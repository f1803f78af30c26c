# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: verdict, arithmetic, length, suggestions."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, model_config

DATA = pathlib.Path(__file__).resolve().parents[3] / "data"
MODELS = json.loads((DATA / "model_configs.json").read_text(encoding="utf-8"))
QWEN = json.loads((DATA / "qwen2.5-32b-instruct-awq" / "config.json").read_text(encoding="utf-8"))
GIB = 1024**3
ROPE = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
#: What goes beyond the model's length on vLLM 0.11, and on 0.12 and later.
OLD_YARN = {"max_position_embeddings": 131072, "rope_scaling": ROPE}
YARN = {"max_position_embeddings": 131072, "rope_parameters": ROPE}


def medium(**changes) -> dict:
    """The plan of the medium service on two RTX 4090, with changes."""
    arguments = {
        "model_config": QWEN,
        "gpu_memory_mib": [24564, 24564],
        "num_gpus": 2,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.9,
        "max_model_len": 131072,
        "kv_cache_dtype": "fp8",
        "vllm_version": "0.11.0",
        "hf_overrides": OLD_YARN,
    }
    return estimate.plan(**{**arguments, **changes})


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


@pytest.mark.parametrize(
    ("version", "overrides", "within"),
    [
        pytest.param("0.11.0", None, False, id="none-0.11"),
        pytest.param("0.32.0", None, False, id="none-0.32"),
        pytest.param("0.11.0", OLD_YARN, True, id="both-0.11"),
        pytest.param("0.32.0", YARN, True, id="both-0.32"),
        pytest.param("0.11.0", {"rope_scaling": ROPE}, True, id="yarn-alone-0.11"),
        pytest.param("0.29.0", {"rope_parameters": ROPE}, True, id="yarn-alone-0.29"),
        pytest.param("0.30.0", {"rope_parameters": ROPE}, False, id="yarn-alone-0.30"),
    ],
)
def test_length(version, overrides, within) -> None:
    """A length beyond the model's configuration needs YaRN, and what is advised is enough."""
    verdict = medium(vllm_version=version, hf_overrides=overrides)["length"]
    assert verdict["within"] is within
    assert verdict["ignored"] is False
    if not within:
        assert verdict["yarn_factor"] == 4.0
        advised = medium(vllm_version=version, hf_overrides=verdict["hf_overrides"])["length"]
        assert (advised["within"], advised["yarn_factor"], advised["ignored"]) == (True, 4.0, False)


def test_length_in_name_only() -> None:
    """vLLM 0.11 takes the length of rope_parameters' neighbour, and does not scale: that is said."""
    verdict = medium(vllm_version="0.11.2", hf_overrides=YARN)["length"]
    assert (verdict["within"], verdict["ignored"], verdict["yarn_factor"]) == (True, True, None)
    assert "reads rope_parameters from 0.12 on only" in verdict["text"]


@pytest.mark.parametrize(
    "model", [pytest.param("facebook/opt-125m", id="learned"), pytest.param("llama3", id="llama3-scaling")]
)
def test_length_that_cannot_grow(model) -> None:
    """A model whose positions YaRN cannot scale is advised to be shorter, nothing else."""
    scaled = {**QWEN, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    verdict = medium(model_config=MODELS.get(model, scaled), tensor_parallel_size=1, hf_overrides=None)["length"]
    assert (verdict["within"], verdict["hf_overrides"]) == (False, {})
    assert "cannot be stretched" in verdict["text"]


def test_odd_length() -> None:
    """The factor is the next half that reaches the length."""
    verdict = medium(max_model_len=70000, hf_overrides=None)["length"]
    assert verdict["yarn_factor"] == 2.5
    assert verdict["hf_overrides"]["max_position_embeddings"] == 81920


def test_suggestions() -> None:
    """Those that make it fit come first, each with the effect that planning with it gives."""
    found = medium(kv_cache_dtype="auto")
    assert [entry["variable"] for entry in found["suggestions"]][:1] == ["vllm_kv_cache_dtype"]
    verdicts = [entry["fits"] for entry in found["suggestions"]]
    assert verdicts == sorted(verdicts, key=("yes", "uncertain", "no").index)
    middle = sum(found["kv_tokens"].values()) // 2
    after = medium(kv_cache_dtype="fp8")
    assert found["suggestions"][0]["effect_tokens"] == sum(after["kv_tokens"].values()) // 2 - middle
    assert found["suggestions"][0]["fits"] == after["fits"] == "yes"
    shorter = next(entry for entry in found["suggestions"] if entry["variable"] == "vllm_max_model_len")
    assert medium(kv_cache_dtype="auto", max_model_len=shorter["value"])["fits"] == "yes"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [], id="nothing-to-do"),
        pytest.param({"hf_overrides": None}, ["vllm_hf_overrides"], id="only-yarn"),
        pytest.param(
            {"vllm_version": "0.32.0"},
            ["vllm_max_num_seqs", "vllm_max_num_seqs", "vllm_tensor_parallel_size", "vllm_enforce_eager"],
            id="grey-zone",
        ),
    ],
)
def test_what_is_suggested(changes, expected) -> None:
    """Nothing where nothing is wrong; what makes it fit before what shortens it."""
    found = [entry["variable"] for entry in medium(**changes)["suggestions"]]
    assert found[: len(expected)] == expected
    if not expected:
        assert found == []


def test_suggestions_name_variables(options) -> None:
    """What is suggested are variables of the role."""
    for changes in (
        {"kv_cache_dtype": "auto", "hf_overrides": None},
        {"gpu_memory_mib": 81559, "max_model_len": 10**6},
    ):
        found = {entry["variable"] for entry in medium(**changes)["suggestions"]}
        assert found
        assert found <= set(options)


def test_more_gpus_are_named() -> None:
    """A suggestion that takes more GPUs than there are says so."""
    found = {entry["variable"]: entry["text"] for entry in medium(kv_cache_dtype="auto")["suggestions"]}
    assert "takes 4 GPUs" in found["vllm_tensor_parallel_size"]


def test_other_sampler() -> None:
    """What only a sampler that does not sort lets start is no refusal, and the way is named."""
    h100 = {"model_config": MODELS["openai/gpt-oss-120b"], "gpu_memory_mib": 81559, "vllm_version": "0.11.0"}
    found = estimate.plan(**h100, weights_bytes=int(64.38 * GIB), max_model_len=16000, gpu_memory_utilization=0.9)
    assert found["fits"] == "uncertain"
    assert "VLLM_USE_FLASHINFER_SAMPLER" in found["warnings"][0]


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


def test_several_ways_to_start() -> None:
    """The lines say when they show one of several ways to start."""
    for version, several in ((None, True), ("0.8.4", True), ("0.11.0", False)):
        text = "\n".join(medium(vllm_version=version)["explanation"])
        assert ("spans every way" in text) is several


def test_weights_on_a_stage() -> None:
    """With pipeline parallel the stage with most layers decides: 16 of 61 layers, not a quarter."""
    r1 = {"model_config": MODELS["deepseek-ai/DeepSeek-R1"], "gpu_memory_mib": 143771, "vllm_version": "0.11.0"}
    found = estimate.plan(
        **r1, weights_bytes=610 * GIB, tensor_parallel_size=8, pipeline_parallel_size=4, max_model_len=4096
    )
    assert found["weights_gib_per_gpu"] == pytest.approx(610 * 16 / 61 / 8, abs=0.001)


@pytest.mark.parametrize(
    ("config", "arguments", "factor"),
    [
        pytest.param({"torch_dtype": "bfloat16"}, {}, 1.0, id="as-stored"),
        pytest.param({"torch_dtype": "float32"}, {}, 0.5, id="float32-read-as-16-bit"),
        pytest.param({"torch_dtype": "float32"}, {"dtype": "float32"}, 1.0, id="float32-kept"),
        pytest.param({"torch_dtype": "bfloat16"}, {"quantization": "fp8"}, 0.56, id="quantized-while-loading"),
    ],
)
def test_files_on_the_gpu(config, arguments, factor) -> None:
    """Bytes of files are not always the bytes on the GPU; given ones are."""
    plain = {**MODELS["meta-llama/Llama-3.1-8B-Instruct"], **config}
    shared = {"model_config": plain, "gpu_memory_mib": 81559, "weights_bytes": 16 * GIB, "max_model_len": 4096}
    found = estimate.plan(**shared, weights_source="files", vllm_version="0.11.0", **arguments)
    assert found["weights_gib_per_gpu"] == pytest.approx(16 * factor, rel=0.02)
    assert estimate.plan(**shared, **arguments)["weights_gib_per_gpu"] == 16


def test_estimated_weights_widen() -> None:
    """Weights worked out from the architecture are a wider range than given ones."""
    given = medium(weights_bytes=int(18.0 * GIB))
    estimated = medium()
    assert (given["weights_source"], estimated["weights_source"]) == ("given", "estimated")
    width = {
        name: plan["kv_tokens"]["high"] / plan["kv_tokens"]["low"]
        for name, plan in (("given", given), ("estimated", estimated))
    }
    assert width["estimated"] > width["given"] * 1.05


def test_explanation() -> None:
    """The lines name what was found, so that the sum can be checked by hand."""
    text = "\n".join(medium()["explanation"])
    for part in (
        "24564 MiB",
        "0.90 x",
        "18.00 GiB / tensor parallel 2",
        "65536 bytes",
        "needs 8.00 GiB",
        "Verdict: yes",
    ):
        assert part in text


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


def test_fast() -> None:
    """A plan with its suggestions takes far less than the second it may take."""
    begin = time.perf_counter()
    for model in ("google/gemma-3-27b-it", "deepseek-ai/DeepSeek-R1", "Qwen/Qwen3.6-27B-FP8"):
        estimate.plan(model_config=MODELS[model], gpu_memory_mib=24564, max_model_len=131072)
    assert time.perf_counter() - begin < 1.0


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
