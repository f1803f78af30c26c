# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks kept on a host."""

from __future__ import annotations

import json
import os
import stat
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import store as benchmark_store

RUN = {
    "name": "one",
    "num_prompts": 5,
    "request_rate": None,
    "max_concurrency": 1,
    "input_tokens": 1,
    "output_tokens": 1,
}


@pytest.fixture
def store(tmp_path):
    """The store of a service that has none yet."""
    return benchmark_store.Store(str(tmp_path))


@pytest.fixture
def keep(store):
    """Keep a result; returns it."""

    def save(name: str, **more: object) -> dict:
        path = os.path.join(store.path, name)
        os.makedirs(path)
        found = {"ok": True, "profile": "p", "model": "m", "runs": [RUN], "path": path, "at": name, **more}
        store.save(found)
        return found

    return save


def test_folder(store, monkeypatch) -> None:
    """Named by the time in UTC and the profile, so that the newest is last."""
    monkeypatch.setenv("TZ", "UTC-9")
    time.tzset()
    assert store.folder("load", 1_700_000_000.0) == os.path.join(store.path, "20231114T221320Z-load")
    assert store.names() == []
    monkeypatch.undo()
    time.tzset()


def test_save(store, keep) -> None:
    """Readable by root and its group only."""
    found = keep("20260101T000000Z-p")
    path = os.path.join(found["path"], "result.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    with open(path, encoding="utf-8") as handle:
        assert json.load(handle) == found
    assert os.listdir(found["path"]) == ["result.json"]


def test_raw(store, keep) -> None:
    """The file of a run, counted from 1; none when there is none, or a damaged one."""
    folder = keep("20260101T000000Z-p")["path"]
    for number, text in ((1, '{"completed": 3}'), (2, "{")):
        with open(os.path.join(folder, "run-%d.json" % number), "w", encoding="utf-8") as handle:
            handle.write(text)
    assert [store.raw(folder, number) for number in (1, 2, 3)] == [{"completed": 3}, {}, {}]


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([], ""),
        ([("20260101T000000Z-p", {}), ("20260102T000000Z-p", {})], "20260102T000000Z-p"),
        ([("20260101T000000Z-p", {}), ("20260102T000000Z-p", {"ok": False})], "20260101T000000Z-p"),
        ([("20260101T000000Z-p", {}), ("20260102T000000Z-q", {"profile": "q"})], "20260101T000000Z-p"),
        ([("20260101T000000Z-p", {"model": "other"})], ""),
        ([("20260101T000000Z-p", {"runs": [{**RUN, "num_prompts": 6}]})], ""),
        ([("20260101T000000Z-p.old", {})], ""),
    ],
)
def test_last_good(store, keep, others, found) -> None:
    """The newest good one of the same settings, never itself; a damaged one is passed over."""
    for name, more in others:
        keep(name, **more)
    mine = keep("20260301T000000Z-p")
    damaged = keep("20260201T000000Z-p")
    with open(os.path.join(damaged["path"], "result.json"), "w", encoding="utf-8") as handle:
        handle.write("{")
    os.makedirs(os.path.join(store.path, "20260202T000000Z-p"))  # of a benchmark that was killed
    before = store.last_good(mine)
    assert before.get("at", "") == found
    if found:
        assert before["release"] == ""
        assert before["path"] == os.path.join(store.path, found)


def test_prune(store, keep) -> None:
    """The newest stay, whatever else lies there too."""
    names = ["2026010%dT000000Z-p" % day for day in range(1, 6)]
    for name in [*names, "notes"]:
        keep(name)
    assert store.prune(2) == names[:3]
    assert sorted(os.listdir(store.path)) == [*names[3:], "notes"]
    assert store.prune(20) == []
