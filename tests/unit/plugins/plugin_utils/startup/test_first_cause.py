# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes before echoes, what Docker says beside the log, and only what ended a service that was ready."""

from __future__ import annotations

import pytest
from startup_lines import ENGINE, LOADING, NCCL_READY, OOM, OTHER, READY, WRAPPER, diagnose, result, traceback


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], ("starting", "")),
        ([LOADING], ("starting", "")),
        ([LOADING, READY], ("healthy", "")),
        ([LOADING, traceback(OOM), WRAPPER], ("failed", "gpu-out-of-memory")),
        # before the wrapper comes
        ([LOADING, traceback(OOM)], ("failed", "gpu-out-of-memory")),
        # the first cause wins over what follows from it on other workers
        ([traceback("ValueError: Unknown quantization method: x"), traceback(OOM), WRAPPER],
         ("failed", "quantization-unknown")),
        # other workers notice first that one died, by NCCL: a symptom loses to a cause that comes later
        ([traceback("RuntimeError: NCCL error: unhandled system error"), traceback(OOM)],
         ("failed", "gpu-out-of-memory")),
        # the more precise of two
        ([traceback(OOM), "RuntimeError: CUDA out of memory occurred when warming up sampler with 9 dummy requests."],
         ("failed", "gpu-out-of-memory-in-warm-up")),
        ([WRAPPER], ("failed", "unknown")),
        ([traceback("AssertionError: nobody knows")], ("failed", "unknown")),
        ([traceback("AssertionError: nobody knows"), WRAPPER], ("failed", "unknown")),
        # the symptom of another worker, after a traceback that no entry knows
        ([traceback("AssertionError: nobody knows"),
          traceback("RuntimeError: NCCL error: unhandled system error", OTHER)],
         ("failed", "unknown")),
        # a traceback that the start survived
        ([ENGINE, traceback("OSError: odd"), LOADING], ("starting", "")),
        ([ENGINE, traceback("OSError: odd"), LOADING, READY], ("healthy", "")),
        # the text of an error inside the code that a traceback shows
        (["Traceback (most recent call last):", '  File "/x/a.py", line 12, in run',
          '    raise ValueError("No available memory for the cache blocks")', "AssertionError: something else"],
         ("failed", "unknown")),
        # ordinary lines at INFO and WARNING name nothing
        (["WARNING 11-24 10:00:00 [a.py:1] CUDA out of memory is likely", LOADING], ("starting", "")),
        (["(APIServer pid=1) INFO 11-24 10:00:00 [a.py:1] no space left on device? fine"], ("starting", "")),
        # a hint counts only when the start failed, and only when it did not go on
        (["UserWarning: Not enough free disk space to download the file."], ("starting", "")),
        (["UserWarning: Not enough free disk space to download the file.", WRAPPER],
         ("failed", "disk-too-small-for-model")),
        (["UserWarning: Not enough free disk space to download the file.", LOADING, WRAPPER], ("failed", "unknown")),
        # somebody stopped it
        ([LOADING, "KeyboardInterrupt: terminated", WRAPPER], ("failed", "interrupted-by-signal")),
        ([traceback("AssertionError: nobody knows"), "KeyboardInterrupt: terminated"], ("failed", "unknown")),
        # a check of the configuration that no entry knows
        (["ValidationError: 1 validation error for ModelConfig", "  Value error, it is odd"], ("failed", "unknown")),
    ],
    ids=lambda value: str(value)[-60:],
)  # fmt: skip
def test_order_of_evidence(parts, expected) -> None:
    """Causes, hints, symptoms, unknown tracebacks, echoes, wrappers: in this order."""
    assert result(*parts) == expected


@pytest.mark.parametrize(
    ("parts", "evidence", "expected"),
    [
        ([LOADING], {"state": "running"}, ("starting", "")),
        ([LOADING], {"exit_code": 137, "oom_killed": True}, ("failed", "host-memory-exhausted")),
        ([LOADING], {"exit_code": 137}, ("failed", "killed-from-outside")),
        ([LOADING, "Killed"], {"exit_code": 137}, ("failed", "host-memory-exhausted")),
        ([LOADING], {"exit_code": 135}, ("failed", "shared-memory-bus-error")),
        ([LOADING], {"exit_code": 139}, ("failed", "segmentation-fault")),
        ([LOADING], {"exit_code": 143}, ("failed", "interrupted-by-signal")),
        ([LOADING], {"exit_code": 1}, ("failed", "unknown")),
        ([LOADING], {"exit_code": 0, "state": "exited"}, ("failed", "interrupted-by-signal")),
        ([READY], {"exit_code": 0, "state": "exited"}, ("failed", "interrupted-by-signal")),
        ([READY, "EngineDeadError: EngineCore encountered an issue."], {"exit_code": 0, "state": "exited"},
         ("failed", "engine-died")),
        ([traceback("AssertionError: nobody knows")], {"exit_code": 0, "state": "exited"}, ("failed", "unknown")),
        ([WRAPPER], {"exit_code": 139}, ("failed", "segmentation-fault")),
        ([traceback(OOM)], {"exit_code": 137}, ("failed", "gpu-out-of-memory")),
        ([traceback(OOM)], {"exit_code": 137, "oom_killed": True}, ("failed", "host-memory-exhausted")),
        ([READY], {"exit_code": 137, "oom_killed": True}, ("failed", "host-memory-exhausted")),
        ([READY], {"exit_code": 0, "state": "running"}, ("healthy", "")),
        ([NCCL_READY], {"stalled": True}, ("failed", "nccl-hang")),
        ([LOADING], {"stalled": True}, ("failed", "unknown")),
        ([], {"docker_error": "Error response from daemon: unknown or invalid runtime name: nvidia"},
         ("failed", "nvidia-runtime-not-registered")),
        ([], {"docker_error": "Error response from daemon: something new"}, ("failed", "unknown")),
    ],
    ids=str,
)  # fmt: skip
def test_evidence_besides_the_log(parts, evidence, expected) -> None:
    """What Docker says counts like a line."""
    assert result(*parts, **evidence) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # one request failed
        ([READY, traceback(OOM)], ("healthy", "")),
        ([READY, traceback("AssertionError: nobody knows")], ("healthy", "")),
        # the engine died of it
        ([READY, traceback(OOM), "EngineCore encountered a fatal error."], ("failed", "gpu-out-of-memory")),
        ([READY, "(EngineCore pid=5) ERROR 11-24 10:00:00 [core.py:1] EngineCore encountered a fatal error.",
          traceback("AssertionError: nobody knows", "(EngineCore pid=5) ERROR 11-24 10:00:00 [core.py:1] ")],
         ("failed", "engine-died")),
        # uvicorn says complete before it binds
        ([READY, "ERROR:    [Errno 98] error while attempting to bind on address ('::', 80): address already in use"],
         ("failed", "port-taken-by-process")),
        # an error before it was ready did not keep it from it
        ([traceback(OOM), READY], ("healthy", "")),
        ([traceback(OOM), READY, "EngineDeadError: EngineCore encountered an issue."], ("failed", "engine-died")),
    ],
    ids=lambda value: str(value)[-60:],
)  # fmt: skip
def test_after_ready(parts, expected) -> None:
    """A service survives the errors of single requests; only what ends it counts."""
    diagnosis = diagnose(*parts)
    assert (diagnosis["outcome"], diagnosis["id"]) == expected
    assert diagnosis["phase"] == "serving"


def test_what_it_survived_is_no_evidence() -> None:
    """When a service that was ready ends, only what came after it was ready can be why."""
    diagnosis = diagnose(traceback("OSError: early"), READY, traceback("AssertionError: late"), exit_code=1)
    assert diagnosis["id"] == "unknown"
    assert "AssertionError: late" in diagnosis["evidence"][1]
