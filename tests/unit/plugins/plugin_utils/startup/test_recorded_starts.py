# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts of a real vLLM, recorded: of 0.32 (CPU build, tiny model) on the test bed, of 0.26 on H100 and H200. Long
lines are cut, addresses changed.

What no CPU can print stands as single lines in tests/unit/data/failure_lines.yml.
"""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import StartupLog, classify
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import LineReader

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "data" / "startup_logs"
CATALOGUE = failure_catalogue.load()

#: Recording: (id, phase, what Docker said of the container). The id is what it is named by with this evidence.
FAILED = {
    "option-not-accepted": ("option-not-accepted", "container_up", {"exit_code": 2}),
    "parser-unknown": ("parser-unknown", "container_up", {"exit_code": 1}),
    "chat-template-missing": ("chat-template-missing", "container_up", {"exit_code": 1}),
    "context-longer-than-model": ("context-longer-than-model", "config", {"exit_code": 1}),
    "heads-not-divisible": ("heads-not-divisible", "config", {"exit_code": 1}),
    "quant-config-missing": ("quant-config-missing", "config", {"exit_code": 1}),
    "architecture-not-supported": ("architecture-not-supported", "container_up", {"exit_code": 1}),
    "model-not-found": ("model-not-found", "container_up", {"exit_code": 1}),
    "model-gated": ("model-gated", "container_up", {"exit_code": 1}),
    "hub-busy": ("hub-busy", "container_up", {"exit_code": 1}),
    "hub-offline-mode": ("hub-offline-mode", "container_up", {"exit_code": 1}),
    # CUDA_VISIBLE_DEVICES=7 on a host with one GPU
    "gpu-not-there": ("gpu-not-there", "container_up", {"exit_code": 1}),
    # a gcc that could not link; the log of the container, its beginning cut off
    "triton-no-compiler": ("triton-no-compiler", "container_up", {"exit_code": 1}),
    # an H200: two replicas on one GPU, a draft model of another family, a file without the last layer, a port in use
    "more-workers-than-gpus": ("more-workers-than-gpus", "distributed", {"exit_code": 1}),
    "draft-vocabulary-differs": ("draft-vocabulary-differs", "config", {"exit_code": 1}),
    "weights-missing-in-file": ("checkpoint-weight-name-mismatch", "load", {"exit_code": 1}),
    "port-taken": ("port-taken-by-process", "container_up", {"exit_code": 1}),
    # an H200 with utilization 0.996
    "out-of-memory-for-kv-cache": ("gpu-out-of-memory-for-kv-cache", "memory", {"exit_code": 1}),
    "weights-broken": ("weights-broken", "load", {"state": "running"}),
    "weights-broken-lfs-pointer": ("weights-broken", "config", {"exit_code": 1}),
    "shared-memory-too-small": ("shared-memory-too-small", "engine", {"exit_code": 1}),
    "cache-not-writable": ("cache-not-writable", "container_up", {"exit_code": 1}),
    "disk-full": ("disk-full", "compile", {"exit_code": 1}),
    "no-memory-for-kv-cache": ("no-memory-for-kv-cache", "memory", {"exit_code": 1}),
    "batched-tokens-below-max-model-len": ("batched-tokens-below-max-model-len", "config", {"exit_code": 1}),
    "hub-error": ("hub-busy", "container_up", {"exit_code": 1}),
    # the engine was killed: vLLM's log does not say why
    "killed-while-starting": ("unknown", "engine", {"exit_code": 1}),
}
#: Failures of which the log itself holds nothing, only what Docker says of the container.
SILENT = {
    "host-memory-exhausted": ("host-memory-exhausted", "container_up", {"exit_code": 137, "oom_killed": True}),
    # vLLM does not react to a stop while it starts
    "stopped-while-starting": ("killed-from-outside", "config", {"exit_code": 137}),
}
#: Services that were ready before; vLLM ends with 0 even when its engine was killed.
ENDED = {
    "killed-when-ready": ("engine-died", "serving", {"exit_code": 0, "state": "exited"}),
    # an embedding service on an H200 whose engine was killed
    "killed-when-ready-pooling": ("engine-died", "serving", {"exit_code": 0, "state": "exited"}),
}
STOPPED = ("stopped-when-ready", "stopped-v2-model-runner", "stopped-ngram")
#: Cut off while FlashInfer compiled, more than a minute without a word of the worker.
UNFINISHED = ("stopped-eager-warming-up",)
HEALTHY = {
    "healthy-eager": ["container_up", "config", "engine", "distributed", "load", "memory", "ready", "serving"],
    "healthy-tensor-parallel-2": [
        "container_up", "config", "engine", "distributed", "load", "compile", "memory", "ready", "serving",
    ],
}  # fmt: skip


def read(name: str) -> str:
    """A recording, its bars' carriage returns kept."""
    return (FOLDER / (name + ".log")).read_bytes().decode("utf-8")


def test_every_recording_is_used() -> None:
    """No recording lies there unused."""
    assert {path.stem for path in FOLDER.glob("*.log")} == {*FAILED, *SILENT, *ENDED, *STOPPED, *UNFINISHED, *HEALTHY}


@pytest.mark.parametrize("name", [*FAILED, *SILENT, *ENDED])
def test_failed(name) -> None:
    """The right entry, by the log and what Docker said."""
    identity, phase, evidence = {**FAILED, **SILENT, **ENDED}[name]
    diagnosis = classify(read(name), CATALOGUE, evidence)
    assert (diagnosis["outcome"], diagnosis["id"], diagnosis["phase"]) == ("failed", identity, phase)


@pytest.mark.parametrize("evidence", [{}, {"exit_code": 0, "state": "exited"}, {"exit_code": 137, "state": "exited"}])
@pytest.mark.parametrize("name", STOPPED)
def test_stopped(name, evidence) -> None:
    """A service that was ready and was asked to stop did not fail, whatever its parts say of each other."""
    diagnosis = classify(read(name), CATALOGUE, evidence)
    assert (diagnosis["outcome"], diagnosis["id"], diagnosis["certain"]) == ("stopped", "interrupted-by-signal", True)


def test_phases_of_the_second_model_runner() -> None:
    """It says when it begins to load; what it does after the graphs, without a word, is a phase of its own."""
    log = StartupLog(CATALOGUE)
    log.feed(read("stopped-v2-model-runner"))
    steps = {step["phase"]: step for step in log.phases.durations()}
    assert list(steps) == [
        "container_up", "config", "engine", "distributed", "load", "compile", "memory", "graphs", "warmup", "ready",
        "serving",
    ]  # fmt: skip
    assert steps["warmup"]["duration_s"] > 60
    assert steps["graphs"]["duration_s"] < 10


def test_silence_without_graphs() -> None:
    """Without graphs the silence after the last word about memory is warming up too."""
    log = StartupLog(CATALOGUE)
    log.feed(read("stopped-eager-warming-up"))
    assert log.progress()["phase"] == "warmup"
    steps = {step["phase"]: step for step in log.phases.durations()}
    assert "graphs" not in steps
    assert log.diagnose()["outcome"] == "starting"


@pytest.mark.parametrize("name", SILENT)
def test_silent(name) -> None:
    """Without Docker's word it is a start like any other."""
    assert classify(read(name), CATALOGUE)["outcome"] == "starting"


@pytest.mark.parametrize("name", FAILED)
def test_verdict_comes_with_its_line(name) -> None:
    """Before the line it is a start like any other; with it, or the few lines of its text, the verdict is there."""
    log, verdicts = StartupLog(CATALOGUE), []
    for line in read(name).splitlines(keepends=True):
        log.feed(line)
        diagnosis = log.diagnose()
        verdicts.append((diagnosis["outcome"], diagnosis["id"]))
    first = next(number for number, verdict in enumerate(verdicts) if verdict[0] == "failed")
    assert {verdict[0] for verdict in verdicts[:first]} <= {"starting"}
    assert {verdict[0] for verdict in verdicts[first:]} == {"failed"}
    settled = [number for number, verdict in enumerate(verdicts) if verdict[1] == FAILED[name][0]]
    assert settled[-1] == len(verdicts) - 1
    assert len(settled) == len(verdicts) - settled[0], "the verdict changed again"


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy(name) -> None:
    """Healthy, through the right phases, and starting at every line before."""
    log, outcomes = StartupLog(CATALOGUE), []
    for line in read(name).splitlines(keepends=True):
        log.feed(line)
        outcomes.append(log.diagnose()["outcome"])
    ready = outcomes.index("healthy")
    assert set(outcomes[:ready]) == {"starting"}
    assert set(outcomes[ready:]) == {"healthy"}
    assert [step["phase"] for step in log.phases.durations()] == HEALTHY[name]


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_fires_on_a_healthy_start(name) -> None:
    """No entry and no wrapper knows any of its lines."""
    for line in LineReader().feed(read(name)):
        assert [sign.expression.text for sign in CATALOGUE.signs_in(line.text)] == []
        wrappers = [
            wrapper.ref for wrapper in CATALOGUE.wrappers if wrapper.pattern.search(line.text, line.text.lower())
        ]
        assert wrappers == []


def test_facts_and_durations() -> None:
    """What vLLM said about itself; durations by Docker's time stamps."""
    log = StartupLog(CATALOGUE)
    log.feed(read("healthy-eager"))
    assert log.phases.facts == {
        "version": "0.32.0",
        "architecture": "Qwen3ForCausalLM",
        "max_model_len": 512,
        "world_size": 1,
        "load_s": 0.01,
        "kv_cache_gib": 1.0,
        "kv_cache_tokens": 2097152,
        "max_concurrency": 4096.0,
        "init_engine_s": 0.55,
    }
    durations = {step["phase"]: step["duration_s"] for step in log.phases.durations()}
    assert durations["config"] == 10.4
    assert log.progress()["elapsed_s"] == 38.3
    assert sum(durations.values()) == pytest.approx(38.3, abs=0.5)


def test_compiling_is_cold() -> None:
    """A start that saved what it compiled was a cold one; vLLM's own clock gives the time."""
    log = StartupLog(CATALOGUE)
    log.feed(read("healthy-tensor-parallel-2"))
    assert log.phases.facts["compile_cache"] == "cold"
    assert log.phases.facts["world_size"] == 2
    durations = {step["phase"]: step["duration_s"] for step in log.phases.durations()}
    assert durations["compile"] == 36.0


@pytest.mark.parametrize("name", ["healthy-tensor-parallel-2", "weights-broken"])
def test_other_wrappings(name) -> None:
    """The same log as Docker's json-file, Compose and journald hold it gives the same answer."""
    plain = read(name)
    lines = plain.split("\n")
    stamp = "2026-11-24T10:00:00.000000000Z"
    wrapped = {
        "json-file": "".join(json.dumps({"log": x + "\n", "stream": "stderr", "time": stamp}) + "\n" for x in lines),
        "compose": "\n".join("vllm-1  | " + line for line in lines),
        "time stamps": "\n".join(stamp + " " + line for line in lines),
        "journald": "\n".join("Nov 24 10:00:00 gpu-host-1 vllm[77]: " + line for line in lines),
        "containerd": "\n".join(stamp + " stderr F " + line for line in lines),
    }
    expected = {**classify(plain, CATALOGUE), "at_s": None}
    for kind, text in wrapped.items():
        # the time of the line is by the clock of whoever wrapped it
        assert {**classify(text, CATALOGUE), "at_s": None} == expected, kind
