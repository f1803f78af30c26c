# SPDX-License-Identifier: GPL-3.0-or-later
"""A start judged from looks: real recordings cut anywhere, and a world that does not hold still."""

from __future__ import annotations

import base64
import datetime
import gzip
import pathlib
import re

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import watcher as startup_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.watcher import StartWatch

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "data" / "startup_logs"
CATALOGUE = failure_catalogue.load()

#: When the container is started, in seconds since 1970.
T0 = 1_780_000_000.0
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ")

OOM = "(Worker_TP0 pid=9) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
NCCL = "(Worker_TP0 pid=9) RuntimeError: NCCL error: unhandled system error"
ENGINE = "(EngineCore pid=5) INFO 11-24 10:00:05 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: x"
VERSION = "(APIServer pid=1) INFO 11-24 10:00:00 [api_utils.py:1] vLLM API server version 0.32.0"
CONFIG = "(APIServer pid=1) INFO 11-24 10:00:01 [model.py:1] Resolved architecture: Qwen2ForCausalLM"
LOADING = "(Worker_TP0 pid=9) INFO 11-24 10:00:10 [a.py:1] Starting to load model a/b..."
SHARDS = "Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02, 1.4it/s]"
READY = "(APIServer pid=1) INFO:     Application startup complete."


def iso(seconds: float) -> str:
    """A time as Docker writes it; never for 0."""
    if not seconds:
        return "0001-01-01T00:00:00Z"
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%09dZ" % (moment.microsecond * 1000)


def packed(text: str) -> str:
    """A log as service_status_info hands it on."""
    return base64.b64encode(gzip.compress(text.encode())).decode() if text else ""


def recording(name: str) -> list[str]:
    """The lines of a recorded start, without time stamps of their own; bars keep their carriage returns."""
    text = (FOLDER / (name + ".log")).read_bytes().decode("utf-8")
    return [STAMP.sub("", line) for line in text.split("\n") if line]


class Container:
    """A container that says its lines ``gap_s`` apart, and what service_status_info sees of it."""

    def __init__(self, lines: list[str], gap_s: float = 1.0, started_s: float = T0, identity: str = "a" * 64) -> None:
        self.lines = [(started_s + (number + 1) * gap_s, line) for number, line in enumerate(lines)]
        self.started_s, self.id = started_s, identity
        self.read = 0

    @property
    def end_s(self) -> float:
        """When it has said all."""
        return self.lines[-1][0]

    def text(self, now_s: float) -> str:
        """What it said since the last look."""
        new = [(moment, line) for moment, line in self.lines[self.read :] if moment <= now_s]
        self.read += len(new)
        return "".join("%s %s\n" % (iso(moment), line) for moment, line in new)

    def look(self, now_s: float, **changes: object) -> dict:
        """One look."""
        look = {
            "healthy": False, "ended": False, "state": "running", "exit_code": 0, "oom_killed": False,
            "restart_count": 0, "restart_policy": "no", "started_at": iso(self.started_s), "started_s": self.started_s,
            "http_status": 0, "error": "", "docker_error": "", "id": self.id, "finished_at": iso(0), "finished_s": 0.0,
            "now_s": now_s, "log_gz": packed(self.text(now_s)), "log_cursor": {}, "log_more": False,
            "lock_problem": "", "download_bytes": 0,
        }  # fmt: skip
        assert set(changes) <= {*look, "starts", "lock"}, changes
        return {**look, **changes}

    def exited(self, now_s: float, exit_code: int = 1, **changes: object) -> dict:
        """One look after its end, a moment after its last line."""
        finished_s = (self.end_s if self.lines else self.started_s) + 0.1
        changes = {"finished_s": finished_s, "finished_at": iso(finished_s), **changes}
        return self.look(now_s, **{"state": "exited", "ended": True, "exit_code": exit_code, **changes})


def missing(now_s: float) -> dict:
    """A look at no container."""
    look = Container([], started_s=0).look(now_s, state="missing", ended=True, error="No such container: c")
    return {**look, "id": "", "started_at": ""}


def silent(now_s: float) -> dict:
    """A look at a host whose engine does not answer."""
    return {**missing(now_s), "state": "unknown", "ended": False, "error": "Cannot connect to the Docker daemon"}


@pytest.fixture
def watch() -> StartWatch:
    """A watch without limits."""
    return StartWatch(CATALOGUE, {}, [], 0)


def limited(**limits: float) -> StartWatch:
    """A watch with limits."""
    return StartWatch(CATALOGUE, limits, [], 0)


def follow(watch: StartWatch, container: Container, until_s: float, step_s: float = 1.0) -> list[tuple]:
    """Take looks until the watch is sure, or the time is over; return the lines that it would print."""
    lines, now_s = [], container.started_s
    while now_s <= until_s and not watch.failed:
        watch.take(container.look(now_s))
        lines.append(watch.line())
        now_s += step_s
    return lines


def test_looks_are_those_of_the_module(documentation) -> None:
    """What is fed here has the keys that the module returns."""
    assert set(Container([]).look(T0)) == set(documentation("service_status_info", "RETURN")) - {"starts", "lock"}


# ---------------------------------------------------------------------- healthy


@pytest.mark.parametrize("name", ["healthy-eager", "healthy-tensor-parallel-2"])
@pytest.mark.parametrize("step_s", [1.0, 7.0])
def test_healthy(name, step_s, watch) -> None:
    """Never called failed, through its phases in their order, and remembered with their durations."""
    container = Container(recording(name))
    lines = follow(watch, container, container.end_s, step_s)
    watch.take(container.look(container.end_s + 2, healthy=True))
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
        watch.take(container.look(container.end_s, log_gz=packed(text[begin : begin + size]), log_more=True))
    watch.take(container.exited(container.end_s + 1))
    whole = StartWatch(CATALOGUE, {}, [], 0)
    whole.take(container.exited(container.end_s + 1, log_gz=packed(text)))
    assert watch.diagnosis == whole.diagnosis
    assert watch.start() == whole.start()
    assert len(watch.start()["phases"]) > 2


def test_nothing_was_read(watch) -> None:
    """A service that was healthy at the first look has no start to remember."""
    container = Container([READY])
    watch.take(container.look(T0 + 1000, healthy=True, log_gz=""))
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
        ("hub-not-reachable", "hub-not-reachable", 1),
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


def test_certain_line(watch) -> None:
    """It is not waited for the container's end."""
    container = Container([ENGINE, OOM])
    follow(watch, container, T0 + 60)
    assert watch.diagnosis["id"] == "gpu-out-of-memory"
    assert watch.look["now_s"] == T0 + 2
    assert watch.verdict_s() == 0.0


def test_uncertain_line_waits_for_a_better_one(watch) -> None:
    """Three seconds, by the host's clock."""
    container = Container([ENGINE, NCCL])
    follow(watch, container, T0 + 60, 0.5)
    assert watch.diagnosis["certain"] is False
    assert watch.look["now_s"] == T0 + 2 + startup_watcher.UNCERTAIN_S
    assert watch.verdict_s() == startup_watcher.UNCERTAIN_S


def test_better_line_comes(watch) -> None:
    """The cause is named, not what was seen first."""
    container = Container([ENGINE, NCCL, "x", OOM])
    follow(watch, container, T0 + 60)
    assert watch.diagnosis["id"] == "gpu-out-of-memory"
    assert watch.look["now_s"] == T0 + 4


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
    text = "%s %s\n%s %s" % (iso(T0 + 1), ENGINE, iso(T0 + 2), OOM)
    container = Container([])
    watch.take(container.look(T0 + 2, log_gz=packed(text)))
    assert not watch.failed
    watch.take(container.exited(T0 + 3))
    assert watch.diagnosis["id"] == "gpu-out-of-memory"


def test_oom_killed(watch) -> None:
    """The kernel's word counts more than the log."""
    container = Container([ENGINE, LOADING])
    watch.take(container.look(T0 + 2))
    watch.take(container.exited(T0 + 4, 137, oom_killed=True))
    assert watch.diagnosis["id"] == "host-memory-exhausted"
    assert watch.verdict_s() == pytest.approx(T0 + 4 - container.end_s - 0.1, abs=0.01)


def test_docker_error(watch) -> None:
    """A container that Docker could not start says nothing itself."""
    container = Container([], started_s=0)
    error = "failed to create task: nvidia-container-cli: initialization error: nvml error: driver not loaded: unknown"
    watch.take(container.look(T0, state="created", ended=True, exit_code=128, docker_error=error, error=error))
    assert watch.diagnosis["id"] == "driver-not-loaded"


def test_refused(watch) -> None:
    """Docker would not even make it; there was no look."""
    watch.refuse("Error response from daemon: unknown or invalid runtime name: nvidia")
    assert watch.diagnosis["id"] == "nvidia-runtime-not-registered"
    assert (watch.failed, watch.verdict_s(), watch.start(), watch.again()) == (True, None, {}, "")


def test_no_verdict_while_there_is_more_to_read(watch) -> None:
    """A long log is read to its end first: the cause may come, or the start may have gone on."""
    container = Container([ENGINE, NCCL])
    watch.take(container.look(T0 + 100, log_more=True))
    watch.take(container.exited(T0 + 110, log_more=True))
    assert not watch.failed
    watch.take(container.exited(T0 + 111))
    assert watch.failed


def test_secrets(watch) -> None:
    """Given values are in no diagnosis."""
    watch = StartWatch(CATALOGUE, {}, ["PLANTED"], 0)
    container = Container([OOM + " PLANTED"])
    watch.take(container.look(T0 + 1))
    assert watch.failed
    assert "PLANTED" not in str(watch.diagnosis)


@pytest.mark.parametrize(
    ("lines", "again"),
    [
        ([OOM], ""),
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
    assert (watch.stalled, watch.look["now_s"]) == ("distributed", T0 + 3 + 31)
    assert watch.diagnosis["id"] == "nccl-hang"
    assert watch.phase_s == 31
    assert watch.again() == ""


def test_stall_is_not_tried_again() -> None:
    """Another start would only take as long again."""
    wrapper = "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above."
    watch = limited(engine=0.5)
    watch.take(Container([ENGINE, wrapper], gap_s=0.5).look(T0 + 2))
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
            watch.take(container.look(now_s, **changes))
            now_s += 1
        assert (watch.stalled, watch.look["now_s"]) == ("container_up", T0 + 11)
        assert watch.diagnosis["id"] == "unknown"


@pytest.mark.parametrize("attached_s", [0, 500])
def test_total(attached_s) -> None:
    """Counted from when the watch began: whoever attaches late gives it its whole time."""
    container = Container([VERSION, ENGINE, LOADING])
    watch = limited(total=60)
    now_s = T0 + attached_s
    while not watch.failed:
        watch.take(container.look(now_s))
        now_s += 1
    assert (watch.stalled, watch.look["now_s"]) == ("total", T0 + attached_s + 61)
    assert watch.waited_s == 61
    assert watch.elapsed_s == attached_s + 61


def test_total_of_a_container_that_was_replaced() -> None:
    """The new one gets its whole time."""
    watch = limited(total=60)
    follow(watch, Container([VERSION]), T0 + 50, 10)
    other = Container([VERSION], started_s=T0 + 55, identity="b" * 64)
    follow(watch, other, T0 + 110, 5)
    assert not watch.failed
    watch.take(other.look(T0 + 116))
    assert watch.stalled == "total"


def test_no_limits(watch) -> None:
    """A start may take as long as it likes."""
    container = Container([VERSION])
    follow(watch, container, T0 + 100_000, 5000)
    assert not watch.failed


def test_end_is_no_stall() -> None:
    """A container that ended did not run out of time."""
    container = Container([ENGINE, OOM])
    watch = limited(total=60, engine=5)
    watch.take(container.look(T0))
    watch.take(container.exited(T0 + 1000))
    assert (watch.stalled, watch.diagnosis["id"]) == ("", "gpu-out-of-memory")


# ---------------------------------------------------------------------- a world that does not hold still


@pytest.mark.parametrize("last", ["x", NCCL], ids=["healthy", "failing"])
def test_container_is_replaced(last, watch) -> None:
    """The new one is followed from its own beginning, and nothing of the old one counts."""
    old = Container([VERSION, ENGINE, LOADING, last])
    watch.take(old.look(T0 + 4))
    new = Container([VERSION, CONFIG], started_s=T0 + 5, identity="b" * 64)
    watch.take(new.look(T0 + 6))
    assert watch.note == "the container was replaced by another one (bbbbbbbbbbbb)"
    assert watch.line()[0] == "container_up"
    watch.take(new.look(T0 + 7))
    assert (watch.note, watch.line()[0], watch.elapsed_s, watch.phase_s) == ("", "config", 2, 0)
    watch.take(new.look(T0 + 20))
    assert not watch.failed
    assert [step["phase"] for step in watch.start()["phases"]] == ["container_up", "config"]


def test_container_is_gone_while_it_is_replaced(watch) -> None:
    """Whoever replaces it removes the old one first: for some seconds that is no end."""
    watch.take(Container([VERSION, CONFIG]).look(T0 + 2))
    watch.take(missing(T0 + 3))
    assert (watch.note, watch.failed, watch.gone) == ("the container is gone", False, False)
    watch.take(missing(T0 + 5))
    assert watch.note == ""
    new = Container([VERSION, CONFIG], started_s=T0 + 6, identity="b" * 64)
    watch.take(new.look(T0 + 6, state="created", started_s=0.0, started_at=iso(0), ended=True))
    assert "was replaced" in watch.note
    watch.take(new.look(T0 + 8))
    assert (watch.note, watch.line()[0]) == ("", "config")
    # and may be gone for as long again
    watch.take(missing(T0 + 14))
    assert (watch.failed, watch.gone) == (False, False)


@pytest.mark.parametrize(
    ("lines", "identity"), [([VERSION, CONFIG], ""), ([ENGINE, NCCL], "nccl-error")], ids=["healthy", "failing"]
)
def test_container_is_removed(lines, identity, watch) -> None:
    """It does not come back: no name is made up, but what its log said counts."""
    watch.take(Container(lines).look(T0 + 2))
    for second in range(3, 13):
        watch.take(missing(T0 + second))
        assert (watch.failed, watch.gone) == (False, False)
    watch.take(missing(T0 + 13))
    assert bool(watch.diagnosis) is bool(identity)
    assert watch.gone is not bool(identity)
    assert watch.seen is True


def test_there_is_no_container(watch) -> None:
    """No failure of a start; the caller says what to do."""
    watch.take(missing(T0))
    assert (watch.failed, watch.seen, watch.note) == (False, False, "")


def test_created_and_then_started(watch) -> None:
    """The first start is not a second one, and one that was only made has not ended."""
    container = Container([VERSION])
    watch.take(container.look(T0 - 1, state="created", started_s=0.0, started_at=iso(0), ended=True))
    assert not watch.failed
    watch.take(container.look(T0 + 1))
    assert (watch.note, watch.failed, watch.elapsed_s) == ("", False, 1)


def test_docker_does_not_answer(watch) -> None:
    """It is told once, and the start goes on from where it was."""
    container = Container([VERSION, CONFIG])
    watch.take(container.look(T0 + 2))
    watch.take(silent(T0 + 3))
    assert watch.note == "Docker does not answer (Cannot connect to the Docker daemon)"
    watch.take(silent(T0 + 4))
    assert (watch.note, watch.line()[0], watch.elapsed_s, watch.phase_s) == ("", "config", 4, 2)
    watch.take(container.look(T0 + 5))
    assert (watch.note, watch.failed, watch.line()[0]) == ("", False, "config")


def test_docker_does_not_answer_at_first(watch) -> None:
    """Restarts of before are no loop."""
    watch.take(silent(T0))
    watch.take(Container([VERSION]).look(T0 + 1, restart_count=9))
    assert (watch.failed, watch.note) == (False, "")


def restarted(container: Container, now_s: float, count: int, started_s: float, **changes: object) -> dict:
    """A look at a container that Docker has started again."""
    container.started_s = started_s
    finished_s = started_s - 0.5
    changes = {"finished_s": finished_s, "finished_at": iso(finished_s), **changes}
    return container.look(now_s, restart_count=count, **changes)


@pytest.mark.parametrize("last", ["x", NCCL], ids=["silent", "failing"])
def test_started_again(last, watch) -> None:
    """The new run begins at the beginning; lines of the old one that come with it tell no failure of the new one."""
    container = Container([VERSION, ENGINE, LOADING, SHARDS, last, VERSION, CONFIG, "x", "x", "x"])
    watch.take(container.look(T0 + 3))
    assert watch.line()[0] == "load"
    watch.take(restarted(container, T0 + 7, 1, T0 + 5.6))
    assert watch.note == "the container was started again"
    assert (watch.line()[0], watch.failed) == ("config", False)
    watch.take(restarted(container, T0 + 12, 1, T0 + 5.6))
    assert (watch.note, watch.failed) == ("", False)
    assert watch.phase_s == 5
    assert [step["phase"] for step in watch.start()["phases"]] == ["container_up", "config"]


@pytest.mark.parametrize(
    ("died", "identity"),
    [
        pytest.param({"exit_code": 137, "oom_killed": True}, "host-memory-exhausted", id="by-docker"),
        pytest.param({"exit_code": 139}, "segmentation-fault", id="by-its-exit-code"),
        pytest.param(None, "unknown", id="never-seen-dead"),
    ],
)
def test_restart_loop(died, identity, watch) -> None:
    """Three restarts while it is watched make a loop; what it died of is remembered while it runs once more."""
    container = Container([VERSION, ENGINE, "x"] * 5)
    watch.take(container.look(T0))
    for run in range(1, 4):
        assert not watch.failed
        if died:
            ended = {"state": "restarting", "finished_s": T0 + 3 * run + 0.1, **died}
            watch.take(container.look(T0 + 3 * run + 0.2, restart_count=run - 1, **ended))
            assert not watch.failed
        watch.take(restarted(container, T0 + 3 * run + 0.8, run, T0 + 3 * run + 0.7))
    assert watch.diagnosis["id"] == identity


def test_reason_of_a_loop_in_an_earlier_run(watch) -> None:
    """The present run has not come to its error yet."""
    container = Container([VERSION, ENGINE, OOM, VERSION, ENGINE])
    watch.take(container.look(T0))
    watch.take(restarted(container, T0 + 5, 3, T0 + 3.7))
    assert watch.diagnosis["id"] == "gpu-out-of-memory"


def test_loop_that_was_there_before(watch) -> None:
    """Seen between two starts, with many behind it."""
    container = Container([VERSION, ENGINE, "x", VERSION, ENGINE])
    ended = {"state": "restarting", "exit_code": 139, "finished_s": container.end_s + 0.1}
    watch.take(container.look(T0 + 10, restart_count=12, **ended))
    assert watch.diagnosis["id"] == "segmentation-fault"


@pytest.mark.parametrize("last", ["x", OOM], ids=["silent", "failing"])
def test_restarts_of_before_are_no_loop(last, watch) -> None:
    """A container that Docker restarted last month may be watched like any other; the old runs do not count."""
    container = Container([VERSION, ENGINE, LOADING, last, VERSION, CONFIG])
    watch.take(restarted(container, T0 + 6, 5, T0 + 4.5))
    assert (watch.failed, watch.note, watch.line()[0]) == (False, "", "config")


def test_restarts_of_a_new_container_are_its_own(watch) -> None:
    """Whoever replaced it while nobody looked may have had it restarted."""
    watch.take(Container([VERSION]).look(T0 + 1))
    new = Container([VERSION], started_s=T0 + 5, identity="b" * 64)
    watch.take(new.look(T0 + 6, restart_count=5))
    watch.take(new.look(T0 + 7, restart_count=5))
    assert not watch.failed


def test_count_begins_anew(watch) -> None:
    """Somebody starts it by hand, and the engine counts from 0."""
    container = Container([VERSION] * 9)
    watch.take(restarted(container, T0 + 1, 5, T0))
    watch.take(restarted(container, T0 + 3, 0, T0 + 2))
    watch.take(restarted(container, T0 + 5, 2, T0 + 4))
    assert not watch.failed
    watch.take(restarted(container, T0 + 7, 3, T0 + 6))
    assert watch.failed


# ---------------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], "[container_up] the container is up"),
        ([VERSION, CONFIG], "[config] reading the configuration"),
        ([LOADING], "[load] loading weights"),
        ([LOADING, SHARDS], "[load] loading weights 2/5 (40 %)"),
        (["Fetching 9 files:  44%|####      | 4/9 [00:01<00:01,  2.94it/s]"],
         "[download] downloading weights 4/9 (44 %)"),
        (["model-1.safetensors:  43%|####  | 1.70G/3.95G [00:10<00:13, 1MB/s]"],
         "[download] downloading weights: 1.58 GiB of 3.68 GiB (43 %)"),
        ([LOADING, "INFO 11-24 10:00:20 [b.py:1] Dynamo bytecode transform time: 8.31 s",
          "INFO 11-24 10:00:21 [b.py:1] Compiling a graph for dynamic shape takes 31.0 s"],
         "[compile] compiling, cold cache"),
        (["INFO 11-24 10:00:22 [k.py:1] GPU KV cache size: 86,176 tokens"],
         "[memory] measuring memory for the KV cache, KV cache 86,176 tokens"),
        (["INFO 11-24 10:00:22 [k.py:1] GPU KV cache size: 86,176 tokens",
          "Capturing CUDA graphs (decode, FULL):  20%|##  | 7/35 [00:01<00:02, 19.9it/s]"],
         "[graphs] capturing CUDA graphs 7/35 (20 %), KV cache 86,176 tokens"),
        ([READY], "[serving] the server is up"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_line(lines, shown, watch) -> None:
    """Phase, how far, what is known."""
    container = Container(lines)
    watch.take(container.look(T0 + 65))
    phase, text, elapsed, left = watch.line()
    assert text == shown
    assert text.startswith("[%s] " % phase)
    assert (elapsed, left) == ("1 min 5 s", "")


def test_every_phase_has_its_words() -> None:
    """None is forgotten."""
    assert tuple(startup_watcher.WORDS) == PHASES


def recorded(image: str, **phases: float) -> dict:
    """A start that the host remembers."""
    return {"image": image, "model": "m", "phases": [{"phase": p, "duration_s": s} for p, s in phases.items()]}


@pytest.mark.parametrize(
    ("lines", "now_s", "left"),
    [
        pytest.param([VERSION], 2, "about 3 min 8 s left", id="begin"),
        pytest.param([VERSION, LOADING], 32, "about 2 min 30 s left", id="half-through"),
        pytest.param([VERSION, LOADING, SHARDS], 42, "about 3 min 0 s left", id="by-its-own-pace"),
        pytest.param([VERSION, LOADING], 500, "about 2 min 0 s left", id="longer-than-last-time"),
        pytest.param(
            ["Graph capturing finished in 12 secs, took 0.55 GiB"], 500, "longer than last time", id="last-phase"
        ),
        pytest.param([READY], 2, "", id="up"),
    ],
)
def test_time_left(lines, now_s, left, watch) -> None:
    """By the durations that this host recorded last time."""
    container = Container(lines)
    starts = [
        {**recorded("other", load=1.0), "model": "x"},
        recorded("i", container_up=10.0, load=60.0, compile=100.0, graphs=20.0),
    ]
    watch.take(container.look(T0, starts=starts), "i", "m")
    watch.take(container.look(T0 + now_s))
    assert watch.line()[3] == left


def test_another_model_says_nothing(watch) -> None:
    """A start of another model is no measure."""
    watch.take(Container([VERSION]).look(T0 + 1, starts=[recorded("i", load=60.0)]), "i", "other")
    assert watch.line()[3] == ""


# ---------------------------------------------------------------------- download


def test_download_grows() -> None:
    """The cache tells what the log does not: the phase, how much, and how much of it all."""
    watch = StartWatch(CATALOGUE, {}, [], 4 * 2**30)
    container = Container([VERSION, ENGINE, LOADING])
    watch.take(container.look(T0 + 2))
    assert watch.download_wanted is True
    watch.take(container.look(T0 + 3, download_bytes=2**30))
    assert watch.line()[0] == "load"  # it may have been there before
    watch.take(container.look(T0 + 4, download_bytes=2**31))
    assert watch.line()[:2] == ("download", "[download] downloading weights: 2.00 GiB of 4.00 GiB (50 %)")
    watch.take(container.look(T0 + 5, download_bytes=2**32))
    assert watch.line()[1] == "[download] downloading weights: 4.00 GiB"


def test_download_of_unknown_size(watch) -> None:
    """How much there is, without a percentage."""
    container = Container([VERSION, ENGINE])
    watch.take(container.look(T0 + 2, download_bytes=1))
    watch.take(container.look(T0 + 3, download_bytes=2**30))
    assert watch.line()[1] == "[download] downloading weights: 1.00 GiB"


@pytest.mark.parametrize(("lines", "wanted"), [([VERSION], False), ([ENGINE], True), ([READY], False)])
def test_when_the_cache_is_looked_at(lines, wanted, watch) -> None:
    """Only in the phases in which weights may be on their way."""
    watch.take(Container(lines).look(T0 + 2))
    assert watch.download_wanted is wanted
