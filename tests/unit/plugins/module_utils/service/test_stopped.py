# SPDX-License-Identifier: GPL-3.0-or-later
"""The note that a service was stopped on purpose."""

from __future__ import annotations

import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import lock, stopped


@pytest.fixture
def folder(tmp_path) -> str:
    """A service's folder, whose lock somebody has."""
    lock.Lock(str(tmp_path)).take("token", {"who": "ann on ctl, process 7", "run": "Stop the service"}, [])
    return str(tmp_path)


def test_note_says_who(folder) -> None:
    """Whoever has the lock, and when."""
    assert stopped.read(folder) == {}
    stopped.note(folder)
    found = stopped.read(folder, "exited")
    assert (found["who"], found["run"]) == ("ann on ctl, process 7", "Stop the service")
    assert abs(found["at_s"] - time.time()) < 60
    assert found["at"].endswith("Z")


@pytest.mark.parametrize(
    ("state", "started_after_s", "counts"),
    [
        ("exited", -10.0, True),
        ("missing", -1e9, True),
        ("running", -10.0, False),
        ("restarting", -10.0, False),
        # started by hand since, and ended by itself
        ("exited", 10.0, False),
    ],
)
def test_it_counts_while_the_container_does_not_run(state, started_after_s, counts, folder) -> None:
    """A container that was started since has failed when it does not run."""
    stopped.note(folder)
    assert bool(stopped.read(folder, state, time.time() + started_after_s)) is counts


def test_forget(folder) -> None:
    """It is gone, and may be gone already."""
    stopped.note(folder)
    stopped.forget(folder)
    assert stopped.read(folder) == {}
    stopped.forget(folder)
