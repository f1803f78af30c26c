# SPDX-License-Identifier: GPL-3.0-or-later
"""A start judged from looks: healthy, failed by its log or by Docker, or out of time."""

from __future__ import annotations

import pytest
from startup_lines import CATALOGUE, ENGINE, LOADING, NCCL, READY, SHARDS, VERSION, WORKER_OOM
from watched_container import FOLDER, T0, Container, follow, iso, limited, packed, recording

from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import watcher as startup_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_classifier import StartupLog
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.watcher import StartWatch


def test_looks_are_those_of_the_module(documentation) -> None:
    """What is fed here has the keys that the module returns."""
    assert set(Container([]).inspect(T0)) == set(documentation("service_status_info", "RETURN")) - {
        "starts",
        "lock",
        "stopped",
    }


# ---------------------------------------------------------------------- healthy


@pytest.mark.parametrize("name", ["healthy-eager", "healthy-tensor-parallel-2"])
@pytest.mark.parametrize("step_s", [1.0, 7.0])
def test_healthy(name, step_s, watch) -> None:
    """Never called failed, through its phases in their order, and remembered with their durations."""
    container = Container(recording(name))
    lines = follow(watch, container, container.end_s, step_s)
    watch.take(container.inspect(container.end_s + 2, healthy=True))
    assert (watch.failed, watch.diagnosis, watch.stalled, watch.again()) == (False, {}, "", "")
    shown = list(dict.fromkeys(line[0] for line in lines))
    assert shown == sorted(shown, key=PHASES.index)
    assert shown[0] == "container_up"
    start = watch.start()
    assert start["at"] == iso(T0)
    assert start["total_s"] == pytest.approx(container.end_s + 2 - T0, abs=0.1)
    phases = [step["phase"] for step in start["phases"]]
    assert {"container_up", "config", "engine", "load", "memory", "ready"} <= set(phases)
    assert "serving" not in phases
    assert sum(step["duration_s"] for step in start["phases"]) <= start["total_s"]
    assert start["facts"]["kv_cache_tokens"] > 100_000
    assert watch.summary().startswith("[serving] answers after ")


@pytest.mark.parametrize("name", ["healthy-tensor-parallel-2", "weights-broken", "no-memory-for-kv-cache"])
@pytest.mark.parametrize("size", [37, 1000, 10**9])
def test_cut_anywhere(name, size, watch) -> None:
    """Pieces that end within a line, a time stamp or a bar make no difference."""
    container = Container(recording(name), gap_s=0.01)
    text = container.text(container.end_s)
    for begin in range(0, len(text), size):
        watch.take(container.inspect(container.end_s, log_gz=packed(text[begin : begin + size]), log_more=True))
    watch.take(container.exited(container.end_s + 1))
    whole = StartWatch(CATALOGUE, {}, [], 0)
    whole.take(container.exited(container.end_s + 1, log_gz=packed(text)))
    assert watch.diagnosis == whole.diagnosis
    assert watch.start() == whole.start()
    assert len(watch.start()["phases"]) > 2


def test_nothing_was_read(watch) -> None:
    """A service that was healthy at the first look has no start to remember."""
    container = Container([READY])
    watch.take(container.inspect(T0 + 1000, healthy=True, log_gz=""))
    assert (watch.failed, watch.start(), watch.read_any) == (False, {}, False)
    assert watch.summary() == "[serving] answers after 16 min 40 s"


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("name", "identity", "exit_code"),
    [
        ("option-not-accepted", "option-not-accepted", 2),
        ("parser-unknown", "parser-unknown", 1),
        ("chat-template-missing", "chat-template-missing", 1),
        ("context-longer-than-model", "context-longer-than-model", 1),
        ("heads-not-divisible", "heads-not-divisible", 1),
        ("quant-config-missing", "quant-config-missing", 1),
        ("architecture-not-supported", "architecture-not-supported", 1),
        ("model-not-found", "model-not-found", 1),
        ("model-gated", "model-gated", 1),
        ("hub-busy", "hub-busy", 1),
        ("hub-offline-mode", "hub-offline-mode", 1),
        ("weights-broken", "weights-broken", 1),
        ("shared-memory-too-small", "shared-memory-too-small", 1),
        ("cache-not-writable", "cache-not-writable", 1),
        ("disk-full", "disk-full", 1),
        ("no-memory-for-kv-cache", "no-memory-for-kv-cache", 1),
        ("killed-while-starting", "unknown", 1),
        ("stopped-while-starting", "killed-from-outside", 137),
    ],
)
def test_failed(name, identity, exit_code, watch) -> None:
    """The right name within 5 s of the line that shows it, or of the container's end; no look calls it otherwise."""
    container = Container(recording(name), gap_s=0.05)
    follow(watch, container, container.end_s)
    if not watch.failed:
        watch.take(container.exited(container.end_s + 1, exit_code))
    assert watch.failed
    assert watch.diagnosis["id"] == identity
    assert 0 <= watch.verdict_s() <= 5
    # and it stays so
    watch.take(container.exited(container.end_s + 30, exit_code))
    assert watch.diagnosis["id"] == identity


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.log")))
def test_the_kept_log_says_the_same(name, watch) -> None:
    """The log that is kept of a failed start, handed in by its path, gives the answer of the watch."""
    codes = {
        "host-memory-exhausted": 137,
        "stopped-while-starting": 137,
        "killed-when-ready": 0,
        "stopped-when-ready": 0,
    }
    container, code = Container(recording(name), gap_s=0.05), codes.get(name, 1)
    kept = Container(recording(name), gap_s=0.05).text(container.end_s)
    watch.take(container.exited(container.end_s + 1, code, oom_killed=name == "host-memory-exhausted"))
    assert watch.failed
    log = StartupLog(CATALOGUE)
    log.feed(kept + container_log.seen_besides(watch.diagnosis["evidence"]))
    log.close()
    assert {**log.settled(), "at_s": None} == {**watch.diagnosis, "at_s": None}


def test_certain_line(watch) -> None:
    """It is not waited for the container's end."""
    container = Container([ENGINE, WORKER_OOM])
    follow(watch, container, T0 + 60)
    assert watch.diagnosis["id"] == "gpu-out-of-memory"
    assert watch.inspect["now_s"] == T0 + 2
    assert watch.verdict_s() == 0.0


def test_uncertain_line_waits_for_a_better_one(watch) -> None:
    """Three seconds, by the host's clock."""
    container = Container([ENGINE, NCCL])
    follow(watch, container, T0 + 60, 0.5)
    assert watch.diagnosis["certain"] is False
    assert watch.inspect["now_s"] == T0 + 2 + startup_watcher.UNCERTAIN_S
    assert watch.verdict_s() == startup_watcher.UNCERTAIN_S


def test_better_line_comes(watch) -> None:
    """The cause is named, not what was seen first."""
    container = Container([ENGINE, NCCL, "x", WORKER_OOM])
    follow(watch, container, T0 + 60)
    assert watch.diagnosis["id"] == "gpu-out-of-memory"
    assert watch.inspect["now_s"] == T0 + 4


def test_uncertain_line_and_the_end(watch) -> None:
    """With the container's end nothing better will come."""
    container = Container([ENGINE, NCCL])
    watch.take(container.exited(T0 + 3))
    assert watch.failed
    assert watch.verdict_s() == 1.0


def test_start_that_survives_a_traceback(watch) -> None:
    """What it went on after within the three seconds is no failure, and the next one waits anew."""
    odd = ["Traceback (most recent call last):", '  File "/x/a.py", line 1, in f', "    f()", "OSError: odd"]
    container = Container([VERSION, ENGINE, *odd, LOADING, "x", "x", "x", "x", SHARDS], gap_s=0.7)
    assert follow(watch, container, container.end_s)[-1][0] == "load"
    assert not watch.failed


def test_unfinished_last_line(watch) -> None:
    """A container may die within a line."""
    text = "%s %s\n%s %s" % (iso(T0 + 1), ENGINE, iso(T0 + 2), WORKER_OOM)
    container = Container([])
    watch.take(container.inspect(T0 + 2, log_gz=packed(text)))
    assert not watch.failed
    watch.take(container.exited(T0 + 3))
    assert watch.diagnosis["id"] == "gpu-out-of-memory"


def test_oom_killed(watch) -> None:
    """The kernel's word counts more than the log."""
    container = Container([ENGINE, LOADING])
    watch.take(container.inspect(T0 + 2))
    watch.take(container.exited(T0 + 4, 137, oom_killed=True))
    assert watch.diagnosis["id"] == "host-memory-exhausted"
    assert watch.verdict_s() == pytest.approx(T0 + 4 - container.end_s - 0.1, abs=0.01)


def test_docker_error(watch) -> None:
    """A container that Docker could not start says nothing itself."""
    container = Container([], started_s=0)
    error = "failed to create task: nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown"
    watch.take(container.inspect(T0, state="created", ended=True, exit_code=128, docker_error=error, error=error))
    assert watch.diagnosis["id"] == "driver-not-loaded"


def test_refused(watch) -> None:
    """Docker would not even make it; there was no look."""
    watch.refuse("Error response from daemon: unknown or invalid runtime name: nvidia")
    assert watch.diagnosis["id"] == "nvidia-runtime-not-registered"
    assert (watch.failed, watch.verdict_s(), watch.start(), watch.again()) == (True, None, {}, "")


def test_no_verdict_while_there_is_more_to_read(watch) -> None:
    """A long log is read to its end first: the cause may come, or the start may have gone on."""
    container = Container([ENGINE, NCCL])
    watch.take(container.inspect(T0 + 100, log_more=True))
    watch.take(container.exited(T0 + 110, log_more=True))
    assert not watch.failed
    watch.take(container.exited(T0 + 111))
    assert watch.failed


def test_secrets(watch) -> None:
    """Given values are in no diagnosis."""
    watch = StartWatch(CATALOGUE, {}, ["PLANTED"], 0)
    container = Container([WORKER_OOM + " PLANTED"])
    watch.take(container.inspect(T0 + 1))
    assert watch.failed
    assert "PLANTED" not in str(watch.diagnosis)


@pytest.mark.parametrize(
    ("lines", "again"),
    [
        ([WORKER_OOM], ""),
        (["requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='huggingface.co', port=443): Read timed out."],
         "transient"),
        (["(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. "
          "Failed core proc(s): {}"], "once"),
    ],
)  # fmt: skip
def test_again(lines, again, watch) -> None:
    """Whether another start may get over it."""
    container = Container(lines)
    watch.take(container.exited(T0 + 5))
    assert watch.failed
    assert watch.again() == again


# ---------------------------------------------------------------------- limits


def test_phase_that_takes_too_long() -> None:
    """The limit of one phase, counted from its first line; a hang of the workers gets its name."""
    nccl = "(Worker_TP0 pid=9) INFO 11-24 10:00:08 [pynccl.py:1] vLLM is using nccl==2.27.3"
    container = Container([VERSION, ENGINE, nccl])
    watch = limited(distributed=30, total=1000)
    follow(watch, container, T0 + 100)
    assert (watch.stalled, watch.inspect["now_s"]) == ("distributed", T0 + 3 + 31)
    assert watch.diagnosis["id"] == "nccl-hang"
    assert watch.phase_s == 31
    assert watch.again() == ""


def test_stall_is_not_tried_again() -> None:
    """Another start would only take as long again."""
    wrapper = "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above."
    watch = limited(engine=0.5)
    watch.take(Container([ENGINE, wrapper], gap_s=0.5).inspect(T0 + 2))
    assert (watch.stalled, watch.diagnosis["class"], watch.again()) == ("engine", "once", "")


def test_other_phases_have_their_own_limits() -> None:
    """What was left behind is over."""
    container = Container([VERSION, ENGINE, LOADING])
    watch = limited(container_up=5, engine=5)
    follow(watch, container, T0 + 100)
    assert (watch.failed, watch.stalled) == (False, "")


def test_container_that_never_says_anything() -> None:
    """Its first phase has a limit too, also when nobody even starts it."""
    for changes in ({}, {"state": "created", "started_s": 0.0, "started_at": iso(0), "ended": True}):
        container = Container([])
        watch = limited(container_up=10)
        now_s = T0
        while not watch.failed and now_s < T0 + 100:
            watch.take(container.inspect(now_s, **changes))
            now_s += 1
        assert (watch.stalled, watch.inspect["now_s"]) == ("container_up", T0 + 11)
        assert watch.diagnosis["id"] == "unknown"


@pytest.mark.parametrize("attached_s", [0, 500])
def test_total(attached_s) -> None:
    """Counted from when the watch began: whoever attaches late gives it its whole time."""
    container = Container([VERSION, ENGINE, LOADING])
    watch = limited(total=60)
    now_s = T0 + attached_s
    while not watch.failed:
        watch.take(container.inspect(now_s))
        now_s += 1
    assert (watch.stalled, watch.inspect["now_s"]) == ("total", T0 + attached_s + 61)
    assert watch.waited_s == 61
    assert watch.elapsed_s == attached_s + 61


def test_total_of_a_container_that_was_replaced() -> None:
    """The new one gets its whole time."""
    watch = limited(total=60)
    follow(watch, Container([VERSION]), T0 + 50, 10)
    other = Container([VERSION], started_s=T0 + 55, identity="b" * 64)
    follow(watch, other, T0 + 110, 5)
    assert not watch.failed
    watch.take(other.inspect(T0 + 116))
    assert watch.stalled == "total"


def test_no_limits(watch) -> None:
    """A start may take as long as it likes."""
    container = Container([VERSION])
    follow(watch, container, T0 + 100_000, 5000)
    assert not watch.failed


def test_end_is_no_stall() -> None:
    """A container that ended did not run out of time."""
    container = Container([ENGINE, WORKER_OOM])
    watch = limited(total=60, engine=5)
    watch.take(container.inspect(T0))
    watch.take(container.exited(T0 + 1000))
    assert (watch.stalled, watch.diagnosis["id"]) == ("", "gpu-out-of-memory")
