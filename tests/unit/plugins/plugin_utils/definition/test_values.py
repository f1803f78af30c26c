# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator gave, in the types that the argument_specs promise."""

from __future__ import annotations

import pytest

GPUS_01 = ["0", "1"]
UUIDS = ["GPU-57a4d140-0000-4000-8000-000000000000", "GPU-57a4d140-0000-4000-8000-000000000001"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([0, 1], GPUS_01, id="list"),
        pytest.param((0, 1), GPUS_01, id="tuple"),
        pytest.param("0,1", GPUS_01, id="text"),
        pytest.param(" 0 , 1 ", GPUS_01, id="text-with-spaces"),
        pytest.param(["0", "1"], GPUS_01, id="list-of-texts"),
        pytest.param("[0,1]", GPUS_01, id="list-in-text"),
        pytest.param("['0', '1']", GPUS_01, id="list-of-texts-in-text"),
        pytest.param([1, 0], ["1", "0"], id="order-kept"),
        pytest.param(0, ["0"], id="number-0"),
        pytest.param("0", ["0"], id="text-0"),
        pytest.param("00", ["0"], id="leading-zero"),
        pytest.param(UUIDS, UUIDS, id="uuids"),
        pytest.param(",".join(UUIDS), UUIDS, id="uuids-in-text"),
        pytest.param(["MIG-57a4d140-1/2/3".replace("/", "-")], ["MIG-57a4d140-1-2-3"], id="mig"),
    ],
)
def test_gpu_devices_accepted(given, expected, define, env_of) -> None:
    """Every spelling gives the same ids, in the definition and in .env."""
    changes = {"vllm_gpu_devices": given, "vllm_tensor_parallel_size": len(expected)}
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["gpu_devices"] == expected
    assert env_of(**changes)["CUDA_VISIBLE_DEVICES_MEDIUM"] == ",".join(expected)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("0,,1", id="empty-entry"),
        pytest.param("0,1,", id="comma-at-end"),
        pytest.param([0, 0], id="twice"),
        pytest.param("0,0", id="twice-in-text"),
        pytest.param([0, "00"], id="twice-by-other-spelling"),
        pytest.param("a", id="letter"),
        pytest.param("all", id="all"),
        pytest.param("0 1", id="space-for-comma"),
        pytest.param("[0,1", id="broken-list"),
        pytest.param("{}", id="braces"),
        pytest.param({"0": 1}, id="dict"),
        pytest.param(True, id="true"),
        pytest.param([True], id="list-of-true"),
        pytest.param([None], id="list-of-null"),
        pytest.param([-1], id="negative"),
        pytest.param("-1", id="negative-text"),
        pytest.param(1.5, id="fraction"),
        pytest.param([0.5], id="list-of-fraction"),
    ],
)
def test_gpu_devices_refused(given, define) -> None:
    """Nothing is guessed: what names no GPU, or one twice, is refused by name."""
    found, problems, _warnings = define(vllm_gpu_devices=given, vllm_tensor_parallel_size=1)
    assert found == {}
    assert [item["variable"] for item in problems] == ["vllm_gpu_devices"]
    assert problems[0]["message"].startswith("vllm_gpu_devices: ")


@pytest.mark.parametrize("accepted", [5002, "5002", " 5002 ", 5002.0], ids=repr)
def test_numbers_from_the_command_line(accepted, define) -> None:
    """`-e vllm_port=5002` is a text."""
    found, problems, _warnings = define(vllm_port=accepted)
    assert problems == []
    assert found["port"] == 5002
