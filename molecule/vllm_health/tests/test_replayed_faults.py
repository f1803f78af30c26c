# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that only hosts with GPUs have. STAND-INS throughout: vLLM replays logs, GPUs and runtime are made up.

The logs are a recorded start of a real vLLM up to a phase, followed by what the sources of torch, vLLM and NCCL say.
"""

from __future__ import annotations

import json
import re

import pytest
from replays import LINES, replayed, worker_dies

OUT_OF_MEMORY = LINES["gpu-out-of-memory"][0]

REPLAYS = {
    "CUDA out of memory while loading": (worker_dies("load", OUT_OF_MEMORY), "gpu-out-of-memory"),
    "CUDA out of memory while compiling": (worker_dies("compile", OUT_OF_MEMORY), "gpu-out-of-memory"),
    "CUDA out of memory while capturing graphs": (
        [*worker_dies("memory")[:-6], "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  33%|###| 22/67",
         *worker_dies("memory", OUT_OF_MEMORY)[-6:]],
        "gpu-out-of-memory",
    ),
    "CUDA out of memory while warming up": (
        worker_dies("memory", *LINES["gpu-out-of-memory-in-warm-up"][0]), "gpu-out-of-memory-in-warm-up",
    ),
    "driver too old": (worker_dies("engine", LINES["driver-too-old"][0]), "driver-too-old"),
    "NCCL fails": (worker_dies("distributed", LINES["nccl-error"][0]), "nccl-error"),
    "no kernel image for the GPU": (worker_dies("load", LINES["no-kernel-for-gpu"][0]), "no-kernel-for-gpu"),
    "GPU memory held by others": (
        worker_dies("distributed", LINES["gpu-memory-held-by-others"][0]), "gpu-memory-held-by-others",
    ),
    "GPUs lost after a reload": (
        [*LINES["gpus-lost-after-reload"], *worker_dies("engine", "RuntimeError: No CUDA GPUs are available")],
        "gpus-lost-after-reload",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REPLAYS)
def test_replayed(host, standin, standin_host, fault, what) -> None:
    """The cause is named within seconds, and the release of before serves again."""
    lines, name = REPLAYS[what]
    outcome = fault(what, "replay", name, replayed(standin_host, re.sub(r"\W+", "-", what), lines))
    assert "STAND-IN" in outcome.log


@pytest.mark.full
def test_hang_after_nccl(host, standin, standin_host, fault) -> None:
    """Workers that never find each other: the phase's own time limit ends it."""
    lines = worker_dies("distributed")[:-6]
    variables = {**replayed(standin_host, "hang", lines, then="hang"), "vllm_health_distributed_timeout_s": 4}
    outcome = fault("hang after NCCL", "replay", "nccl-hang", variables)
    assert "vllm_health_distributed_timeout_s" in outcome.run.flat


@pytest.mark.full
def test_unknown_failure(host, standin, standin_host, fault) -> None:
    """A failure that nobody knows is called unknown, with the first traceback's last lines; users can name it."""
    lines = worker_dies("load", "FluxCapacitorError: 1.20 gigawatts found, 1.21 needed")
    outcome = fault("unknown to the catalogue", "replay", "unknown", replayed(standin_host, "new", lines))
    assert "1.21 needed" in outcome.run.output
    entry = {"id": "capacitor-empty", "class": "host", "cause": "Too little power.", "fix": "Call the doctor.",
             "patterns": ["gigawatts found"]}  # fmt: skip
    variables = {**replayed(standin_host, "newer", lines), "vllm_extra_failures": [entry]}
    outcome = fault("the same, by a user's entry", "replay", "capacitor-empty", variables)
    assert "Call the doctor." in outcome.run.output


@pytest.mark.full
def test_runtime_not_registered(host, standin, fault) -> None:
    """An engine that was never told of NVIDIA's runtime: the text is the real engine's own."""
    fault("runtime not registered", "Docker Engine", "nvidia-runtime-not-registered", {
        "vllm_accelerator": "nvidia", "vllm_gpu_devices": "0"})  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize(
    ("what", "variables", "state", "name"),
    [
        ("GPU id missing", {"vllm_gpu_devices": "7"}, "", "gpu-not-there"),
        ("NVML: unknown error", {"vllm_gpu_devices": "0"}, "nvml-unknown", "driver-not-loaded"),
        ("driver/library mismatch", {"vllm_gpu_devices": "1"}, "mismatch", "driver-library-mismatch"),
    ],
)
def test_runtime(host, standin, toolkit, fault, what, variables, state, name) -> None:
    """What the STAND-IN for NVIDIA's runtime refuses, in the words of the real one."""
    host.check_output("echo '%s' > /etc/myia-standin/nvidia-smi.fault" % state)
    try:
        fault(what, "stand-in runtime", name, {"vllm_accelerator": "nvidia", **variables})
    finally:
        host.check_output("rm -f /etc/myia-standin/nvidia-smi.fault")


@pytest.mark.full
def test_same_failure_is_not_repeated_for_ever(host, standin, standin_host, play) -> None:
    """The third deployment of what has failed twice the same way is refused without stopping the service."""
    lines = worker_dies("memory", LINES["context-longer-than-kv-cache"][0])
    variables = replayed(standin_host, "doomed", lines)
    for _ in range(2):
        run = play("-e", json.dumps(variables))
        assert "serves again" in run.flat, run.output
    before = host.check_output("docker inspect -f '{{.State.StartedAt}}' myia-vllm-medium-qwen3")
    run = play("-e", json.dumps(variables))
    assert run.status != 0
    assert "has failed 2 times the same way: context-longer-than-kv-cache" in run.flat
    assert host.check_output("docker inspect -f '{{.State.StartedAt}}' myia-vllm-medium-qwen3") == before
    run = play("-e", json.dumps({**variables, "vllm_service_same_failure_limit": 0}))
    assert "serves again" in run.flat, run.output
