# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM wrote as a short result, and two results side by side. The files are vLLM 0.32.0's own."""

from __future__ import annotations

import copy
import json
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.benchmark import result as benchmark_result

DATA = pathlib.Path(__file__).resolve().parents[3] / "data" / "bench"
SETTINGS = {"name": "one", "num_prompts": 5, "request_rate": None, "max_concurrency": 1, "input_tokens": 64,
            "output_tokens": 16}  # fmt: skip


def raw(name: str = "one-at-a-time", **changes: object) -> dict:
    """A recorded JSON with changes; None takes a key away."""
    found = {**json.loads((DATA / (name + ".json")).read_text(encoding="utf-8")), **changes}
    return {key: value for key, value in found.items() if value is not None}


def test_recorded() -> None:
    """Every figure comes from the key that says so; the median is the 50th percentile."""
    found, run = raw(), benchmark_result.run_of(SETTINGS, raw())
    assert {key: run[key] for key in SETTINGS} == SETTINGS
    assert (run["completed"], run["failed"], run["ok"], run["problem"]) == (5, 0, True, "")
    assert run["duration_s"] == round(found["duration"], 4)
    assert run["output_throughput"] == round(found["output_throughput"], 4)
    assert run["request_throughput"] == pytest.approx(5 / run["duration_s"], rel=1e-3)
    assert run["total_token_throughput"] == pytest.approx(5 * 80 / run["duration_s"], rel=1e-2)
    for name in benchmark_result.LATENCIES:
        assert run[name + "_ms"]["p50"] == round(found["median_%s_ms" % name], 4)
        assert 0 < run[name + "_ms"]["p50"] <= run[name + "_ms"]["p90"] <= run[name + "_ms"]["p99"]
        assert run[name + "_ms"]["mean"] == round(found["mean_%s_ms" % name], 4)
    assert run["ttft_ms"]["p99"] < run["e2el_ms"]["p50"]


@pytest.mark.parametrize(
    ("given", "problem", "completed", "failed", "said"),
    [
        (raw("all-failed"), "", 0, 5, "5 of 5 requests failed: Not Found"),
        (
            raw("all-failed", errors=["", "Traceback\n  File\nOSError: x"]),
            "",
            0,
            5,
            "5 of 5 requests failed: OSError: x",
        ),
        (raw("all-failed", errors=["", ""]), "", 0, 5, "5 of 5 requests failed."),
        # 0.11 has no key failed
        (raw("all-failed", completed=2, failed=None, errors=None), "", 2, 3, "3 of 5 requests failed."),
        (raw(failed=None), "", 5, 0, ""),
        (None, "It broke.", 0, 0, "It broke."),
        (None, "x" * 5000, 0, 0, "x" * benchmark_result.PROBLEM_CHARS),
    ],
)
def test_problems(given, problem, completed, failed, said) -> None:
    """Failed requests, a run without a result, and releases that do not count failures."""
    run = benchmark_result.run_of(SETTINGS, given, problem)
    assert (run["completed"], run["failed"], run["problem"], run["ok"]) == (completed, failed, said, not said)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (1.23456, 1.2346), (float("nan"), 0.0), (float("inf"), 0.0), (None, 0.0), ("7", 0.0), (True, 0.0)],
)
def test_number(value, number) -> None:
    """Only what JSON and AWX can show."""
    assert benchmark_result.number(value) == number


def result(num_prompts: int = 100, **figures: float) -> dict:
    """A good result of one run in which every figure is 100, with changes by dotted name."""
    run = {**SETTINGS, "num_prompts": num_prompts, "ok": True, "request_throughput": 100.0, "output_throughput": 100.0}
    run.update({name + "_ms": dict.fromkeys(benchmark_result.STATISTICS, 100.0) for name in benchmark_result.LATENCIES})
    for path, value in figures.items():
        head, _, part = path.partition("__")
        if part:
            run[head][part] = value
        else:
            run[head] = value
    return {"profile": "p", "model": "m", "at": "T", "release": "r", "vllm_version": "1", "path": "/p", "runs": [run]}


@pytest.mark.parametrize(
    ("num_prompts", "figures", "worse"),
    [
        (100, {}, []),
        (100, {"request_throughput": 89.0}, ["request_throughput"]),
        (100, {"request_throughput": 90.0}, []),  # exactly the limit
        (100, {"request_throughput": 200.0}, []),  # better
        (100, {"output_throughput": 50.0}, ["output_throughput"]),
        (100, {"ttft_ms__p50": 111.0}, ["ttft_ms.p50"]),
        (100, {"ttft_ms__p50": 50.0}, []),
        (100, {"tpot_ms__p50": 111.0, "itl_ms__p50": 111.0, "e2el_ms__p50": 111.0},
         ["tpot_ms.p50", "itl_ms.p50", "e2el_ms.p50"]),
        (100, {"ttft_ms__p90": 111.0, "tpot_ms__p90": 111.0, "e2el_ms__p90": 111.0},
         ["ttft_ms.p90", "tpot_ms.p90", "e2el_ms.p90"]),
        (50, {"ttft_ms__p90": 111.0}, ["ttft_ms.p90"]),
        (49, {"ttft_ms__p90": 111.0}, []),  # single requests
        (100, {"ttft_ms__p99": 999.0, "itl_ms__p90": 999.0, "e2el_ms__mean": 999.0}, []),
        (100, {"ttft_ms__p50": 0.0}, []),  # not measured
        (100, {"ok": False, "ttft_ms__p50": 999.0}, []),
    ],
)  # fmt: skip
def test_compare(num_prompts, figures, worse) -> None:
    """What counts, in which direction, and from how many requests on."""
    now, before = result(num_prompts, **figures), {**result(num_prompts), "release": "old", "vllm_version": "0"}
    compared, warnings = benchmark_result.compare(now, before, 10.0)
    assert [row["metric"] for row in compared["rows"] if row["worse"]] == worse
    assert len(warnings) == bool(worse)
    assert (compared["at"], compared["release"], compared["vllm_version"], compared["path"]) == ("T", "old", "0", "/p")
    for metric in worse:
        assert metric in warnings[0]
        assert "release old, vLLM 0; now release r, vLLM 1" in warnings[0]


def test_rows() -> None:
    """The numbers of a row, and the limit."""
    compared, _ = benchmark_result.compare(result(ttft_ms__p50=125.0), result(), 25.0)
    rows = {row["metric"]: row for row in compared["rows"]}
    assert set(rows) == set(benchmark_result.COMPARED)
    assert rows["ttft_ms.p50"] == {"run": "one", "metric": "ttft_ms.p50", "before": 100.0, "now": 125.0,
                                   "change_percent": 25.0, "worse": False}  # fmt: skip
    assert benchmark_result.compare(result(), {**result(), "runs": [{**result()["runs"][0], "ok": False}]}, 1)[0][
        "rows"
    ] == []  # fmt: skip


@pytest.mark.parametrize("change", [{"profile": "q"}, {"model": "n"}, {"runs": []}, *[
    {"runs": [{**result()["runs"][0], name: "other"}]} for name in benchmark_result.SETTINGS]])  # fmt: skip
def test_same_settings(change) -> None:
    """Figures of other settings are never compared."""
    assert benchmark_result.same_settings(result(), copy.deepcopy(json.loads(json.dumps(result(ttft_ms__p50=1.0)))))
    assert not benchmark_result.same_settings(result(), {**result(), **change})


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rounds_of_a_recorded_run(count: int) -> None:
    """Each request is in one round, in the order in which they were sent; times in milliseconds."""
    found = raw()
    rounds = benchmark_result.run_of({**SETTINGS, "rounds": count}, found)["round_figures"]
    assert len(rounds) == count
    if count == 5:
        assert [item["ttft_ms"] for item in rounds] == [round(1000 * value, 4) for value in found["ttfts"]]
        # 15 gaps after the first token
        assert rounds[0]["tpot_ms"] == pytest.approx(1000 * sum(found["itls"][0]) / 15, rel=1e-3)
    if count == 1:
        assert rounds[0]["ttft_ms"] == pytest.approx(found["median_ttft_ms"], rel=1e-3)
        assert rounds[0]["tpot_ms"] == pytest.approx(found["median_tpot_ms"], rel=1e-3)


@pytest.mark.parametrize(
    ("count", "changes"),
    [(6, {}), (2, {"ttfts": []}), (2, {"ttfts": None}), (2, {"itls": [[]]}), (5, {"output_lens": [1] * 5})],
)
def test_no_rounds(count: int, changes: dict) -> None:
    """Fewer requests than rounds, or none that wrote text, give none; without the setting there is no such key."""
    assert benchmark_result.run_of({**SETTINGS, "rounds": count}, raw(**changes))["round_figures"] == []
    assert "round_figures" not in benchmark_result.run_of(SETTINGS, raw())
    assert benchmark_result.run_of({**SETTINGS, "rounds": 2}, raw("all-failed"))["round_figures"] == []
