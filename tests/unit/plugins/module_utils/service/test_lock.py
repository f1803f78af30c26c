# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment at a time: who has the lock, when it is stale, and what a holder sees that lost it."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock

ANNA = {"who": "anna on host, process 7", "run": "Deploy"}


@pytest.fixture
def lock(tmp_path) -> service_lock.Lock:
    """The lock of an empty folder."""
    return service_lock.Lock(str(tmp_path), 60)


def age(lock: service_lock.Lock, seconds: float) -> None:
    """Let the last sign of life be that long ago."""
    moment = time.time() - seconds
    os.utime(lock.path, (moment, moment))


def test_take_and_release(lock) -> None:
    """Taken once, refused to others with the holder's name, free again."""
    assert lock.holder() == {}
    assert lock.take("a", ANNA, []) == {"taken": True, "was": "", "other": {}}
    answer = lock.take("b", {"who": "bob"}, [])
    assert (answer["taken"], answer["was"]) == (False, "")
    other = answer["other"]
    assert (other["who"], other["run"], other["token"]) == (ANNA["who"], "Deploy", "a")
    assert other["silent_s"] == 0
    assert other["since"].endswith(" UTC")
    assert "boot_id" not in other
    assert lock.holder() == other
    assert lock.release("b") is False
    assert lock.release("a") is True
    assert lock.release("a") is False
    assert lock.holder() == {}
    assert lock.take("b", {"who": "bob"}, [])["taken"] is True
    assert os.listdir(lock.folder) == [service_lock.FILE]


def test_again_by_the_holder(lock) -> None:
    """Whoever has it may take it again, and that is no older lock."""
    lock.take("a", ANNA, [])
    age(lock, 1000)
    assert lock.take("a", ANNA, []) == {"taken": True, "was": "", "other": {}}
    assert lock.holder()["silent_s"] == 0


@pytest.mark.parametrize(
    ("silent_s", "dead", "was"),
    [
        (0, [], ""),
        (55, ["x"], ""),
        (65, [], "no sign of life for 65 s"),
        (0, ["a"], "is over"),
        # a clock that was set back: a little, and far
        (-30, [], ""),
        (-4000, [], "no sign of life"),
    ],
)
def test_stale(silent_s, dead, was, lock) -> None:
    """By the death of its run, or by silence."""
    lock.take("a", ANNA, [])
    age(lock, silent_s)
    kept = lock.take("b", {"who": "bob"}, dead, keep=True)
    assert (kept["taken"], bool(kept["other"])) == (False, not was)
    assert lock.holder()["token"] == "a"
    answer = lock.take("b", {"who": "bob"}, dead)
    assert answer["taken"] is bool(was)
    assert was in answer["was"]
    assert lock.holder()["token"] == ("b" if was else "a")


def test_stale_after_a_boot(lock, tmp_path, monkeypatch) -> None:
    """Nobody survives a boot of the host."""
    lock.take("a", ANNA, [])
    boot = tmp_path / "boot_id"
    boot.write_text("another\n", encoding="ascii")
    monkeypatch.setattr(service_lock, "BOOT_ID", str(boot))
    assert lock.take("b", {"who": "bob"}, [])["was"] == "the host has booted since"


def test_sign_of_life(lock) -> None:
    """It makes the lock younger; whoever lost it learns to whom."""
    lock.take("a", ANNA, [])
    age(lock, 50)
    assert lock.sign_of_life("a") == ""
    assert lock.holder()["silent_s"] == 0
    age(lock, 100)
    lock.take("b", {"who": "bob"}, [])
    before = os.stat(lock.path).st_mtime_ns
    assert "was taken over by bob at 20" in lock.sign_of_life("a")
    assert os.stat(lock.path).st_mtime_ns == before
    lock.release("b")
    assert lock.sign_of_life("a").endswith("deployment.lock was removed")
    assert not os.path.exists(lock.path)


def test_folder_that_was_removed(tmp_path) -> None:
    """No crash, and no folder made for a lock."""
    lock = service_lock.Lock(str(tmp_path / "none"))
    assert lock.sign_of_life("a") == "%s was removed" % lock.folder
    assert lock.release("a") is False
    assert lock.holder() == {}
    assert not os.path.exists(lock.folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_damaged(text, lock) -> None:
    """A damaged lock is one of an unknown holder, until it goes stale."""
    with open(lock.path, "w", encoding="utf-8") as stream:
        stream.write(text)
    assert lock.take("b", {"who": "bob"}, [])["other"]["who"] == "an unknown holder"
    age(lock, 61)
    assert lock.take("b", {"who": "bob"}, [])["taken"] is True


def test_only_one_of_many_gets_it(lock) -> None:
    """However close together they come; what is written is whole."""
    taken = []
    go = threading.Barrier(8)

    def run(token: str) -> None:
        go.wait()
        taken.extend([token] * service_lock.Lock(lock.folder).take(token, {"who": token}, [])["taken"])

    threads = [threading.Thread(target=run, args=("run-%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    with open(lock.path, encoding="utf-8") as stream:
        assert json.load(stream)["token"] == taken[0]
