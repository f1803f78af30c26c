# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over a download, with scripted answers of a host and a clock that only moves by waiting."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines
from ansible_collections.myia.vllm.plugins.plugin_utils.prefetch import watcher as prefetch_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue

GIB = 1 << 30
EMPTY = {"x": 0, "y": 0, "detail": "", "log": [], "exit_code": None, "facts": {}, "problem": ""}
BUSY = ["httpx2.HTTPStatusError: Server error '503 Service Unavailable' for url 'http://hub/api/models/own/model'"]
FACTS = {
    "models": [{"id": "own/model"}],
    "bytes": 3 * GIB,
    "changed": True,
    "warnings": ["the hub with ?token=abcdefgh"],
}


def answer(state: str, **more) -> dict:
    """An answer of the host."""
    return {**EMPTY, "state": state, **more}


def running(x_gib: float = 0, y_gib: float = 8) -> dict:
    """A download on its way."""
    return answer("running", x=int(x_gib * GIB), y=int(y_gib * GIB), detail="1 of 9 files")


BROKEN = answer("failed", log=BUSY, exit_code=1)
DONE = answer("done", x=8 * GIB, y=8 * GIB, exit_code=0, facts=FACTS)


class World:
    """A host that gives these answers to start and look, and a clock."""

    def __init__(self, *answers: dict) -> None:
        self.answers, self.asked, self.printed, self.now_s = list(answers), [], [], 0.0

    def query(self, do: str) -> dict:
        self.asked.append(do)
        return answer("absent") if do == "clean" else copy.deepcopy(self.answers.pop(0))

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def watch(self, step: str = "weights", **more) -> prefetch_watcher.Watch:
        """A watch over it."""
        given = {"timeout_s": 0, "retries": 3, "sleep": self.sleep, "clock": lambda: self.now_s, **more}
        lines = ProgressLines(self.printed.append, "host")
        return prefetch_watcher.Watch(step, self.query, lines, failure_catalogue.load(), **given)


def failure(world: World, step: str = "weights", **more) -> prefetch_watcher.PrefetchError:
    """What a watch fails with."""
    with pytest.raises(prefetch_watcher.PrefetchError) as raised:
        world.watch(step, **more).run()
    assert str(raised.value).endswith("\nThe running service was not touched.")
    return raised.value


def test_all_there() -> None:
    """Nothing to do, nothing to say."""
    world = World(answer("complete", facts={**FACTS, "bytes": 0, "changed": False}))
    found = world.watch().run()
    assert (found["diagnosis"], found["seconds"], world.printed) == ({}, 0.0, [])
    assert world.asked == ["start", "clean"]


def test_progress_lines() -> None:
    """The first state, then one in ten seconds: position, files, rate and the time that is left."""
    world = World(*[running(number / 10) for number in range(21)], DONE)
    found = world.watch().run()
    assert world.asked == ["start", *["inspect"] * 21, "clean"]
    assert world.printed == [
        "host | weights: 0 B of 8.00 GiB (0 %) | 1 of 9 files",
        "host | weights: 716.8 MiB of 8.00 GiB (8 %) | 1 of 9 files | 68.3 MiB/s | about 1 min 50 s left",
        "host | weights: 1.40 GiB of 8.00 GiB (17 %) | 1 of 9 files | 68.3 MiB/s | about 1 min 39 s left",
        "host | weights: 8.00 GiB downloaded in 32 s",
    ]
    assert found["seconds"] == 31.5
    # 3 GiB say the facts, which count the last container only; eight have come while this watched
    assert prefetch_watcher.facts("weights", found) == {
        "changed": True,
        "step": "weights",
        "weights": {"models": FACTS["models"]},
        "bytes": 8 * GIB,
        "seconds": 31.5,
        "warnings": ["the hub with ?token=***"],
        "diagnosis": {},
    }


def test_unknown_size() -> None:
    """Bytes alone while nobody knows of how many."""
    world = World(running(0, 0), *[running(1, 0)] * 8, DONE)
    world.watch().run()
    assert world.printed[:2] == [
        "host | weights: begun | 1 of 9 files",
        "host | weights: 1.00 GiB | 1 of 9 files | 97.5 MiB/s",
    ]


def test_tries_again_what_passes() -> None:
    """With waits that grow; it says what passed."""
    world = World(BROKEN, BROKEN, running(1), DONE)
    found = world.watch().run()
    assert world.asked == ["start", "start", "start", "inspect", "clean"]
    assert found["diagnosis"]["id"] == "hub-busy"
    assert found["seconds"] == 5 + 15 + 1.5
    assert world.printed[0].startswith("host | weights: Hugging Face answered that it is overloaded")
    assert world.printed[0].endswith("| %s | attempt 2 of 4 in 5 s" % BUSY[0])


def test_tries_are_counted_anew_with_every_byte() -> None:
    """A long download over a bad line goes on, and one that gets nowhere does not."""
    moving = [step for number in range(1, 9) for step in (running(number / 2), BROKEN)]
    world = World(*moving, running(5), DONE)
    assert world.watch(retries=1).run()["state"] == "done"
    world = World(*[running(1), BROKEN] * 3)
    error = failure(world, retries=2)
    assert error.diagnosis["id"] == "hub-busy"
    assert "\nIt was tried 3 times.\n" in str(error)
    assert world.answers == []


@pytest.mark.parametrize(
    ("step", "log", "code", "identity", "starts"),
    [
        pytest.param("weights", BUSY, 1, "hub-busy", 3, id="transient"),
        pytest.param(
            "weights", ["huggingface_hub.errors.GatedRepoError: 403"], 1, "model-gated", 1, id="configuration"
        ),
        pytest.param("weights", [], 137, "killed-from-outside", 2, id="once"),
        pytest.param("weights", ["OSError: [Errno 28] No space left on device"], 1, "disk-full", 1, id="host"),
        pytest.param(
            "weights", ["Traceback (most recent call last):", "ZeroDivisionError: 0"], 1, "unknown", 2, id="new"
        ),
        pytest.param("image", ["Error response from daemon: manifest unknown"], 1, "image-not-found", 1, id="tag"),
        pytest.param(
            "image", ["Error response from daemon: toomanyrequests: slow"], 1, "image-pull-failed", 3, id="limit"
        ),
        pytest.param("image", ["1: Pulling", "It was killed."], None, "unknown", 3, id="pull-killed"),
    ],
)
def test_how_often(step, log, code, identity, starts) -> None:
    """As the class of the failure says: never, once, or as often as is allowed."""
    world = World(*[answer("failed", log=log, exit_code=code)] * starts)
    error = failure(world, step, retries=2)
    assert error.diagnosis["id"] == identity
    assert world.asked == [*["start"] * starts, "clean"]
    assert error.diagnosis["phase"] == {"weights": "download", "image": "image"}[step]
    first = str(error).splitlines()[0]
    assert first.startswith(identity)
    assert "in the phase " + error.diagnosis["phase"] in first


def test_no_retry() -> None:
    """Unless it is wished."""
    assert "\nIt was tried" not in str(failure(World(BROKEN), retries=0))


def test_vanished() -> None:
    """A container that is not there any more, as after a restart of the host, is started again."""
    world = World(running(1), answer("absent"), running(1), DONE)
    found = world.watch().run()
    assert world.asked == ["start", "inspect", "start", "inspect", "clean"]
    assert "It vanished while it ran" in found["diagnosis"]["evidence"][0]


def test_lock_lost() -> None:
    """Stops at once, and leaves what is the other run's now."""
    world = World(running(1), answer("lost", problem="its lock was taken over by x"))
    error = failure(world)
    assert str(error).startswith("This run has to stop: its lock was taken over by x.\n")
    assert world.asked == ["start", "inspect"]


@pytest.mark.parametrize(("step", "cleans"), [("weights", True), ("image", False)])
def test_time_limit(step, cleans) -> None:
    """Names the variable and what is there; the container goes, as it holds the token, a pull may go on."""
    world = World(*[running(1)] * 20)
    error = failure(world, step, timeout_s=10)
    assert str(error).startswith(
        "The %s took longer than 10 s (vllm_service_prefetch_timeout_s); 1.00 GiB of 8.00" % step
    )
    assert 10 <= world.now_s < 12
    assert ("clean" in world.asked) is cleans
    assert error.diagnosis["outcome"] == "failed"


def test_time_limit_while_it_fails() -> None:
    """Waits between attempts count too."""
    world = World(*[BROKEN] * 20)
    assert "took longer than" in str(failure(world, timeout_s=30, retries=20))


def test_secrets() -> None:
    """Whatever looks like one is masked in what is printed and said."""
    log = ["Server error '503' for url 'http://u:hunter2@hub/x'", "Authorization: Bearer hf_abcdefghijkl"]
    world = World(*[answer("failed", log=log, exit_code=1)] * 2)
    error = failure(world, retries=1)
    assert error.diagnosis["id"] == "hub-busy"
    assert not any(word in str(error) + str(error.diagnosis) + str(world.printed) for word in ("hunter2", "hf_abc"))
