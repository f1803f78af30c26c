# SPDX-License-Identifier: GPL-3.0-or-later
"""A module is run again when the connection drops, and not for ever; with a clock that does not really wait."""

from __future__ import annotations

from unittest import mock

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.myia.vllm.plugins.plugin_utils.common import retry
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines
from ansible_collections.myia.vllm.plugins.plugin_utils.common.retry import ConnectionLost, Retry

DROPPED = AnsibleConnectionFailure("Failed to connect\nConnection timed out")
UNREACHABLE = {"unreachable": True, "msg": "no route"}
#: What Ansible makes of a module that was cut off: no answer, and the status of ssh or of a signal.
CUT_OFF = {
    "failed": True,
    "module_stdout": "",
    "module_stderr": "Shared connection closed.",
    "rc": 255,
    "msg": "MODULE",
}
CRASHED = {"failed": True, "module_stdout": "", "module_stderr": "Traceback (most recent call last):\nx", "rc": 1}
NO_PYTHON = {"failed": True, "module_stdout": "/usr/bin/python3: not found", "module_stderr": "", "rc": 127}
GOOD = {"state": "running"}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass in sleep() only."""
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retry.time, "sleep", sleep)
    return slept


def make(answers: list, limit_s: float = 120, **action) -> tuple[Retry, mock.MagicMock, list[str]]:
    """A Retry on an action that gives these answers; what it said of lost connections."""
    plugin, said = mock.MagicMock(**action), []
    plugin._execute_module.side_effect = answers
    return Retry(plugin, {"v": 1}, ProgressLines(said.append), limit_s), plugin, said


def test_nothing_happens(clock) -> None:
    """The module is asked once, with everything."""
    runner, plugin, said = make([GOOD])
    assert runner.run("myia.vllm.x", {"a": 1}) == GOOD
    plugin._execute_module.assert_called_once_with(
        module_name="myia.vllm.x", module_args={"a": 1}, task_vars={"v": 1}, wrap_async=False
    )
    assert (said, clock) == ([], [])


@pytest.mark.parametrize(
    "answer", [{"failed": True, "msg": "x"}, CRASHED, NO_PYTHON], ids=["failed", "crash", "python"]
)
def test_failures_of_the_module_itself(answer, clock) -> None:
    """Waiting would not mend them."""
    runner, plugin, said = make([answer])
    assert runner.run("x", {}) == answer
    assert (plugin._execute_module.call_count, said) == (1, [])


@pytest.mark.parametrize(
    ("lost", "words"),
    [(DROPPED, "Connection timed out"), (UNREACHABLE, "no route"), (CUT_OFF, "Shared connection closed."),
     ({"unreachable": True, "msg": ""}, "no reason given")],
    ids=["exception", "unreachable", "cut-off", "silent"],
)  # fmt: skip
def test_comes_back(lost, words, clock) -> None:
    """Growing pauses, one word about it, a new connection each time; the next drop is told again."""
    runner, plugin, said = make([lost] * 6 + [GOOD, lost, GOOD])
    assert runner.run("x", {}) == GOOD
    assert clock == [1, 2, 4, 8, 15, 15]
    assert said == ["connection lost, trying again (%s)" % words]
    assert plugin._connection.reset.call_count == 6
    assert runner.run("x", {}) == GOOD
    assert clock[6:] == [1]
    assert len(said) == 2


@pytest.mark.parametrize(("limit_s", "tries"), [(0, 1), (3, 3), (30, 6)])
def test_stays_away(limit_s, tries, clock) -> None:
    """Not for ever, and what was said last is kept."""
    runner, plugin, said = make([DROPPED] * 50, limit_s)
    with pytest.raises(ConnectionLost, match="Connection timed out"):
        runner.run("x", {})
    assert (plugin._execute_module.call_count, len(said)) == (tries, 1)


def test_reset_that_fails_too(clock) -> None:
    """The connection may not even be ready to be closed."""
    runner, plugin, _said = make([DROPPED, GOOD])
    plugin._connection.reset.side_effect = AnsibleConnectionFailure("x")
    assert runner.run("x", {}) == GOOD


def test_connection_without_reset(clock) -> None:
    """Not every kind has one."""
    runner, plugin, _said = make([DROPPED, GOOD])
    plugin._connection = mock.MagicMock(spec=[])
    assert runner.run("x", {}) == GOOD


def test_secrets(clock) -> None:
    """What a proxy or ssh says may hold some."""
    runner, _plugin, said = make([AnsibleConnectionFailure("via http://user:PLANTED@proxy")] * 2, limit_s=1)
    with pytest.raises(ConnectionLost) as lost:
        runner.run("x", {})
    assert "PLANTED" not in str(lost.value) + str(said)
    assert said == ["connection lost, trying again (via http://***@proxy)"]


@pytest.mark.parametrize(
    ("result", "text"),
    [({"msg": " a "}, "a"), ({"msg": "", "module_stderr": "b\n"}, "b"), ({}, "nothing")],
)
def test_message(result, text) -> None:
    """The module's own words come first."""
    assert retry.message(result, "nothing") == text
