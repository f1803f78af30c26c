# SPDX-License-Identifier: GPL-3.0-or-later
"""The overhead's terms, against peaks and graph sizes that real starts printed."""

from __future__ import annotations

import pytest
from capacity_cases import MODELS, WHISPER

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config, outside, vllm_rules
from ansible_collections.myia.vllm.plugins.module_utils.capacity import overhead as vllm_overhead


def overhead(model, version, mib=81559, **changes):
    """Overhead of a model on a card."""
    size = model_config.shape(MODELS[model])
    settings = {"tp": 1, "stage_layers": size["layers"], "length": 16000, "seqs": None, "tokens": None, "eager": False}
    settings["capture_sizes"] = []
    settings = {**settings, "gpu_name": "", **changes}
    return vllm_overhead.overhead(size, vllm_rules.rules(version)[-1], settings, mib / 1024)


def term(found, name):
    """One term's (low, expected, high); None when it is not there."""
    return next((entry["gib"] for entry in found["terms"] if entry["name"] == name), None)


@pytest.mark.parametrize(
    ("model", "version", "changes", "name", "printed"),
    [
        pytest.param("Qwen/Qwen3-32B", (0, 11, 0), {}, "sampler", 5.64, id="h100-default"),
        pytest.param("Qwen/Qwen3-0.6B", (0, 11, 0), {}, "sampler", 5.56, id="small-model-same-sampler"),
        pytest.param("meta-llama/Llama-3.1-8B-Instruct", (0, 11, 0), {}, "sampler", 4.76, id="smaller-vocabulary"),
        pytest.param("openai/gpt-oss-20b", (0, 11, 0), {}, "sampler", 7.38, id="larger-vocabulary"),
        pytest.param("Qwen/Qwen3-4B", (0, 12, 0), {"seqs": 64}, "forward", 0.59, id="few-sequences"),
        pytest.param(
            "meta-llama/Llama-3.1-8B-Instruct",
            (0, 6, 4),
            {"mib": 24576, "length": 20000},
            "forward",
            2.07,
            id="old-engine-20000",
        ),
        pytest.param(
            "meta-llama/Llama-3.1-8B-Instruct",
            (0, 6, 4),
            {"mib": 24576, "length": 29000},
            "forward",
            2.99,
            id="old-engine-29000",
        ),
        pytest.param("GLM-5.2-W4A16", (0, 23, 1), {"tp": 4, "seqs": 1}, "forward", 1.13, id="experts"),
    ],
)
def test_peak(model, version, changes, name, printed) -> None:
    """The printed peak of activations lies in the range, and near its expected value."""
    low, expected, high = term(overhead(model, version, **changes), name)
    assert low <= printed <= high
    assert expected == pytest.approx(printed, rel=0.2)


def test_sampler_that_does_not_sort() -> None:
    """From 0.17 on the warm-up of 1024 sequences takes a third."""
    assert term(overhead("Qwen/Qwen3-32B", (0, 17, 0)), "sampler")[1] < 0.4 * 5.64


@pytest.mark.parametrize(
    ("model", "version", "changes", "printed"),
    [
        pytest.param("Qwen/Qwen2.5-72B-Instruct", (0, 19, 0), {"mib": 46068, "tp": 4}, 2.62, id="72b-tp4"),
        pytest.param("Qwen/Qwen3-30B-A3B", (0, 10, 2), {}, 0.69, id="30b"),
        pytest.param("meta-llama/Llama-3.1-8B-Instruct", (0, 11, 0), {"mib": 23034, "seqs": 128}, 0.38, id="8b"),
        pytest.param("Qwen/Qwen3-235B-A22B-FP8", (0, 10, 0), {"tp": 8}, 2.6, id="235b-tp8"),
        pytest.param("GLM-5.2-W4A16", (0, 23, 1), {"tp": 4, "seqs": 1}, 0.06, id="one-sequence"),
    ],
)
def test_graphs(model, version, changes, printed) -> None:
    """The printed size of CUDA graphs lies in the range."""
    low, _expected, high = overhead(model, version, **changes)["graphs_gib"]
    assert low <= printed <= high


@pytest.mark.parametrize(
    ("version", "eager", "counted"),
    [
        pytest.param((0, 19, 1), False, False, id="0.19-beside-the-budget"),
        pytest.param((0, 20, 0), False, True, id="0.20-in-the-budget"),
        pytest.param((0, 32, 0), True, False, id="eager"),
    ],
)
def test_graphs_in_budget(version, eager, counted) -> None:
    """Graphs count from 0.20 on, unless there are none."""
    found = overhead("Qwen/Qwen3-32B", version, eager=eager)
    assert (term(found, "cuda_graphs") is not None) is counted
    assert (found["graphs_gib"][1] > 0) is not eager


@pytest.mark.parametrize(
    ("version", "seqs", "expected"),
    [
        pytest.param((0, 11, 0), 256, 67, id="0.11"),
        pytest.param((0, 32, 0), 256, 51, id="0.32"),
        pytest.param((0, 32, 0), 32, 11, id="few-sequences"),
        pytest.param((0, 6, 6), 256, 35, id="old-engine"),
    ],
)
def test_graph_count(version, seqs, expected) -> None:
    """As many as vLLM's log counts."""
    assert vllm_overhead.graph_count(version, seqs) == expected


def test_more_gpus_share_the_forward_pass() -> None:
    """Tensor parallel makes the forward pass smaller and NCCL larger."""
    one = overhead("Qwen/Qwen3-32B", (0, 32, 0), seqs=8)
    four = overhead("Qwen/Qwen3-32B", (0, 32, 0), seqs=8, tp=4)
    assert term(four, "forward")[1] < term(one, "forward")[1]
    assert term(four, "non_torch")[1] > term(one, "non_torch")[1]


#: What tools/measure_gpu_memory.py printed on two H100 with NVLink, 2026-11-25 (docs/hardware.md), in GiB.
CONTEXT, BLAS, NCCL = 619 / 1024, 68 / 1024, 846 / 1024


def test_measured_memory_outside_pytorch() -> None:
    """The context is a constant of its own; NCCL's group counts only where vLLM makes it after its first look."""
    assert pytest.approx(CONTEXT, abs=0.01) == outside.CONTEXT_GIB
    one = term(overhead("Qwen/Qwen3-32B", (0, 10, 2)), "non_torch")
    assert one[0] <= BLAS <= one[1]
    assert one[2] < CONTEXT
    before, since = (
        term(overhead("Qwen/Qwen3-32B", version, tp=2), "non_torch") for version in ((0, 10, 2), (0, 11, 0))
    )
    assert before[2] > NCCL + BLAS
    assert since[2] < NCCL
    for printed in (0.54, 0.55):  # by starts of 0.11 with the same cards
        assert since[0] < printed < since[2]


@pytest.mark.parametrize("measured_mib", [168, 166])
def test_measured_graphs(measured_mib) -> None:
    """35 graphs of 28 layers without vLLM, on H100 and H200."""
    graphs = 35 * 28 * vllm_overhead.GRAPH_MIB_PER_LAYER[0] + 1024 * vllm_overhead.GRAPH_POOL_GIB
    low, _expected, high = vllm_overhead.GRAPH_RANGE
    assert graphs * low < measured_mib < graphs * high


def test_vision_and_pooling() -> None:
    """An encoder is profiled beside the language model, and may be off; a pooling model has no sampler."""
    assert term(overhead("Qwen/Qwen3-VL-30B-A3B-Instruct", (0, 12, 0)), "vision")[0] == 0.0
    assert term(overhead("Qwen/Qwen3-VL-30B-A3B-Instruct", (0, 12, 0)), "vision")[2] > 2.7
    assert term(overhead("intfloat/e5-mistral-7b-instruct", (0, 11, 0)), "sampler") is None


def test_unpacked_latent_attention() -> None:
    """On one GPU all heads of a latent attention are unpacked: that is more than the forward pass of few tokens."""
    found = overhead("deepseek-ai/DeepSeek-R1", (0, 11, 0), seqs=4, tokens=512)
    assert found["terms"][0]["name"] == "latent_attention"
    # 65536 tokens x (128 heads x 256 + 576) x 2 bytes
    assert found["terms"][0]["gib"][1] == pytest.approx(65536 * (128 * 256 + 576) * 2 / 1024**3)


def test_tokens_follow_sequences() -> None:
    """vLLM batches no more tokens than its sequences can have."""
    assert overhead("Qwen/Qwen3-0.6B", (0, 32, 0), mib=24564, seqs=2, length=512)["tokens"] == 1024


@pytest.mark.parametrize(
    ("tp", "tokens", "printed"),
    [
        pytest.param(1, 2048, 1.19, id="cold"),
        pytest.param(1, 8192, 1.29, id="cold-more-tokens"),
        pytest.param(1, 8192, 0.78, id="warm"),
        pytest.param(2, 2048, 0.65, id="cold-two-gpus"),
        pytest.param(2, 8192, 0.70, id="cold-two-gpus-more-tokens"),
    ],
)
def test_compiling(tp, tokens, printed) -> None:
    """The peak that vLLM 0.26 printed on H200 lies in the range, whether or not everything was compiled before."""
    eight = {**MODELS["Qwen/Qwen3-4B"], "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 12288}
    settings = {"tp": tp, "stage_layers": 36, "length": 131072, "seqs": 64, "tokens": tokens, "eager": False}
    settings |= {"capture_sizes": [], "gpu_name": "NVIDIA H200"}
    rules = vllm_rules.rules((0, 26, 0))[-1]
    found = vllm_overhead.overhead(model_config.shape(eight), rules, settings, 140.4)
    low, _expected, high = found["terms"][0]["gib"]
    assert low <= printed <= high
    assert found["cold"] is True


@pytest.mark.parametrize(
    ("seqs", "eager", "printed"),
    [
        pytest.param(1024, True, 0.34, id="eager"),
        pytest.param(1024, False, 0.34, id="many-sequences"),
        pytest.param(512, False, 0.32, id="cold"),
        pytest.param(512, False, 0.25, id="warm"),
    ],
)
def test_v2_runner_samples_in_16_bit(seqs, eager, printed) -> None:
    """The peak that vLLM 0.26 printed on an H200 for a small model (docs/hardware/2026-11-30-h200.json) is in range."""
    found = overhead("Qwen/Qwen3-0.6B", (0, 26, 0), 143771, seqs=seqs, tokens=8192, eager=eager, length=40960)
    low, _expected, high = found["terms"][0]["gib"]
    assert low <= printed <= high


def test_v2_runner_takes_no_graphs() -> None:
    """Dense generating models of 0.26 have nothing for CUDA graphs in the budget; models with experts have."""
    assert term(overhead("Qwen/Qwen3-32B", (0, 26, 0)), "cuda_graphs") is None
    assert term(overhead("Qwen/Qwen3-30B-A3B", (0, 26, 0)), "cuda_graphs") is not None
    assert term(overhead("Qwen/Qwen3-32B", (0, 29, 0)), "cuda_graphs") is not None


@pytest.mark.parametrize(
    ("version", "changes", "low", "high"),
    [
        pytest.param((0, 6, 3), {"others_gib": 7.29}, 7.29, 7.29, id="0.6.3"),
        pytest.param((0, 9, 0), {"others_gib": 7.29}, 7.54, 7.94, id="0.9.0-and-the-context"),
        pytest.param((0, 9, 0), {"others_gib": None}, 0.25, 0.65, id="not-known"),
        pytest.param((0, 9, 1), {"others_gib": 7.29}, None, None, id="0.9.1-leaves-them-out"),
    ],
)
def test_memory_of_others(version, changes, low, high) -> None:
    """What others hold is taken from the budget by versions that count all that is on the GPU."""
    found = term(overhead("Qwen/Qwen3-32B", version, **changes), "others")
    assert found == (None if low is None else pytest.approx((low, found[1], high)))


@pytest.mark.parametrize(
    ("version", "tp", "printed"),
    [
        pytest.param((0, 6, 6), 8, 7.7, id="eight-0.6"),
        pytest.param((0, 10, 2), 8, 2.4, id="eight"),
        pytest.param((0, 26, 0), 2, 0.07, id="two-h200"),
        pytest.param((0, 26, 0), 1, 0.22, id="one-h200"),
    ],
)
def test_non_torch(version, tp, printed) -> None:
    """Printed memory outside of PyTorch lies in the range."""
    low, _expected, high = term(overhead("Qwen/Qwen3-32B", version, tp=tp), "non_torch")
    assert low <= printed <= high


@pytest.mark.parametrize(("name", "unified"), [("NVIDIA GB10", True), ("Jetson Thor", True), ("NVIDIA GB200", False)])
def test_unified_memory(name, unified) -> None:
    """Where the host's memory is the GPU's, what its processes take counts."""
    found = term(overhead("Qwen/Qwen3-32B", (0, 26, 0), gpu_name=name), "host")
    assert (found is not None) is unified


def test_speculation_checks_what_it_drafts() -> None:
    """Logits of drafted tokens may come on top of the sampler's."""
    plain = term(overhead("Qwen/Qwen3-32B", (0, 21, 0)), "sampler")
    drafts = term(overhead("Qwen/Qwen3-32B", (0, 21, 0), draft_tokens=3), "sampler")
    assert drafts[0] == plain[0]
    assert drafts[2] > 1.5 * plain[2]


def test_encoder_of_sound() -> None:
    """Whisper's encoder takes frames of sound, not patches of an image."""
    settings = {"tp": 1, "stage_layers": 32, "length": 448, "seqs": 16, "tokens": None, "eager": False}
    settings |= {"capture_sizes": [], "gpu_name": ""}
    rules = vllm_rules.rules((0, 32, 0))[-1]
    found = vllm_overhead.overhead(model_config.shape(WHISPER), rules, settings, 24)
    assert term(found, "vision") is None
    assert term(found, "encoder")[2] < 1.0
