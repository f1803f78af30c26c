# SPDX-License-Identifier: GPL-3.0-or-later
"""A log that grows: in pieces, by which clock, with more than one start in it, and in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest
from startup_lines import CATALOGUE, ENGINE, GRAPHS, LOADING, NCCL_READY, OOM, READY, WRAPPER, result, traceback

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import StartupLog, classify


def test_hang_shown_by_the_log() -> None:
    """vLLM's own complaints about a silent worker make a hang of the phase distributed, not of a long compilation."""
    waits = "INFO 11-24 10:01:00 [shm.py:1] No available shared memory broadcast block found in 60 seconds."
    assert result(NCCL_READY, waits, waits) == ("starting", "")
    assert result(NCCL_READY, waits, waits, waits) == ("failed", "nccl-hang")
    assert result(LOADING, waits, waits, waits, waits) == ("starting", "")
    assert result(NCCL_READY, waits, waits, waits, LOADING) == ("starting", "")
    # it went on in between
    assert result(ENGINE, waits, waits, NCCL_READY, waits) == ("starting", "")


def test_piece_by_piece() -> None:
    """A log that grows gives the same as the whole, however it is cut, and its phase on the way."""
    text = "\n".join([ENGINE, LOADING, GRAPHS.replace("7/35", "1/35") + "\r" + GRAPHS, traceback(OOM), WRAPPER]) + "\n"
    whole = classify(text, CATALOGUE)
    for size in (1, 7, 100):
        log = StartupLog(CATALOGUE)
        for start in range(0, len(text), size):
            log.feed(text[start : start + size])
        assert log.diagnose() == whole


def test_progress() -> None:
    """While it starts: phase, steps, percent, and time by the watcher's clock."""
    log = StartupLog(CATALOGUE)
    log.feed(ENGINE + "\n", now_s=100.0)
    log.feed(LOADING + "\n", now_s=110.0)
    progress = log.feed(GRAPHS + "\r", now_s=145.0)
    assert progress == {"phase": "graphs", "x": 7, "y": 35, "percent": 20, "detail": "decode, FULL", "elapsed_s": 45.0,
                        "phase_s": 0.0}  # fmt: skip
    durations = [(step["phase"], step["duration_s"]) for step in log.phases.durations()]
    assert durations == [("container_up", 0.0), ("engine", 10.0), ("load", 35.0), ("graphs", 0.0)]


@pytest.mark.parametrize(
    ("stamp", "now_s"), [("2026-11-24T09:00:%02d.0Z ", 5.0), ("", None)], ids=["Docker's clock", "vLLM's clock"]
)
def test_clocks(stamp, now_s) -> None:
    """Docker's stamps come first, vLLM's own last; the two are never mixed."""
    log = StartupLog(CATALOGUE)
    for second, line in ((1, ENGINE), (31, LOADING)):
        log.feed((stamp % second if stamp else "") + line + "\n", now_s=now_s)
    assert log.phases.durations()[1]["duration_s"] == (30.0 if stamp else 5.0)


def test_second_start_in_one_log() -> None:
    """Docker started it again: the newest start counts, and the one before is kept."""
    again = "(APIServer pid=1) INFO 11-24 10:05:00 [api_server.py:1] vLLM API server version 0.11.0"
    log = StartupLog(CATALOGUE)
    log.feed("\n".join([LOADING, traceback(OOM), WRAPPER, again, ENGINE]) + "\n")
    assert log.diagnose()["outcome"] == "starting"
    assert log.previous["id"] == "gpu-out-of-memory"
    log.feed(READY + "\n")
    assert log.diagnose()["outcome"] == "healthy"


def test_memory_is_bounded() -> None:
    """A long log of errors and requests does not grow what is kept."""
    log = StartupLog(CATALOGUE)
    noise = (
        "\n".join([traceback("RuntimeError: odd %d" % n, "(Worker pid=%d) " % n) for n in range(50)]) + "\n" + GRAPHS
    )
    log.feed(noise)
    tracemalloc.start()
    for _round in range(20):
        log.feed(noise)
    grown, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert log.lines > 4000
    assert grown < 100_000


def test_begin_again() -> None:
    """A new run of the container: what the last one died of is kept, a start that only ended is not made a failure."""
    log = StartupLog(CATALOGUE)
    log.feed("\n".join([ENGINE, LOADING, ""]))
    log.begin_again()
    assert log.previous is None
    assert log.progress()["phase"] == "container_up"
    log.feed("\n".join([ENGINE, OOM, ""]))
    log.begin_again()
    assert log.previous["id"] == "gpu-out-of-memory"
    assert log.diagnose()["outcome"] == "starting"
    log.begin_again()
    assert log.previous["id"] == "gpu-out-of-memory"


def test_failure_before_the_banner() -> None:
    """What a library says while vLLM is imported belongs to the start whose banner comes next."""
    log = (
        "Failed to initialize NVML: Unknown Error\n"
        "(APIServer pid=1) INFO 11-24 10:00:00 [api_utils.py:347]   version 0.32.0\n"
        "(APIServer pid=1) INFO 11-24 10:00:00 [api_utils.py:286] vLLM API server version 0.32.0\n"
        "(APIServer pid=1) INFO 11-24 10:00:00 [api_utils.py:286] non-default args: {}\n"
        "RuntimeError: No CUDA GPUs are available\n"
    )
    assert classify(log, failure_catalogue.load())["id"] == "gpus-lost-after-reload"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("myia.vllm saw: exit code 137", ("failed", "killed-from-outside")),
        ("myia.vllm saw: exit code 137; OOMKilled", ("failed", "host-memory-exhausted")),
        ("myia.vllm saw: a time limit ran out", ("failed", "unknown")),
        ("somebody saw: exit code 137", ("starting", "")),
    ],
)
def test_what_was_seen_besides(line, expected) -> None:
    """The last line of a kept log tells what Docker said of the container."""
    assert result(ENGINE, LOADING, line) == expected


def test_a_loop_in_one_log() -> None:
    """A log with several runs: one that failed again and again failed, whatever the newest has come to."""
    banner = "(APIServer pid=1) INFO 11-24 10:05:00 [api_server.py:1] vLLM API server version 0.11.0"
    run = "\n".join([banner, LOADING, traceback(OOM), WRAPPER]) + "\n"
    outcomes = [classify(run * runs + banner + "\n" + ENGINE + "\n", CATALOGUE)["outcome"] for runs in (1, 2, 3)]
    assert outcomes == ["starting", "starting", "failed"]
    assert classify(run * 3 + "\n".join([banner, ENGINE, READY]) + "\n", CATALOGUE)["outcome"] == "healthy"
