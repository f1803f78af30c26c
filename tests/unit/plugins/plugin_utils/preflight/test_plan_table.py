# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of plan_medium."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import plan_table


@pytest.fixture
def table(host_with, medium):
    """Make the table for a changed host and changed variables."""

    def make(host: dict, variables: dict, skipped: list | None = None) -> str:
        definition, facts = medium(variables), host_with(host)
        result = {**preflight_checks.check(definition, facts, None), "host": facts}
        result["refused"] = bool(preflight_checks.refused(result["findings"], skipped or []))
        lines = plan_table.lines(definition, result, "gpu-host-1", skipped or [])
        assert [line for line in lines if len(line) > plan_table.WIDTH and " " in line.strip()] == []
        assert [line for line in lines if line != line.rstrip()] == []
        return "\n".join(lines)

    return make


def test_that_fits(table) -> None:
    """The figures of the plan stand in their columns."""
    text = table({}, {})
    assert "Plan of the vLLM service medium on gpu-host-1 (nothing was changed)" in text
    assert "GPU 0     NVIDIA GeForce RTX 4090, 24081 of 24564 MiB free" in text
    row = next(line for line in text.splitlines() if line.startswith("tokens in the KV cache"))
    low, high = (int(cell) for cell in row.split()[-2:])
    assert 131072 < low < high < 220000
    assert "weights (hub)" in text
    assert "fits: YES   (max_num_seqs 64, max_num_batched_tokens 2048)" in text
    assert "What would help" not in text
    assert "Checks of the host: 30 passed, 0 did not" in text
    assert text.endswith("A deployment would go on from here.")


def test_that_does_not_fit(table) -> None:
    """Suggestions, the best first, and the findings, worst first."""
    text = table({"uid": 1000, "clock.skew_s": 900.0}, {"vllm_kv_cache_dtype": "auto"})
    assert "fits: NO" in text
    assert "1. vllm_kv_cache_dtype: fp8" in text
    assert (
        text.index("ERROR   root: found user id 1000") < text.index("ERROR   capacity:") < text.index("WARNING clock:")
    )
    assert text.endswith("A deployment would be refused.")


def test_skipped(table) -> None:
    """A skipped check is marked as such, and refuses nothing."""
    text = table({"uid": 1000}, {}, ["root"])
    assert "skipped root: found user id 1000" in text
    assert text.endswith("A deployment would go on from here.")


@pytest.mark.parametrize(
    ("host", "variables", "words"),
    [
        pytest.param({}, {"vllm_accelerator": "cpu"}, "No plan of GPU memory: vllm_accelerator is cpu", id="cpu"),
        pytest.param(
            {"model.config": None, "model.error": {"kind": "unreachable", "text": "the hub is away. Look."}}, {},
            "the hub is away", id="no-config",
        ),
        pytest.param({"gpu.gpus": []}, {}, "GPU 0     not seen as a whole GPU", id="no-gpus"),
    ],
)  # fmt: skip
def test_without_a_plan(host, variables, words, table) -> None:
    """Why there is none is said; the findings are there all the same."""
    text = table(host, variables)
    assert words in text
    assert "Checks of the host" in text


def test_values_as_ansible_hands_them_in() -> None:
    """Texts and lists of Ansible's own kinds are written as plain ones, lists in one line."""

    class Tagged(str):
        __slots__ = ()

    values = {"vllm_gpu_devices": [0, 1], "vllm_hf_overrides": {Tagged("rope"): {Tagged("type"): Tagged("yarn")}}}
    assert plan_table.as_yaml(values) == [
        "vllm_gpu_devices: [0, 1]",
        "vllm_hf_overrides:",
        "  rope:",
        "    type: yarn",
    ]
