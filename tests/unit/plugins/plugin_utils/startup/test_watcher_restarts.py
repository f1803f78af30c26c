# SPDX-License-Identifier: GPL-3.0-or-later
"""A world that does not hold still: containers replaced, removed, started again, and an engine that is silent."""

from __future__ import annotations

import pytest
from startup_lines import CONFIG, ENGINE, LOADING, NCCL, SHARDS, VERSION, WORKER_OOM
from watched_container import T0, Container, iso, missing, silent


@pytest.mark.parametrize("last", ["x", NCCL], ids=["healthy", "failing"])
def test_container_is_replaced(last, watch) -> None:
    """The new one is followed from its own beginning, and nothing of the old one counts."""
    old = Container([VERSION, ENGINE, LOADING, last])
    watch.take(old.inspect(T0 + 4))
    new = Container([VERSION, CONFIG], started_s=T0 + 5, identity="b" * 64)
    watch.take(new.inspect(T0 + 6))
    assert watch.note == "the container was replaced by another one (bbbbbbbbbbbb)"
    assert watch.line()[0] == "container_up"
    watch.take(new.inspect(T0 + 7))
    assert (watch.note, watch.line()[0], watch.elapsed_s, watch.phase_s) == ("", "config", 2, 0)
    watch.take(new.inspect(T0 + 20))
    assert not watch.failed
    assert [step["phase"] for step in watch.start()["phases"]] == ["container_up", "config"]


def test_container_is_gone_while_it_is_replaced(watch) -> None:
    """Whoever replaces it removes the old one first: for some seconds that is no end."""
    watch.take(Container([VERSION, CONFIG]).inspect(T0 + 2))
    watch.take(missing(T0 + 3))
    assert (watch.note, watch.failed, watch.gone) == ("the container is gone", False, False)
    watch.take(missing(T0 + 5))
    assert watch.note == ""
    new = Container([VERSION, CONFIG], started_s=T0 + 6, identity="b" * 64)
    watch.take(new.inspect(T0 + 6, state="created", started_s=0.0, started_at=iso(0), ended=True))
    assert "was replaced" in watch.note
    watch.take(new.inspect(T0 + 8))
    assert (watch.note, watch.line()[0]) == ("", "config")
    # and may be gone for as long again
    watch.take(missing(T0 + 14))
    assert (watch.failed, watch.gone) == (False, False)


@pytest.mark.parametrize(
    ("lines", "identity"), [([VERSION, CONFIG], ""), ([ENGINE, NCCL], "nccl-error")], ids=["healthy", "failing"]
)
def test_container_is_removed(lines, identity, watch) -> None:
    """It does not come back: no name is made up, but what its log said counts."""
    watch.take(Container(lines).inspect(T0 + 2))
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
    watch.take(container.inspect(T0 - 1, state="created", started_s=0.0, started_at=iso(0), ended=True))
    assert not watch.failed
    watch.take(container.inspect(T0 + 1))
    assert (watch.note, watch.failed, watch.elapsed_s) == ("", False, 1)


def test_docker_does_not_answer(watch) -> None:
    """It is told once, and the start goes on from where it was."""
    container = Container([VERSION, CONFIG])
    watch.take(container.inspect(T0 + 2))
    watch.take(silent(T0 + 3))
    assert watch.note == "Docker does not answer (Cannot connect to the Docker daemon)"
    watch.take(silent(T0 + 4))
    assert (watch.note, watch.line()[0], watch.elapsed_s, watch.phase_s) == ("", "config", 4, 2)
    watch.take(container.inspect(T0 + 5))
    assert (watch.note, watch.failed, watch.line()[0]) == ("", False, "config")


def test_docker_does_not_answer_at_first(watch) -> None:
    """Restarts of before are no loop."""
    watch.take(silent(T0))
    watch.take(Container([VERSION]).inspect(T0 + 1, restart_count=9))
    assert (watch.failed, watch.note) == (False, "")


def restarted(container: Container, now_s: float, count: int, started_s: float, **changes: object) -> dict:
    """A look at a container that Docker has started again."""
    container.started_s = started_s
    finished_s = started_s - 0.5
    changes = {"finished_s": finished_s, "finished_at": iso(finished_s), **changes}
    return container.inspect(now_s, restart_count=count, **changes)


@pytest.mark.parametrize("last", ["x", NCCL], ids=["silent", "failing"])
def test_started_again(last, watch) -> None:
    """The new run begins at the beginning; lines of the old one that come with it tell no failure of the new one."""
    container = Container([VERSION, ENGINE, LOADING, SHARDS, last, VERSION, CONFIG, "x", "x", "x"])
    watch.take(container.inspect(T0 + 3))
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
    watch.take(container.inspect(T0))
    for run in range(1, 4):
        assert not watch.failed
        if died:
            ended = {"state": "restarting", "finished_s": T0 + 3 * run + 0.1, **died}
            watch.take(container.inspect(T0 + 3 * run + 0.2, restart_count=run - 1, **ended))
            assert not watch.failed
        watch.take(restarted(container, T0 + 3 * run + 0.8, run, T0 + 3 * run + 0.7))
    assert watch.diagnosis["id"] == identity


def test_reason_of_a_loop_in_an_earlier_run(watch) -> None:
    """The present run has not come to its error yet."""
    container = Container([VERSION, ENGINE, WORKER_OOM, VERSION, ENGINE])
    watch.take(container.inspect(T0))
    watch.take(restarted(container, T0 + 5, 3, T0 + 3.7))
    assert watch.diagnosis["id"] == "gpu-out-of-memory"


def test_loop_that_was_there_before(watch) -> None:
    """Seen between two starts, with many behind it."""
    container = Container([VERSION, ENGINE, "x", VERSION, ENGINE])
    ended = {"state": "restarting", "exit_code": 139, "finished_s": container.end_s + 0.1}
    watch.take(container.inspect(T0 + 10, restart_count=12, **ended))
    assert watch.diagnosis["id"] == "segmentation-fault"


@pytest.mark.parametrize("last", ["x", WORKER_OOM], ids=["silent", "failing"])
def test_restarts_of_before_are_no_loop(last, watch) -> None:
    """A container that Docker restarted last month may be watched like any other; the old runs do not count."""
    container = Container([VERSION, ENGINE, LOADING, last, VERSION, CONFIG])
    watch.take(restarted(container, T0 + 6, 5, T0 + 4.5))
    assert (watch.failed, watch.note, watch.line()[0]) == (False, "", "config")


def test_restarts_of_a_new_container_are_its_own(watch) -> None:
    """Whoever replaced it while nobody looked may have had it restarted."""
    watch.take(Container([VERSION]).inspect(T0 + 1))
    new = Container([VERSION], started_s=T0 + 5, identity="b" * 64)
    watch.take(new.inspect(T0 + 6, restart_count=5))
    watch.take(new.inspect(T0 + 7, restart_count=5))
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
