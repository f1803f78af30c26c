# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes before echoes, what Docker says beside the log, and only what ended a service that was ready."""

from __future__ import annotations

import pytest
from startup_lines import CONFIG, ENGINE, LOADING, NCCL_READY, OOM, OTHER, READY, WRAPPER, diagnose, result, traceback

SHUTDOWN = "(APIServer pid=1) INFO 11-24 10:05:00 [launcher.py:100] [shutdown] API server: shutdown triggered"
CUT_OFF = ["Traceback (most recent call last):", '  File "/x/a.py", line 12, in run', "    begin()"]
RAY = (
    "(raylet) Raylet is terminated. Termination is unexpected. Possible reasons include: (1) SIGKILL by the user or "
    "system OOM killer, (2) Invalid memory access from Raylet causing SIGSEGV or SIGBUS, (3) Other termination signals."
)


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
        # what it waited for when somebody stopped it
        ([ENGINE, "WARNING 11-24 10:00:06 [r.py:1] The number of required GPUs exceeds the total number of available.",
          "KeyboardInterrupt: terminated", WRAPPER], ("failed", "more-workers-than-gpus")),
        # a shell's word after a traceback that no entry knows, or that was cut off
        ([LOADING, traceback("AssertionError: nobody knows", ""), "Killed"], ("failed", "unknown")),
        ([LOADING, *CUT_OFF, "Killed"], ("failed", "unknown")),
        ([LOADING, "Killed"], ("failed", "host-memory-exhausted")),
        # an exception whose name does not look like one
        ([LOADING, *CUT_OFF, "odd_exit: no"], ("failed", "unknown")),
        # a traceback that was cut off does not swallow what comes
        ([LOADING, *CUT_OFF, *["INFO 11-24 10:00:12 [a.py:1] x"] * 9, OOM], ("failed", "gpu-out-of-memory")),
        (["Traceback (most recent call last):", *["words of somebody else"] * 9, OOM], ("failed", "gpu-out-of-memory")),
        # Ray lists what it might be
        ([LOADING, RAY], ("failed", "unknown")),
        # what a layer is called, looked up in forward, is no parameter of a checkpoint
        ([traceback("KeyError: 'model.layers.0.self_attn.attn'")], ("failed", "unknown")),
        ([traceback("KeyError: 'model.layers.0.mlp.down_proj.weight_scale'")],
         ("failed", "checkpoint-weight-name-mismatch")),
        ([traceback("AttributeError: 'OwnTokenizer' object has no attribute 'vocab_files_names'")],
         ("failed", "unknown")),
        # memory of Ray's node, not of the GPU
        ([traceback("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.")],
         ("failed", "host-memory-exhausted")),
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
        ([READY], {"exit_code": 0, "state": "exited"}, ("stopped", "interrupted-by-signal")),
        ([READY], {"exit_code": 143, "state": "exited"}, ("stopped", "interrupted-by-signal")),
        ([READY, SHUTDOWN], {"exit_code": 137, "state": "exited"}, ("stopped", "interrupted-by-signal")),
        ([READY, SHUTDOWN], {"exit_code": 137, "oom_killed": True}, ("failed", "host-memory-exhausted")),
        # Docker does not say for lack of memory, and a traceback says something else
        ([LOADING, traceback("AssertionError: nobody knows", ""), "Killed"], {"exit_code": 137}, ("failed", "unknown")),
        # what a warning named before it was stopped
        ([CONFIG, "WARNING 11-24 10:00:02 [a.py:1] Max retries exceeded with url: /api/models/own/model"],
         {"exit_code": 143}, ("failed", "hub-not-reachable")),
        ([CONFIG, "WARNING 11-24 10:00:02 [a.py:1] Max retries exceeded with url: /api/models/own/model", LOADING],
         {"exit_code": 143}, ("failed", "interrupted-by-signal")),
        ([LOADING, "WARNING 11-24 10:00:11 [a.py:1] CUDA out of memory is likely"], {"exit_code": 1},
         ("failed", "unknown")),
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
        # somebody stopped it: what its parts then say of each other is no failure
        ([READY, SHUTDOWN, traceback("EngineDeadError: EngineCore encountered an issue.")],
         ("stopped", "interrupted-by-signal")),
        # it ended because the engine died
        ([READY, "EngineDeadError: EngineCore encountered an issue.", SHUTDOWN], ("failed", "engine-died")),
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


@pytest.mark.parametrize(
    ("parts", "certain"),
    [
        ([LOADING], True),
        ([LOADING, *CUT_OFF], False),
        ([LOADING, *CUT_OFF[:1]], False),
        ([LOADING, *CUT_OFF, *["INFO 11-24 10:00:12 [a.py:1] x"] * 9], True),
        ([traceback(OOM)], True),
        # who writes it may be about to name a better one
        ([traceback(OOM), *CUT_OFF], False),
        ([READY, *CUT_OFF], False),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_nothing_is_certain_while_an_exception_is_to_come(parts, certain) -> None:
    """A traceback that is still open can change every answer; it is not open for ever."""
    assert diagnose(*parts)["certain"] is certain


def test_what_a_compiler_printed() -> None:
    """The line that hinted at the entry stands in the evidence."""
    command = "torch._inductor.exc.InductorError: CalledProcessError: Command '['/usr/bin/gcc', '/tmp/a/cuda_utils.c']'"
    diagnosis = diagnose(LOADING, "/usr/bin/ld: cannot find libc_nonshared.a: No such file", traceback(command))
    assert (diagnosis["id"], diagnosis["class"]) == ("triton-no-compiler", "configuration")
    assert diagnosis["evidence"][1] == "/usr/bin/ld: cannot find libc_nonshared.a: No such file"
