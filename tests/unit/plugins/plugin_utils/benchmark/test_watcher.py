# SPDX-License-Identifier: GPL-3.0-or-later
"""A benchmark is followed to its end: answers of a host that is none, and a clock that only the test moves."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import result as benchmark_result
from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import watcher as benchmark_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines

RUNS = [
    {
        "name": name,
        "num_prompts": 100,
        "request_rate": None,
        "max_concurrency": 1,
        "input_tokens": 1,
        "output_tokens": 1,
    }
    for name in ("one", "two")
]
RAW = {"completed": 100, "duration": 12.3, "request_throughput": 8.123456, "output_throughput": 94.7,
       "p50_ttft_ms": 25.0, "p50_tpot_ms": 9.0}  # fmt: skip
OTHER = {"token": "theirs", "who": "them", "at": "T", "silent_s": 3}


def answer(state: str = "running", **more: object) -> dict:
    """An answer of benchmark_step."""
    return {"state": state, "begun": True, "index": 0, "x": 0, "measured": 0, "problem": "", "lines": [], "other": {},
            "note": "", "result": {}, **more}  # fmt: skip


def over(*raws: dict | None, problem: str = "") -> dict:
    """The answer of finish, with a result of these."""
    runs = [benchmark_result.run_of(settings, raw, "" if raw else "It broke.") for settings, raw in zip(RUNS, raws)]
    return answer("ended", result={"runs": runs, "problem": problem})


@pytest.fixture
def watch():
    """Follow a benchmark that gives these answers; returns (last answer or error, lines, what was asked)."""

    def follow(*answers: dict, gone: tuple = ()) -> tuple:
        left, asked, printed, now = list(answers), [], [], [0.0]

        def query(do: str, dead: list[str]) -> dict:
            asked.append((do, *dead))
            return left.pop(0)

        def sleep(seconds: float) -> None:
            now[0] += seconds

        lines = ProgressLines(printed.append)
        found = benchmark_watcher.Watch(
            "load", RUNS, query, lambda token: token in gone, lines, sleep=sleep, clock=lambda: now[0]
        )
        try:
            end = found.run()
        except benchmark_watcher.NotMeasured as error:
            end = error
        assert left == []
        return end, printed, asked

    return follow


def test_whole(watch) -> None:
    """A line when a run begins, one for each change that is not too soon, and the figures at the end."""
    end, printed, asked = watch(
        answer(begun=False),
        answer(),
        *[answer(x=number) for number in range(1, 20)],
        answer(index=1),
        answer(index=1, x=100),
        answer("ended", index=1, x=100),
        over(RAW, RAW),
    )
    assert end["result"]["runs"][0]["completed"] == 100
    assert [item[0] for item in asked] == ["start", *["inspect"] * 23, "finish"]
    head = "load: run 1 of 2 (one), "
    assert printed[:2] == [head + "begins", head + "1 of 100 requests"]
    assert len(printed[2:-4]) == 3  # 38 seconds: one in ten at most
    assert all(line.startswith(head) for line in printed[2:-4])
    assert printed[-4:-2] == ["load: run 2 of 2 (two), begins", "load: run 2 of 2 (two), 100 of 100 requests"]
    figures = (
        "100 of 100 requests in 12 s, 8.12 requests/s, 94.7 tokens/s, first token after 25.0 ms, then 9.0 ms a token"
    )
    assert printed[-2:] == ["load: one: " + figures, "load: two: " + figures]


def test_problems(watch) -> None:
    """What a run failed of, and the last words."""
    failed = {**RAW, "completed": 90, "failed": 10}
    _end, printed, _asked = watch(answer(), answer("ended", lines=["a", "b"]), over(failed, None, problem="It broke."))
    assert printed[1].startswith("load: one: 90 of 100 requests in")
    assert printed[1].endswith("; 10 of 100 requests failed.")
    assert printed[2:] == ["load: two: It broke.", "the last lines of vllm bench serve:\n    a\n    b"]


def test_refused_by_the_service(watch) -> None:
    """No figures of a service that was not measured; the caller says why."""
    looks = (answer(begun=False), answer("ended", begun=False))
    end, printed, _asked = watch(*looks, {**over(None, None, problem="busy"), "begun": False})
    assert (end["result"]["problem"], printed) == ("busy", [])


@pytest.mark.parametrize(
    ("answers", "gone", "said", "asked"),
    [
        ((answer("refused", problem="no container"),), (), "no container", [("start",)]),
        ((answer("other", other=OTHER),), (), "runs already, of them since T; it was looked at 3 s ago", [("start",)]),
        ((answer("other", other=OTHER), answer("other", other=OTHER)), ("theirs",), "runs already",
         [("start",), ("start", "theirs")]),
        ((answer(), answer("absent"), answer("absent")), (), "vanished while it ran",
         [("start",), ("inspect",), ("finish",)]),
    ],
)  # fmt: skip
def test_not_measured(watch, answers, gone, said, asked) -> None:
    """Why nothing was measured."""
    error, _printed, seen = watch(*answers, gone=gone)
    assert isinstance(error, benchmark_watcher.NotMeasured)
    assert said in str(error)
    assert seen == asked


def test_leftover(watch) -> None:
    """One whose run is known to be over is ended, which is told."""
    _end, printed, asked = watch(
        answer("other", other=OTHER), answer("running", note="It was ended."), answer("ended"), over(RAW, RAW),
        gone=("theirs",),
    )  # fmt: skip
    assert asked[:2] == [("start",), ("start", "theirs")]
    assert printed[0] == "It was ended."


def test_services_that_do_not_write(watch) -> None:
    """Requests, tokens that go in, and how long a request takes."""
    raw = {
        "completed": 100,
        "duration": 12.3,
        "request_throughput": 8.1,
        "total_token_throughput": 972.0,
        "p50_e2el_ms": 9,
    }
    ended = over({**RAW, **raw}, {**RAW, **raw})
    for run in ended["result"]["runs"]:
        run["output_tokens"], run["input_tokens"] = None, 120
    _end, printed, _asked = watch(answer(), answer("ended"), ended)
    assert "972.0 tokens/s, a request of 120 tokens in 9.0 ms" in printed[-1]
    assert "first token" not in printed[-1]
