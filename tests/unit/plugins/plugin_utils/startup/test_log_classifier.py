# SPDX-License-Identifier: GPL-3.0-or-later
"""What a log says of its start: causes before echoes, honest where nothing is known, never a false alarm."""

from __future__ import annotations

import tracemalloc

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, log_classifier
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import StartupLog, classify

CATALOGUE = failure_catalogue.load()

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
WRAPPER = (
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
READY = "(APIServer pid=1) INFO:     Application startup complete."
LOADING = "(Worker_TP0 pid=9) INFO 11-24 10:00:10 [a.py:1] Starting to load model a/b..."
ENGINE = "(EngineCore pid=5) INFO 11-24 10:00:05 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: x"
NCCL_READY = "(Worker_TP0 pid=9) INFO 11-24 10:00:08 [pynccl.py:1] vLLM is using nccl==2.27.3"
OTHER = "(Worker_TP0 pid=9) ERROR 11-24 10:00:12 [a.py:7] "
GRAPHS = "Capturing CUDA graphs (decode, FULL):  20%|##  | 7/35 [00:01<00:02, 19.9it/s]"


def traceback(
    error: str, process: str = "(Worker_TP1 pid=10) ERROR 11-24 10:00:11 [a.py:7] ", where: str = "run"
) -> str:
    """A traceback as a process of vLLM logs it."""
    lines = ["Traceback (most recent call last):", '  File "/x/a.py", line 12, in %s' % where, "    raise it()", error]
    return "\n".join(process + line for line in lines)


def diagnose(*parts: str, **evidence: object) -> dict:
    """The diagnosis of a log made of parts."""
    return classify("\n".join(parts) + "\n", CATALOGUE, evidence)


def result(*parts: str, **evidence: object) -> tuple[str, str]:
    """Outcome and id."""
    diagnosis = diagnose(*parts, **evidence)
    return diagnosis["outcome"], diagnosis["id"]


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


def test_hang_shown_by_the_log() -> None:
    """vLLM's own complaints about a silent worker make a hang of the phase distributed, not of a long compilation."""
    waits = "INFO 11-24 10:01:00 [shm.py:1] No available shared memory broadcast block found in 60 seconds."
    assert result(NCCL_READY, waits, waits) == ("starting", "")
    assert result(NCCL_READY, waits, waits, waits) == ("failed", "nccl-hang")
    assert result(LOADING, waits, waits, waits, waits) == ("starting", "")
    assert result(NCCL_READY, waits, waits, waits, LOADING) == ("starting", "")
    # it went on in between
    assert result(ENGINE, waits, waits, NCCL_READY, waits) == ("starting", "")


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


def test_unknown_shows_the_first_traceback() -> None:
    """Its last lines, and what its chain ended with: not the last lines of the log."""
    chain = "\n".join(
        [
            traceback("OSError: root", where="inner"),
            "(Worker_TP1 pid=10) ERROR 11-24 10:00:11 [a.py:7] ",
            "(Worker_TP1 pid=10) ERROR 11-24 10:00:11 [a.py:7] The above exception was the direct cause of it:",
            traceback("LoadError: while loading", where="outer"),
        ]
    )
    diagnosis = diagnose(LOADING, chain, traceback("AssertionError: later", "(Worker_TP0 pid=9) "), WRAPPER)
    assert diagnosis["evidence"] == [
        '(Worker_TP1 pid=10) File "/x/a.py", line 12, in inner',
        "(Worker_TP1 pid=10) OSError: root",
        "(Worker_TP1 pid=10) LoadError: while loading",
    ]
    assert (diagnosis["ref"], diagnosis["class"], diagnosis["phase"]) == ("", "once", "load")


def test_wrapper_alone() -> None:
    """The answer is that the cause is not in this text, with the wrapper's reference."""
    diagnosis = diagnose(WRAPPER)
    assert (diagnosis["id"], diagnosis["ref"]) == ("unknown", "V61")
    assert diagnosis["cause"] == log_classifier.NOT_IN_TEXT
    assert diagnosis["evidence"] == [WRAPPER]


def test_unknown_configuration() -> None:
    """vLLM's own check of its configuration refused it: no second try helps, whatever it was."""
    diagnosis = diagnose("ValidationError: 1 validation error for ModelConfig", "  Value error, it is odd")
    assert diagnosis["class"] == "configuration"
    assert "Value error, it is odd" in diagnosis["evidence"]


@pytest.mark.parametrize(
    ("before", "where", "phase", "word"),
    [
        ([LOADING], "run", "load", "vllm_tensor_parallel_size"),
        ([LOADING, GRAPHS], "run", "graphs", "vllm_enforce_eager"),
        # the log's own lines are missing, the frames say it
        ([], "load_model", "load", "vllm_tensor_parallel_size"),
        ([], "determine_available_memory", "memory", "vllm_max_num_batched_tokens"),
        ([LOADING], "capture_model", "graphs", "vllm_enforce_eager"),
        ([], "run", "container_up", "vllm_gpu_memory_utilization"),
    ],
    ids=str,
)
def test_phase_decides_the_fix(before, where, phase, word) -> None:
    """The same failure has another fix in another phase."""
    diagnosis = diagnose(*before, traceback(OOM, where=where))
    assert diagnosis["phase"] == phase
    assert word in diagnosis["fix"]


def test_values() -> None:
    """Numbers of the line are in the cause, in the fix and by name; without them there is no gap in the text."""
    line = (
        "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (10.52 GiB)."
    )
    diagnosis = diagnose(line + " Based on the available memory, the estimated maximum model length is 86176.")
    assert diagnosis["numbers"] == {"length": "131072", "needed": "16.00", "available": "10.52", "estimate": "86176"}
    assert "86176 tokens fit" in diagnosis["cause"]
    assert diagnosis["fix"].endswith("At most 86176 for vllm_max_model_len.")
    diagnosis = diagnose(line)
    assert diagnosis["cause"].endswith("than there is.")
    assert "{" not in diagnosis["fix"]


def test_values_of_a_wrapped_line() -> None:
    """They are found where a terminal broke the line."""
    diagnosis = diagnose(
        "  Value error, User-specified max_model_len (65536) is greater than\n"
        "  the derived max_model_len (max_position_embeddings=16384.0 or model_max_length=None in model's",
        "  config.json).",
    )
    assert diagnosis["numbers"] == {"length": "65536", "limit": "16384"}


def test_certain() -> None:
    """A cause is certain; a symptom or a wrapper may still be explained by a line to come."""
    assert diagnose(traceback(OOM))["certain"]
    assert not diagnose(traceback("RuntimeError: NCCL error: x"))["certain"]
    assert not diagnose(WRAPPER)["certain"]
    assert diagnose(LOADING)["certain"]


def test_no_secret_in_the_answer() -> None:
    """Neither known shapes nor given values."""
    log = "ValueError: own secret PLANTED-1 and hf_PLANTED0123456789 do not match the free form\n"
    entry = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["own secret"], "found": "{what}",
             "values": [r"secret (?P<what>\S+)"]}  # fmt: skip
    diagnosis = classify(log, failure_catalogue.load([entry]), secrets=["PLANTED-1"])
    assert diagnosis["id"] == "own"
    assert "PLANTED" not in repr(diagnosis)


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


@pytest.mark.parametrize(
    ("log", "at_s"),
    [
        pytest.param("2026-01-31T12:00:00Z x\n2026-01-31T12:00:02.5Z %s\n2026-01-31T12:00:09Z y\n" % OOM, 1769860802.5,
                     id="a-cause"),
        pytest.param("2026-01-31T12:00:00Z x\n" + "\n".join(
            "2026-01-31T12:00:0%d.000000000Z %s" % (number, line)
            for number, line in enumerate(traceback("AssertionError: nobody knows").splitlines(), 1)) + "\n",
            1769860801.0, id="where-an-unknown-traceback-begins"),
        pytest.param("x\n%s\n" % OOM, None, id="no-clock"),
        pytest.param("2026-01-31T12:00:00Z %s\n" % READY, None, id="healthy"),
    ],
)  # fmt: skip
def test_time_of_the_failure(log, at_s) -> None:
    """The time of the line that shows it, by the log's own clock."""
    assert classify(log, CATALOGUE)["at_s"] == at_s


def test_time_of_what_no_line_shows() -> None:
    """An exit code has no time of its own."""
    assert classify("2026-01-31T12:00:00Z x\n", CATALOGUE, {"exit_code": 139})["at_s"] is None


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


def test_values_behind_a_wrapped_line() -> None:
    """What an error says in numbers is read once, though its text is both a line and a part of a paragraph."""
    text = "it is too long: the value is 5 there"
    entry = {"id": "own", "class": "host", "cause": "c", "fix": "f", "patterns": ["the value is"],
             "values": [r"(?P<all>value is 5.*value is 5)", r"value is (?P<one>\d)"]}  # fmt: skip
    diagnosis = classify("ValueError: x\n%s\n" % text, failure_catalogue.load([entry]))
    assert diagnosis["numbers"] == {"one": "5"}


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
