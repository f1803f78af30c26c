# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all services, and what it says at its end."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.status import table as status_table

ROW = {
    "host": "gpu01", "address": "192.0.2.10", "service": "medium", "state": "serves", "words": "", "release": "r1",
    "deployed_at": "", "model": "a/b", "served_model_name": "b", "vllm_version": "0.32.0", "uptime_s": 273600,
    "restarts": 0, "requests_running": 3, "requests_waiting": 1, "kv_cache_usage": 0.25, "kv_cache_tokens": 1000,
    "gpus": [{"index": 0, "memory_used_mib": 20480, "memory_total_mib": 24576, "temperature_c": 61}],
    "drift": {"known": True, "lines": []}, "image": "i", "image_age_s": 864000, "model_commit": "", "lock": {},
    "weights_age_s": None, "stopped": {},
    "reached": [{"url": "http://127.0.0.1:5002", "by": "this host only", "guards": ["no key", "no TLS"]}],
}  # fmt: skip
HEAD = ["service", "state", "up", "restarts", "requests", "KV-cache", "drift", "image", "weights", "GPUs"]
GONE = {
    **ROW, "host": "gpu02", "state": "unreachable", "words": "no route", "release": "", "model": "", "vllm_version": "",
    "uptime_s": None, "restarts": None, "requests_running": None, "kv_cache_usage": None, "gpus": [],
    "drift": {"known": False, "lines": []}, "image_age_s": None, "reached": [],
}  # fmt: skip


def test_table() -> None:
    """A line for each, with what is not known left empty, and below it where it is reached."""
    lines = status_table.lines([ROW, GONE])
    assert lines[0].split() == [
        "service",
        "state",
        "up",
        "restarts",
        "requests",
        "KV",
        "cache",
        "drift",
        "image",
        "weights",
        "GPUs",
    ]
    assert lines[1] == (
        "gpu01, medium  serves       3 d 4 h  0         3 + 1 waiting  25 %      none   10 d            "
        "0: 20.0/24.0 GiB 61 C"
    )
    assert lines[2] == "    release r1, vLLM 0.32.0, a/b as b"
    assert lines[3] == "    reached by this host only (no key, no TLS): http://127.0.0.1:5002"
    assert lines[4].split() == ["gpu02,", "medium", "unreachable", "?"]
    assert lines[5] == "    no route"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h"), (86405, "1 d")],
)
def test_age(seconds, text) -> None:
    """In its two largest units."""
    assert status_table.age(seconds) == text


def test_closing() -> None:
    """The worst first, by name; what serves is only counted."""
    drifted = {**ROW, "service": "chat", "drift": {"known": True, "lines": ["x"]}}
    bare = {**ROW, "service": "open", "reached": [{"url": "u", "by": "whoever reaches it", "guards": ["no key"]}]}
    assert status_table.closing([ROW, drifted, GONE, bare], "/x.json") == (
        "4 services: 1 unreachable (medium on gpu02); 3 serves. Not as the inventory says: chat on gpu01. "
        "Without a key, for whoever reaches the host: open on gpu01. JSON: /x.json"
    )
    guarded = {**bare, "reached": [{**bare["reached"][0], "guards": ["no key", "only from 10.1.0.0/16"]}]}
    assert "Without a key" not in status_table.closing([guarded], "")
    assert status_table.closing([ROW], "") == "1 service: 1 serves."
    assert status_table.closing([], "") == "There is no service to look at."
