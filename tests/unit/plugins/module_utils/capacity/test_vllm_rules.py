# SPDX-License-Identifier: GPL-3.0-or-later
"""What the versions of vLLM do differently about memory."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.capacity import vllm_rules


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


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param((0, 11, 0), [(False, True, False)], id="0.11"),
        pytest.param((0, 17, 0), [(False, False, False)], id="0.17"),
        pytest.param((0, 32, 0), [(False, False, True)], id="0.32"),
        pytest.param((0, 8, 4), [(True, True, False), (False, True, False)], id="0.8-both-engines"),
        pytest.param(None, [(True, True, False), (False, True, False), (False, False, True)], id="unknown"),
    ],
)
def test_rules(version, expected) -> None:
    """Engine, sampler and whether graphs are in the budget; every possibility where the version does not decide."""
    found = [(r["v0"], r["sorting_sampler"], r["graphs_in_budget"]) for r in vllm_rules.rules(version)]
    assert found == expected
