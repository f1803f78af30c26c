# SPDX-License-Identifier: GPL-3.0-or-later
"""What the versions of vLLM do differently about memory."""

from __future__ import annotations

import pytest
from capacity_cases import SMALL

from ansible_collections.myia.vllm.plugins.module_utils.capacity import model_config, vllm_rules


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param((0, 11, 0), 0.9, id="0.11"),
        pytest.param((0, 19, 1), 0.9, id="0.19"),
        pytest.param((0, 20, 0), 0.92, id="0.20"),
        pytest.param(None, 0.9, id="unknown"),
    ],
)
def test_default_utilization(version, expected) -> None:
    """0.92 since 0.20."""
    assert vllm_rules.default_utilization(version) == expected


@pytest.mark.parametrize(
    ("version", "mib", "name", "length", "expected"),
    [
        pytest.param((0, 11, 0), 24564, "NVIDIA GeForce RTX 4090", 131072, (256, 2048), id="24-gb"),
        pytest.param((0, 11, 0), 81559, "NVIDIA H100 80GB HBM3", 4096, (1024, 8192), id="h100"),
        pytest.param((0, 11, 0), 81920, "NVIDIA A100-SXM4-80GB", 4096, (256, 2048), id="a100"),
        pytest.param((0, 8, 5), 81920, "NVIDIA A100-SXM4-80GB", 4096, (1024, 8192), id="a100-0.8"),
        pytest.param((0, 11, 0), 81920, "", 4096, (256, 2048), id="a100-by-size"),
        pytest.param((0, 11, 0), 81559, "", 4096, (1024, 8192), id="h100-by-size"),
        pytest.param((0, 32, 0), 183359, "NVIDIA B200", 4096, (1024, 16384), id="b200"),
        pytest.param((0, 27, 1), 183359, "NVIDIA B200", 4096, (1024, 8192), id="b200-0.27"),
        pytest.param((0, 6, 6), 24564, "", 20000, (256, 20000), id="old-engine-whole-prompt"),
        pytest.param((0, 6, 6), 24564, "", 40000, (256, 2048), id="old-engine-chunks"),
        pytest.param((0, 5, 4), 24564, "", 131072, (256, 512), id="oldest-chunks"),
    ],
)
def test_default_batch(version, mib, name, length, expected) -> None:
    """Sequences and tokens by card and version."""
    assert vllm_rules.default_batch(version, mib / 1024, name, length) == expected


BOTH, SORTING, LEAN = ("sorting", "lean"), ("sorting",), ("lean",)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param((0, 6, 3), [(True, BOTH, False, True)], id="0.6.3-others-count"),
        pytest.param((0, 11, 0), [(False, BOTH, False, False)], id="0.11"),
        pytest.param((0, 17, 0), [(False, LEAN, False, False)], id="0.17"),
        pytest.param((0, 32, 0), [(False, LEAN, True, False)], id="0.32"),
        pytest.param((0, 8, 4), [(True, BOTH, False, False), (False, BOTH, False, True)], id="0.8-both-engines"),
        pytest.param(
            None,
            [
                (True, BOTH, False, True),
                (True, BOTH, False, False),
                (False, BOTH, False, False),
                (False, LEAN, True, False),
                (False, LEAN, True, False),
            ],
            id="unknown",
        ),
    ],
)
def test_rules(version, expected) -> None:
    """Engine, samplers, graphs in the budget, memory of others; every possibility where the version leaves it open."""
    found = [(r["v0"], r["samplers"], r["graphs_in_budget"], r["others_count"]) for r in vllm_rules.rules(version)]
    assert found == expected


@pytest.mark.parametrize(
    ("version", "environment", "expected"),
    [
        pytest.param((0, 7, 3), {}, SORTING, id="old-engine-asks"),
        pytest.param((0, 10, 2), {}, BOTH, id="what-the-image-has-is-not-known"),
        pytest.param((0, 11, 0), {"VLLM_USE_FLASHINFER_SAMPLER": "0"}, SORTING, id="turned-off"),
        pytest.param((0, 11, 0), {"VLLM_USE_FLASHINFER_SAMPLER": "1"}, LEAN, id="turned-on"),
        pytest.param((0, 16, 0), {}, SORTING, id="only-when-asked"),
        pytest.param((0, 16, 0), None, BOTH, id="environment-not-known"),
        pytest.param((0, 17, 0), {"VLLM_USE_FLASHINFER_SAMPLER": "0"}, LEAN, id="own-sampler-does-not-sort"),
    ],
)
def test_samplers(version, environment, expected) -> None:
    """The version alone does not say how the sampler works: the container's variables do, where they are known."""
    assert vllm_rules.samplers(version, environment) == expected


@pytest.mark.parametrize(
    ("version", "environment", "expected"),
    [
        pytest.param((0, 19, 1), {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "1"}, True, id="asked-for"),
        pytest.param((0, 17, 0), {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "1"}, False, id="not-read-yet"),
        pytest.param((0, 32, 0), {"VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "0"}, False, id="turned-off"),
        pytest.param((0, 32, 0), {}, True, id="default"),
    ],
)
def test_graphs_by_choice(version, environment, expected) -> None:
    """A variable takes CUDA graphs into the budget, or out of it."""
    assert vllm_rules.rules(version, environment)[-1]["graphs_in_budget"] is expected


def test_engine_by_choice() -> None:
    """VLLM_USE_V1 says which of the two engines of 0.8 starts."""
    assert [rule["v0"] for rule in vllm_rules.rules((0, 8, 5), {"VLLM_USE_V1": "0"})] == [True]
    assert [rule["v0"] for rule in vllm_rules.rules((0, 8, 5), {"VLLM_USE_V1": "1"})] == [False]


DENSE = {**SMALL, "architectures": ["Qwen3ForCausalLM"]}
EXPERTS = {**SMALL, "architectures": ["Qwen3MoeForCausalLM"], "num_experts": 8}


@pytest.mark.parametrize(
    ("version", "config", "changes", "expected"),
    [
        pytest.param((0, 20, 0), DENSE, {}, False, id="before"),
        pytest.param((0, 22, 0), DENSE, {}, True, id="first"),
        pytest.param((0, 22, 0), {**DENSE, "architectures": ["LlamaForCausalLM"]}, {}, False, id="not-yet-llama"),
        pytest.param((0, 23, 0), DENSE, {"quantized": True}, False, id="quantized"),
        pytest.param((0, 24, 0), DENSE, {"quantized": True}, True, id="quantized-0.24"),
        pytest.param((0, 26, 0), {**DENSE, "architectures": ["FutureForCausalLM"]}, {}, True, id="any-dense"),
        pytest.param((0, 26, 0), EXPERTS, {}, False, id="experts"),
        pytest.param((0, 26, 0), {**EXPERTS, "architectures": ["Qwen2MoeForCausalLM"]}, {}, True, id="listed-experts"),
        pytest.param((0, 26, 0), {**DENSE, "full_attention_interval": 4}, {}, False, id="hybrid"),
        pytest.param((0, 26, 0), {**DENSE, "architectures": ["Qwen3Model"]}, {}, False, id="pooling"),
        pytest.param((0, 26, 0), DENSE, {"method": "ngram"}, False, id="speculation-of-the-older-runner"),
        pytest.param((0, 26, 0), EXPERTS, {"environment": {"VLLM_USE_V2_MODEL_RUNNER": "1"}}, True, id="asked-for"),
        pytest.param((0, 26, 0), DENSE, {"environment": {"VLLM_USE_V2_MODEL_RUNNER": "0"}}, False, id="turned-off"),
        pytest.param((0, 29, 0), DENSE, {}, False, id="counts-them"),
    ],
)
def test_v2_runner(version, config, changes, expected) -> None:
    """Whether the runner that takes nothing for CUDA graphs runs a model."""
    said = {"quantized": False, "method": "", "environment": None, **changes}
    found = vllm_rules.v2_takes_no_graphs(version) and vllm_rules.v2_runs(version, model_config.shape(config), **said)
    assert found is expected
