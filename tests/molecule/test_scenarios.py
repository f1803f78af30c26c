# SPDX-License-Identifier: GPL-3.0-or-later
"""Every Molecule scenario, each as one test: check mode first, converge, idempotence, verify.

Three scenarios run at a time, which two processors can just do (MYIA_SCENARIOS_AT_ONCE says another number). Those that
keep the files of their engine in the same volume run one after the other.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent
#: Those that need a GPU host, which MYIA_GPU_INVENTORY names (docs/hardware.md).
ON_GPUS = {"gpu"} if not os.environ.get("MYIA_GPU_INVENTORY") else set()
SCENARIOS = sorted({path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} - ON_GPUS)
AT_ONCE = int(os.environ.get("MYIA_SCENARIOS_AT_ONCE", "3"))

#: Those that take longest begin first, so that none of them is left over when everything else is done.
LONGEST = ("vllm_service", "vllm_gateway", "vllm_health", "vllm_verify", "nvidia_container_toolkit", "default")

#: Those that `make test` leaves to `make test-full` whole, since its time is limited: several starts of vLLM on hosts
#: of their own, or one more case of what others show.
FULL_ONLY = ("fleet", "multi_node", "vllm_adopt", "vllm_gateway", "vllm_monitoring", "vllm_port_guard")


def chosen(core: bool) -> list[str]:
    """The scenarios of a run, by whether it is for the core alone."""
    return [name for name in SCENARIOS if not (core and name in FULL_ONLY)]


def log_of(scenario: str) -> pathlib.Path:
    """The file that keeps the whole output of a scenario."""
    return ROOT / ".cache" / "logs" / ("molecule-%s.log" % scenario)


def engine_volumes(scenario: str) -> set[str]:
    """The volumes of engines inside that a scenario shares with others."""
    platforms = yaml.safe_load((ROOT / "molecule" / scenario / "molecule.yml").read_text(encoding="utf-8"))["platforms"]
    return {platform["engine_volume"] for platform in platforms if "engine_volume" in platform}


class Turns:
    """Hands out scenarios, the longest first, never two at a time that share an engine volume."""

    def __init__(self, scenarios: list[str]) -> None:
        rank = {name: number for number, name in enumerate(LONGEST)}
        self.waiting = sorted(scenarios, key=lambda name: (rank.get(name, len(rank)), name))
        self.volumes = {name: engine_volumes(name) for name in scenarios}
        self.running: set[str] = set()
        self.changed = threading.Condition()

    def take(self) -> str | None:
        """Return a scenario that may run now, once there is one; None when there are no more."""
        with self.changed:
            while self.waiting:
                busy = set().union(*(self.volumes[name] for name in self.running))
                free = next((name for name in self.waiting if not self.volumes[name] & busy), None)
                if free:
                    self.waiting.remove(free)
                    self.running.add(free)
                    return free
                self.changed.wait()
        return None

    def end(self, scenario: str) -> None:
        """Give back what a scenario has used."""
        with self.changed:
            self.running.remove(scenario)
            self.changed.notify_all()

    def stop(self) -> None:
        """Hand out no more."""
        with self.changed:
            self.waiting.clear()
            self.changed.notify_all()


def run(scenario: str, said: queue.SimpleQueue) -> int:
    """Run `molecule test` and return its exit status; its steps go to the queue, as lines with seconds."""
    environment = {**os.environ, "PATH": "%s:%s" % (BIN, os.environ["PATH"]), "NO_COLOR": "1", "PY_COLORS": "0"}
    log = log_of(scenario)
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    said.put("  %s (log: %s)" % (scenario, log.relative_to(ROOT)))
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [str(BIN / "molecule"), "test", "--scenario-name", scenario],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            out.write(line)
            out.flush()
            step = re.search(r"INFO\W+%s\W+(\w+)\W+Executing$" % re.escape(scenario), line.rstrip())
            if step:
                said.put("    %4d s  %s  %s" % (time.monotonic() - start, scenario, step.group(1)))
    status = process.wait()
    said.put("    %4d s  %s  %s" % (time.monotonic() - start, scenario, "failed" if status else "passed"))
    return status


class Scenarios:
    """The scenarios that this run of pytest has selected, on their way."""

    def __init__(self, scenarios: list[str]) -> None:
        self.said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.status = {scenario: concurrent.futures.Future() for scenario in scenarios}
        self.turns = Turns(scenarios)
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        for _ in range(AT_ONCE):
            self.pool.submit(self._work)

    def _work(self) -> None:
        while scenario := self.turns.take():
            try:
                self.status[scenario].set_result(run(scenario, self.said))
            except BaseException as error:
                self.status[scenario].set_exception(error)
            finally:
                self.turns.end(scenario)

    def wait(self, scenario: str) -> int:
        """Print what all of them say until this one has ended; return its exit status."""
        while not (self.status[scenario].done() and self.said.empty()):
            with contextlib.suppress(queue.Empty):
                print(self.said.get(timeout=0.5), flush=True)
        return self.status[scenario].result()

    def stop(self) -> None:
        """Start no more, and wait for those that run."""
        self.turns.stop()
        self.pool.shutdown()


@pytest.fixture(scope="module")
def scenarios(request: pytest.FixtureRequest) -> Iterator[Scenarios]:
    """Start those that were selected."""
    names = {item.name for item in request.session.items if item.path == request.path}
    running = Scenarios([scenario for scenario in SCENARIOS if "test_scenario[%s]" % scenario in names])
    yield running
    running.stop()


def test_no_engine_volume_is_used_twice_at_a_time() -> None:
    """Two engines on one volume destroy it; with more turns than scenarios, as many run as can."""
    turns, order = Turns(SCENARIOS), []
    assert set().union(*turns.volumes.values())
    while turns.waiting:
        while any(
            not turns.volumes[name] & set().union(*map(turns.volumes.get, turns.running)) for name in turns.waiting
        ):
            order.append(turns.take())
        used = [volume for name in turns.running for volume in turns.volumes[name]]
        assert len(used) == len(set(used))
        turns.end(next(name for name in order if name in turns.running))
    assert sorted(order) == SCENARIOS
    assert turns.take() is None


def test_longest_scenarios_exist() -> None:
    """A renamed scenario keeps its place."""
    assert {*LONGEST, *FULL_ONLY} <= set(SCENARIOS)
    assert set(SCENARIOS) - set(chosen(True)) == set(FULL_ONLY)
    assert chosen(False) == SCENARIOS


@pytest.mark.parametrize("scenario", chosen(os.environ.get("MYIA_TESTS") == "core"))
def test_scenario(scenario: str, scenarios: Scenarios, capsys: pytest.CaptureFixture) -> None:
    """`molecule test` passes; its whole output is kept in .cache/logs, its steps are shown while it runs."""
    with capsys.disabled():
        print(flush=True)
        status = scenarios.wait(scenario)
    log = log_of(scenario)
    tail = "".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[-80:])
    assert status == 0, "scenario %s failed; the end of %s:\n%s" % (scenario, log.relative_to(ROOT), tail)
