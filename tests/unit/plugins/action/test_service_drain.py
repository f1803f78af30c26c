# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin service_drain waits no longer than it must, and than it may."""

from __future__ import annotations

import pytest

HOST = {"inventory_hostname": "gpu-host-1"}


@pytest.fixture
def drain(action, monkeypatch):
    """Drain a service that gives these answers, the last again and again; time goes by with each pause."""

    def run(looks: list[dict], timeout_s: float = 60) -> tuple[dict, int]:
        plugin = action("service_drain", args={"container": "c", "url": "http://h:1", "timeout_s": timeout_s})
        clock, asked = [0.0], []

        def look(**_arguments) -> dict:
            answer = {"running": True, "healthy": True, "drains": False, "requests": 0, "now_s": 100.0 + clock[0]}
            answer.update(looks[min(len(asked), len(looks) - 1)])
            asked.append(answer)
            return answer

        names = plugin.run.__func__.__globals__
        monkeypatch.setattr(plugin, "_execute_module", look)
        monkeypatch.setattr(names["time"], "monotonic", lambda: clock[0])
        monkeypatch.setattr(names["time"], "sleep", lambda pause_s: clock.__setitem__(0, clock[0] + pause_s))
        return plugin.run(task_vars=HOST), len(asked)

    return run


@pytest.mark.parametrize(
    ("looks", "asked", "waited_s"),
    [
        pytest.param([{"requests": 0}], 1, 0, id="idle"),
        pytest.param([{"requests": 5, "drains": True}], 1, 0, id="vllm-does-it"),
        pytest.param([{"requests": None}], 1, 0, id="not-told"),
        pytest.param([{"requests": 3}, {"requests": 1}, {"requests": 0}], 3, 4, id="waits"),
    ],
)
def test_waits_for_what_would_be_cut_off(looks, asked, waited_s, drain) -> None:
    """And for nothing else; the last look says when the service was asked."""
    result, times = drain(looks)
    assert (times, result["waited_s"]) == (asked, waited_s)
    assert result["now_s"] == 100.0 + waited_s
    assert not result.get("warnings")
    assert result["changed"] is False


def test_time_is_over(drain) -> None:
    """What is left is told, and nothing fails for it."""
    result, _times = drain([{"requests": 2}], timeout_s=10)
    assert result["requests"] == 2
    assert "still has 2 requests after 10 s (vllm_shutdown_timeout_s)" in result["warnings"][0]
    assert not result.get("failed")


def test_module_that_fails(drain) -> None:
    """Its answer is handed on."""
    result, _times = drain([{"failed": True, "msg": "no docker"}])
    assert result["failed"]
    assert result["msg"] == "no docker"
