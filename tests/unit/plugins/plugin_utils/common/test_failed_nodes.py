# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches of several hosts tell each other that a start has failed."""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.common.failed_nodes import FailedNodes

NAMES = ["gpu-1", "gpu-2", "gpu-3"]


def test_others_hear_of_it(tmp_path) -> None:
    """With name and rank; the one that failed does not hear itself."""
    one, two = (FailedNodes(name, NAMES, "first", str(tmp_path)) for name in NAMES[:2])
    assert one.first() == two.first() == {}
    two.tell("out of memory", "once")
    assert one.first() == {"problem": "gpu-2 (rank 1) failed: out of memory", "again": "once"}
    assert two.first() == {}


def test_each_start_is_its_own(tmp_path) -> None:
    """The way back hears nothing of the way there, and another service nothing of this one."""
    FailedNodes("gpu-2", NAMES, "first", str(tmp_path)).tell("it died", "")
    assert FailedNodes("gpu-1", NAMES, "second", str(tmp_path)).first() == {}
    assert FailedNodes("gpu-1", ["gpu-1", "gpu-2"], "first", str(tmp_path)).first() == {}


def test_a_service_of_one_host(tmp_path) -> None:
    """Nothing is written for it."""
    alone = FailedNodes("gpu-1", [], "first", str(tmp_path))
    alone.tell("it died", "")
    assert alone.first() == {}
    assert list(tmp_path.iterdir()) == []


def test_who_ends_because_of_another_one_is_none_of_them(tmp_path) -> None:
    """The third hears of the one that failed, not of the one that only heard of it."""
    one, two, three = (FailedNodes(name, NAMES, "first", str(tmp_path)) for name in NAMES)
    three.tell("out of memory", "")
    two.tell(two.first()["problem"], "")
    assert one.first()["problem"] == "gpu-3 (rank 2) failed: out of memory"
