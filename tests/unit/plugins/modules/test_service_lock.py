# SPDX-License-Identifier: GPL-3.0-or-later
"""The module service_lock, run as a program: taken, refused, given back, and nothing in check mode."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def run(run_module, tmp_path):
    """Run the module on a folder of a service."""
    (tmp_path / "medium").mkdir()

    def call(token: str, **more) -> dict:
        return run_module("service_lock", **{"folder": str(tmp_path / "medium"), "token": token, **more})

    return call


def test_one_at_a_time(run) -> None:
    """The second run is told who the first one is, and gets it when that one is done."""
    answer = run("a", holder={"who": "anna", "run": "Deploy"})
    assert (answer["taken"], answer["was"], answer["other"], answer["token"]) == (True, "", {}, "a")
    assert answer["changed"] is False
    answer = run("b")
    assert (answer["taken"], answer["other"]["who"], answer["other"]["run"]) == (False, "anna", "Deploy")
    run("b", state="absent")
    assert run("b")["taken"] is False
    assert run("a", state="absent")["changed"] is False
    assert run("b")["taken"] is True


def test_stale(run, tmp_path) -> None:
    """By silence for as long as given, or because the controller knows that the run is over."""
    lock = tmp_path / "medium" / "deployment.lock"
    run("a", holder={"who": "anna"})
    moment = lock.stat().st_mtime - 100
    os.utime(lock, (moment, moment))
    assert run("b", silent_s=200)["taken"] is False
    assert "no sign of life" in run("b", silent_s=50)["was"]
    assert run("c", dead=["b"])["was"] == "the run that held it is over"


def test_check_mode(run, tmp_path) -> None:
    """Nothing is taken or given back; a run that would be refused is."""
    answer = run("a", check=True)
    assert (answer["taken"], answer["other"]) == (False, {})
    assert list((tmp_path / "medium").iterdir()) == []
    run("a", holder={"who": "anna"})
    assert run("b", check=True)["other"]["who"] == "anna"
    run("a", state="absent", check=True)
    assert (tmp_path / "medium" / "deployment.lock").exists()


def test_no_folder(run, tmp_path) -> None:
    """A service that does not exist cannot be locked; check mode of a first deployment goes on."""
    folder = str(tmp_path / "none")
    answer = run("a", folder=folder)
    assert answer["failed"] is True
    assert "stage a release first" in answer["msg"]
    assert run("a", folder=folder, check=True)["other"] == {}
    assert run("a", folder=folder, state="absent").get("failed") is None
    assert not os.path.exists(folder)


def test_token_is_needed_to_give_it_back(run_module, tmp_path) -> None:
    """Nobody gives back what he has not, and a token that is empty takes no lock away."""
    answer = run_module("service_lock", folder=str(tmp_path), state="absent")
    assert answer["failed"] is True
    assert "token" in answer["msg"]
    assert run_module("service_lock", folder=str(tmp_path), state="absent", token=None).get("failed") is None


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    own = {"changed", "invocation", "_output"}
    assert set(run("a")) - own == set(documentation("service_lock", "RETURN"))
    assert set(run("a", state="absent")) - own == set()


def test_lock_that_cannot_be_written(run_module, tmp_path, mounted) -> None:
    """A disk that is full or read-only is named, and giving a lock back that cannot go fails nothing."""
    folder = tmp_path / "medium"
    folder.mkdir()
    mounted(folder, "ro,mode=0750")
    answer = run_module("service_lock", folder=str(folder), token="a")
    assert answer["failed"] is True
    assert "deployment.lock cannot be written: Read-only file system." in answer["msg"]
    assert "mounted read-only (disk at %s); it belongs to root, mode 0750" % folder in answer["msg"]
    assert answer["msg"].endswith("The running service was not touched.")
    assert run_module("service_lock", folder=str(folder), token="a", state="absent").get("failed", False) is False
