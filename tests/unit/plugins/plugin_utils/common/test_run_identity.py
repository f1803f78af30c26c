# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a run is, and whether another one on this controller is over: with real processes."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_identity


@pytest.fixture
def sleeper():
    """A process that goes on until the test ends."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def token_of(pid: int) -> str:
    """The token that a run with this process would have."""
    return ":".join((run_identity._controller(), str(pid), run_identity._started(pid) or "-", "abc"))


def test_new_token() -> None:
    """It names the process whose child this one is, and no two are the same."""
    token, other = run_identity.new_token(), run_identity.new_token()
    assert token != other
    assert token.split(":")[1] == str(os.getppid())
    assert run_identity.is_over(token) is False


def test_process_that_lives_and_dies(sleeper) -> None:
    """Over when it is, also while nobody has waited for it."""
    token = token_of(sleeper.pid)
    assert run_identity.is_over(token) is False
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert run_identity.is_over(token) is True
    sleeper.wait()
    assert run_identity.is_over(token) is True


def test_number_that_is_used_again(sleeper) -> None:
    """Another process with the same number is another run."""
    controller, pid, started, chance = token_of(sleeper.pid).split(":")
    assert run_identity.is_over(":".join((controller, pid, str(int(started) - 1), chance))) is True


@pytest.mark.parametrize("token", ["", "x", "a:b:c", "other-controller:1:5:abc", ":1:5:abc", "-:1:5:abc", "%s:x:5:abc"])
def test_what_cannot_be_seen_from_here(token) -> None:
    """A run on another controller, or a token that is none, is never known to be over."""
    token = token.replace("%s", run_identity._controller())
    assert run_identity.is_over(token) is False


def test_process_of_another_user_that_is_hidden(monkeypatch, tmp_path) -> None:
    """Where /proc hides other users' processes, one that exists is not taken for dead."""
    token = "%s:1:5:abc" % run_identity._controller()
    controller = run_identity._controller()
    monkeypatch.setattr(run_identity, "_controller", lambda: controller)
    monkeypatch.setattr(run_identity, "_PROC", tmp_path)

    def kill(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(run_identity.os, "kill", kill)
    assert run_identity.is_over(token) is False

    def gone(_pid: int, _signal: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(run_identity.os, "kill", gone)
    assert run_identity.is_over(token) is True


def test_name_space_that_is_used_again(monkeypatch, tmp_path) -> None:
    """The next container may get the number of the name space of the one before: its first process tells them apart."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b\n", encoding="ascii")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026532000]")
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(run_identity, "_PROC", tmp_path)
    monkeypatch.setattr(run_identity.socket, "gethostname", lambda: "the-same")

    def container(started: int) -> str:
        (tmp_path / "1" / "stat").write_text("1 (init) S %s" % " ".join(["0"] * 18 + [str(started)]), encoding="ascii")
        return run_identity._controller()

    first = container(5000)
    token = "%s:12:4900:abc" % first
    assert run_identity.is_over(token) is True, "within one container a process that is gone is seen to be"
    assert container(5000) == first
    assert container(9000) != first
    assert run_identity.is_over(token) is False, "in the next one nothing is known of it"


def test_controller_that_is_no_linux(monkeypatch, tmp_path) -> None:
    """Without /proc there are tokens, and nobody is ever known to be over."""
    monkeypatch.setattr(run_identity, "_PROC", tmp_path)
    token = run_identity.new_token()
    assert token.startswith("-:%d:-:" % os.getppid())
    assert run_identity.is_over(token) is False


def test_holder() -> None:
    """User, machine and play; in AWX its own words."""
    found = run_identity.holder({"ansible_play_name": "Deploy"})
    assert found["who"].startswith(getpass.getuser() + " on ")
    assert found["who"].endswith(", process %d" % os.getppid())
    assert found["run"] == "Deploy"
    assert run_identity.holder({})["run"] == ""
    job = {"awx_job_id": 7, "awx_user_name": "anna", "ansible_play_name": "Deploy"}
    assert run_identity.holder(job) == {"who": "anna by AWX job 7", "run": "Deploy"}
    assert run_identity.holder({"tower_job_id": 7})["who"] == "%s by AWX job 7" % getpass.getuser()


def test_user_without_a_name(monkeypatch) -> None:
    """A container may run with a user id that nobody has named."""

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert run_identity.holder({})["who"].startswith("uid %d on " % os.getuid())
