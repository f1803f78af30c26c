# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that keeps a benchmark on a host: shell scripts tell events in the place of the container."""

from __future__ import annotations

import json
import os
import signal
import stat
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import runner as benchmark_runner

BEGUN = json.dumps({"event": "begun", "vllm_version": "0.32.0"})


@pytest.fixture
def folder(tmp_path):
    """The runner's folder."""
    path = tmp_path / "runner"
    path.mkdir()
    yield str(path)
    benchmark_runner.stop(str(path))


def settings(tmp_path, script: str, **more: object) -> dict:
    """Settings of a runner whose command is this shell script."""
    return {"command": ["sh", "-c", script], "timeout_s": 0, "results": str(tmp_path / "benchmarks" / "b"),
            "about": {"token": "t"}, **more}  # fmt: skip


def say(*events: dict) -> str:
    """A script that prints these events."""
    return "cat <<'END'\n%s\nEND\n" % "\n".join(json.dumps(event) for event in events)


def begin(folder: str, given: dict) -> bool:
    """Start the runner as a process."""
    return benchmark_runner.start(folder, given, dict(os.environ))


def wait(folder: str, until=lambda found: not found["alive"], limit_s: float = 10) -> dict:
    """Look until something is so."""
    end = time.monotonic() + limit_s
    while not until(found := benchmark_runner.inspect(folder)):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


def test_whole(folder, tmp_path) -> None:
    """What it tells becomes the state; results are written where they stay, readable by root and its group."""
    script = say(
        {"event": "begun", "vllm_version": "0.32.0"},
        {"event": "run", "index": 0}, {"event": "progress", "x": 3}, {"event": "result", "raw": '{"a": 1}'},
        {"event": "run", "index": 1}, {"event": "progress", "x": 5}, {"event": "result", "raw": '{"a": 2}'},
        {"event": "end"},
    )  # fmt: skip
    before = os.umask(0o077)  # of a root who is careful
    try:
        assert begin(folder, settings(tmp_path, script))
    finally:
        os.umask(before)
    found = wait(folder)
    assert found == {"about": {"token": "t"}, "begun": True, "vllm_version": "0.32.0", "index": 1, "x": 5,
                     "measured": 2, "problem": "", "lines": [], "exit_code": None, "ended": True,
                     "alive": False}  # fmt: skip
    results = tmp_path / "benchmarks" / "b"
    assert [path.read_text(encoding="utf-8") for path in sorted(results.iterdir())] == ['{"a": 1}\n', '{"a": 2}\n']
    assert [stat.S_IMODE(path.stat().st_mode) for path in (results.parent, results, results / "run-1.json")] == [
        0o750, 0o750, 0o640]  # fmt: skip


def test_on_the_way(folder, tmp_path) -> None:
    """The state is there while it runs; a second one does not begin; asked to end, it ends with its command."""
    script = say({"event": "begun", "vllm_version": "1"}, {"event": "run", "index": 0}, {"event": "progress", "x": 2})
    # it ends with its input, as the program in the container does
    assert begin(folder, settings(tmp_path, script + "cat >/dev/null; echo over > %s/over" % tmp_path))
    found = wait(folder, lambda found: found.get("x") == 2)
    assert (found["alive"], found["ended"], found["measured"]) == (True, False, 0)
    assert not begin(folder, settings(tmp_path, "exit 0", about={"token": "u"}))
    assert benchmark_runner.inspect(folder)["about"] == {"token": "t"}
    assert benchmark_runner.stop(folder)
    assert benchmark_runner.inspect(folder)["problem"] == "It was ended from outside."
    assert (tmp_path / "over").exists()
    assert not (tmp_path / "benchmarks").exists()
    benchmark_runner.forget(folder)
    assert benchmark_runner.inspect(folder) == {}
    assert begin(folder, settings(tmp_path, "exit 0", about={"token": "u"}))


@pytest.mark.parametrize(
    ("script", "problem", "lines", "exit_code"),
    [
        (say({"event": "refused", "problem": "busy"}), "busy", [], None),
        (say({"event": "broken", "problem": "exit code 1", "lines": ["a"]}), "exit code 1", ["a"], None),
        ("echo Error response from daemon; exit 126", "The benchmark broke off", ["Error response from daemon"], 126),
        ("echo '[1]'; printf 'no line end'; exit 137", "The benchmark broke off", ["[1]", "no line end"], 137),
        (say({"event": "begun", "vllm_version": ""}), "The benchmark broke off", [], 0),
    ],
)
def test_problems(folder, tmp_path, script, problem, lines, exit_code) -> None:
    """What the program says, and what is left to say when it says nothing."""
    assert begin(folder, settings(tmp_path, script))
    found = wait(folder)
    assert (found["problem"], found["lines"], found["exit_code"], found["ended"]) == (problem, lines, exit_code, True)


def test_time_limit(folder, tmp_path) -> None:
    """It ends after the limit, named by its variable."""
    assert begin(folder, settings(tmp_path, "echo '%s'; exec cat" % BEGUN, timeout_s=1))
    found = wait(folder)
    assert found["problem"] == "It took longer than 1 s (vllm_benchmark_timeout_s) and was ended."


def test_command_that_stays(folder, tmp_path, monkeypatch) -> None:
    """A command that does not end with its input is killed."""
    monkeypatch.setattr(benchmark_runner, "END_S", 0.2)
    monkeypatch.setattr(benchmark_runner, "TICK_S", 0.05)
    benchmark_runner.note_visit(folder)
    runner = benchmark_runner.Runner(folder, settings(tmp_path, "exec sleep 60", timeout_s=0.1))
    begun = time.monotonic()
    runner.run()
    assert time.monotonic() - begun < 5
    assert runner.state["ended"]


def test_abandoned(folder, tmp_path, monkeypatch) -> None:
    """One that nobody looks at ends by itself."""
    monkeypatch.setattr(benchmark_runner, "TICK_S", 0.05)
    benchmark_runner.note_visit(folder)
    long_ago = time.time() - benchmark_runner.ABANDONED_S - 1
    os.utime(os.path.join(folder, benchmark_runner.VISITED), (long_ago, long_ago))
    assert benchmark_runner.unvisited_s(folder) > benchmark_runner.ABANDONED_S
    runner = benchmark_runner.Runner(folder, settings(tmp_path, "cat"))
    runner.run()
    assert runner.state["problem"] == "Nobody has looked for 300 s, so it was ended."
    benchmark_runner.note_visit(folder)
    assert benchmark_runner.unvisited_s(folder) < 5


def test_killed(folder, tmp_path) -> None:
    """A runner that is killed is not taken for one that runs, and its command sees the end of its input."""
    assert begin(folder, settings(tmp_path, "echo '%s'; cat > /dev/null; echo over > %s/over" % (BEGUN, tmp_path)))
    wait(folder, lambda found: found["begun"])
    with open("/proc/locks", encoding="ascii") as handle:
        inode = os.stat(benchmark_runner.background(folder).lock_path).st_ino
        pid = next(int(line.split()[4]) for line in handle if line.split()[5].endswith(":%d" % inode))
    os.kill(pid, signal.SIGKILL)
    found = wait(folder)
    assert (found["ended"], found["problem"]) == (False, "")
    end = time.monotonic() + 10
    while not (tmp_path / "over").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_nothing_there(tmp_path) -> None:
    """A folder that nobody made, and a damaged state."""
    assert benchmark_runner.inspect(str(tmp_path / "none")) == {}
    assert benchmark_runner.unvisited_s(str(tmp_path)) == 0.0
    (tmp_path / "benchmark.json").write_text("{", encoding="utf-8")
    assert benchmark_runner.inspect(str(tmp_path)) == {}
