# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands with a time limit, with real processes."""

from __future__ import annotations

import pathlib
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        pytest.param(["sh", "-c", "echo out; echo err >&2; exit 7"], (7, "out\n", "err\n", False), id="status"),
        pytest.param(["sh", "-c", "printf '\\377'"], (0, "\ufffd", "", False), id="not-utf-8"),
        pytest.param(["sh", "-c", "echo $LC_ALL"], (0, "C\n", "", False), id="language"),
        pytest.param(["cat"], (0, "", "", False), id="no-input"),
        pytest.param(["no-such-program"], (127, "", "no-such-program: not found", False), id="missing"),
    ],
)
def test_run(argv, expected) -> None:
    """Status and both outputs are returned."""
    assert host_command.run(argv, 5) == expected


def test_folder_of_the_driver(tmp_path, monkeypatch) -> None:
    """A program beside PATH is found, as nvidia-smi in /usr/local/nvidia/bin; PATH comes first."""
    assert "/usr/local/nvidia/bin" in host_command._MORE_FOLDERS
    for folder in ("path", "more"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "nvidia-smi").write_text("#!/bin/sh\necho %s\n" % folder)
        (tmp_path / folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setattr(host_command, "_MORE_FOLDERS", (str(tmp_path / "more"),))
    monkeypatch.setenv("PATH", "/nothing")
    assert host_command.run(["nvidia-smi"], 5)[1] == "more\n"
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert host_command.run(["nvidia-smi"], 5)[1] == "path\n"


def test_not_startable(tmp_path, monkeypatch) -> None:
    """A file that the kernel refuses is told from one that is missing."""
    (tmp_path / "tool").write_text("no program\x00")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _out, err, timed_out = host_command.run(["tool"], 5)
    assert (status, timed_out) == (126, False)
    assert "tool: " in err


def test_time_limit_ends_the_children_too(tmp_path) -> None:
    """What was printed is kept, and nothing is left running."""
    pid = tmp_path / "pid"
    start = time.monotonic()
    result = host_command.run(["sh", "-c", "echo begun; sleep 60 & echo $! > %s; wait" % pid], 0.5)
    assert result == (124, "begun\n", "", True)
    assert time.monotonic() - start < 5
    child = int(pid.read_text())
    for _try in range(50):
        try:
            if "\nState:\tZ" in pathlib.Path("/proc/%d/status" % child).read_text():
                return
        except FileNotFoundError:
            return
        time.sleep(0.1)
    raise AssertionError("the child still runs")


def test_an_unkillable_program_is_left_behind(monkeypatch) -> None:
    """A program in state D ignores the signal; the caller goes on."""
    monkeypatch.setattr(host_command.os, "killpg", lambda pid, signal: None)
    monkeypatch.setattr(host_command, "GRACE_S", 0.1)
    start = time.monotonic()
    assert host_command.run(["sleep", "3"], 0.2)[0::3] == (124, True)
    assert time.monotonic() - start < 2


def test_background_children_do_not_hold_the_answer() -> None:
    """A child that keeps the outputs open is no reason to wait."""
    start = time.monotonic()
    assert host_command.run(["sh", "-c", "echo done; sleep 2 & exit 0"], 10)[:2] == (0, "done\n")
    assert time.monotonic() - start < 1.5
