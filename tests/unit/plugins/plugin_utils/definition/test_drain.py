# SPDX-License-Identifier: GPL-3.0-or-later
"""Running requests end before a service stops: what vLLM is told, and how long Docker waits."""

from __future__ import annotations

import pytest


def told(definition: dict) -> bool:
    """Whether vLLM is told to end its requests."""
    return "--shutdown-timeout" in definition["command"]


@pytest.mark.parametrize(
    ("variables", "is_told", "grace_s"),
    [
        ({}, True, 330),
        ({"vllm_shutdown_timeout_s": 45}, True, 75),
        ({"vllm_shutdown_timeout_s": 0}, False, 30),
        ({"vllm_version": "0.17.0"}, False, 30),
        ({"vllm_version": "0.18.0"}, True, 330),
        ({"vllm_extra_options": {"api-server-count": 2}}, False, 30),
        (
            {"vllm_gpu_devices": [0, 1], "vllm_tensor_parallel_size": 1,
             "vllm_extra_options": {"data-parallel-size": 2}},
            False, 30,
        ),
    ],
)  # fmt: skip
def test_command_and_grace(variables, is_told, grace_s, define) -> None:
    """Where this release has it and it works; Docker waits for that and for vLLM's own end."""
    definition, problems, _warnings = define(vllm_profile="none", vllm_name="x", vllm_model="o/m", **variables)
    assert problems == []
    assert told(definition) is is_told
    assert definition["command"].count("--shutdown-timeout") == is_told
    assert definition["stop_grace_s"] == grace_s


def test_one_way_to_say_it(define) -> None:
    """The option has a variable."""
    _definition, problems, _warnings = define(vllm_extra_options={"shutdown-timeout": 20})
    assert "vllm_shutdown_timeout_s" in problems[0]["message"]


@pytest.mark.parametrize("value", [-1, 90000, "soon"])
def test_refused(value, define) -> None:
    """A time is a number of seconds, and a day at most."""
    _definition, problems, _warnings = define(vllm_shutdown_timeout_s=value)
    assert [item["variable"] for item in problems] == ["vllm_shutdown_timeout_s"]
