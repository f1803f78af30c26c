# SPDX-License-Identifier: GPL-3.0-or-later
"""What each part of a report takes from the results."""

from __future__ import annotations

import json
import shlex

import pytest
from report_samples import ABOUT, FOLDER, NEW, OLD, diagnosis, release, start, verification

from ansible_collections.myia.vllm.plugins.plugin_utils.report import failure_section
from ansible_collections.myia.vllm.plugins.plugin_utils.report import sections as report_sections
from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict
from ansible_collections.myia.vllm.plugins.plugin_utils.report import view as report_view


def part(case: tuple, maker: str, *more: object) -> dict:
    """One part of a case."""
    about, results, snapshot, failure = case
    known = {"about": about, "results": results, "snapshot": snapshot}
    verdict = report_verdict.verdict(about["run"], about["check_mode"], results, snapshot, failure)
    arguments = {
        "access": ("about", "results"), "changes": ("about", "results"), "plan": ("results", "snapshot"),
        "start": ("about", "results", "snapshot"), "gpu": ("results", "snapshot"), "checks": ("about", "results"),
        "benchmark": ("about", "results"), "rollback": ("about", "results", "snapshot"),
        "versions": ("about", "results", "snapshot"),
    }  # fmt: skip
    if maker == "failure":
        return failure_section.failure(verdict, results, snapshot, failure)
    return getattr(report_sections, maker)(*(known[name] for name in arguments[maker]), *more)


def row(found: dict, name: str) -> dict:
    """A row of the plan."""
    return next(item for item in found["rows"] if item["id"] == name)


def test_plan(report_cases) -> None:
    """Predicted and reported, with the deviation from the middle of the range."""
    found = part(report_cases.case("deployed"), "plan")
    tokens = row(found, "kv_tokens")
    middle = (tokens["low"] + tokens["high"]) / 2
    assert tokens["reported"] == 158304
    assert tokens["deviation_percent"] == round(100 * (158304 - middle) / middle, 1)
    assert (tokens["inside"], tokens["source"]) == (True, "/metrics")
    weights = row(found, "weights_gib")
    assert weights["low"] == weights["high"]
    assert weights["reported"] == 9.08
    assert weights["inside"] is None
    assert weights["deviation_percent"] == round(100 * (9.08 - weights["low"]) / weights["low"], 1)
    assert {item["id"] for item in found["rows"]} == {"kv_tokens", "kv_gib", "weights_gib", "graphs_gib", "concurrency"}
    assert (found["fits"], found["findings"]) == ("yes", [])
    assert found["passed"] > 20


@pytest.mark.parametrize(("reported", "told"), [(0.03, False), (0.09, False), (0.2, True)])
def test_tiny_weights(reported, told, report_cases) -> None:
    """Where both are of the size of what PyTorch takes at once, no share is told: 0.0002 and 0.03 GiB on two H200."""
    case = report_cases.case("deployed")
    case[1]["vllm_preflight_result"]["capacity"]["weights_gib_per_gpu"] = 0.0002
    case[1]["vllm_health_result"]["start"]["facts"]["weights_gib"] = reported
    found = row(report_sections.plan(case[1], case[2]), "weights_gib")
    assert found["reported"] == reported
    assert (found["deviation_percent"] is not None) is told


@pytest.mark.parametrize("reported", [1, 10**9])
def test_outside(reported, report_cases) -> None:
    """A value beside the range is told."""
    case = report_cases.case("deployed")
    case[2]["kv_cache"]["tokens"] = reported
    assert row(part(case, "plan"), "kv_tokens")["inside"] is False


def test_plan_before_a_start(report_cases) -> None:
    """Nothing is reported yet."""
    tokens = row(part(report_cases.case("planned"), "plan"), "kv_tokens")
    assert (tokens["reported"], tokens["source"], tokens["inside"], tokens["deviation_percent"]) == (
        None,
        "",
        None,
        None,
    )


def test_plan_of_a_service_that_is_silent(report_cases) -> None:
    """What the log of its start said still counts."""
    case = report_cases.case("deployed")
    case[2].update(healthy=False)
    tokens = row(part(case, "plan"), "kv_tokens")
    assert (tokens["reported"], tokens["source"]) == (158304, "log")


def test_no_plan(report_cases) -> None:
    """On a CPU there is none, and that is said."""
    case = report_cases.case("deployed")
    case[1]["vllm_preflight_result"].update(capacity=None, no_capacity="the service runs on the CPU")
    found = part(case, "plan")
    assert found["no_plan"] == "the service runs on the CPU"
    assert row(found, "kv_tokens")["reported"] == 158304
    case[1]["vllm_definition"] = {**case[1]["vllm_definition"], "accelerator": "cpu"}
    assert row(part(case, "plan"), "kv_gib")["what"] == "KV cache"
    case = report_cases.case("unreachable")
    assert part(case, "plan")["rows"] == []


def test_start(report_cases) -> None:
    """The phases, and those of the start before."""
    found = part(report_cases.case("deployed"), "start")
    assert (found["release"], found["failed"], found["recorded"]) == (NEW, False, False)
    assert found["at"] == "2026-01-31T12:06:00Z"
    assert (found["total_s"], found["compile_cache"]) == (135.4, "warm")
    assert (found["before"]["release"], found["before"]["compile_cache"]) == (OLD, "cold")
    assert [step["phase"] for step in found["phases"]][:2] == ["container_up", "config"]
    assert set(found["phases"][0]) == {"phase", "start_s", "duration_s"}


def test_start_of_the_release_that_came_back(report_cases) -> None:
    """After the way back it is the old release's."""
    found = part(report_cases.case("failed_went_back"), "start")
    assert (found["release"], found["failed"], found["before"]) == (OLD, False, {})


def test_start_that_failed(report_cases) -> None:
    """It is the new release's."""
    found = part(report_cases.case("failed_nothing_serves"), "start")
    assert (found["release"], found["failed"]) == (NEW, True)


def test_recorded_start(report_cases) -> None:
    """A run that started nothing shows what the release remembers."""
    found = part(report_cases.case("verified"), "start")
    assert (found["release"], found["recorded"]) == (NEW, True)


@pytest.mark.parametrize(
    ("name", "words"), [("planned", "Nothing was started."), ("failed_unseen", "No start was watched")]
)
def test_no_start(name, words, report_cases) -> None:
    """That there was none is said."""
    assert words in part(report_cases.case(name), "start")["note"]


def test_gpu(report_cases) -> None:
    """Memory before and now, and whose the GPU is."""
    case = report_cases.case("deployed")
    case[2]["gpu"]["gpus"].append({**case[2]["gpu"]["gpus"][0], "index": 2, "uuid": "GPU-c"})
    found = part(case, "gpu")
    first, _second, third = found["gpus"]
    assert (first["used_before_mib"], first["used_now_mib"], first["asked"]) == (1, 21720, True)
    assert (third["used_before_mib"], third["asked"]) == (None, False)
    assert found["container_memory_bytes"] == 9_400_000_000


def test_gpu_that_is_lost(report_cases) -> None:
    """An error of nvidia-smi is shown with its fix."""
    case = report_cases.case("deployed")
    case[2]["gpu"].update(gpus=[], error={"id": "hang", "text": "nvidia-smi hangs", "fix": "Reboot."})
    found = part(case, "gpu")
    assert (found["error"], found["fix"]) == ("nvidia-smi hangs", "Reboot.")


@pytest.mark.parametrize(("groups", "count"), [(("endpoint", "access"), 7), (("functional",), 5)])
def test_checks(groups, count, report_cases) -> None:
    """Those of the groups; a failure that is not required is a warning."""
    found = part(report_cases.case("deployed"), "checks", groups)
    assert len(found["checks"]) == count == sum(found["counts"].values())
    assert found["counts"]["warned"] == (1 if "access" in groups else 0)
    assert found["counts"]["failed"] == 0


def test_checks_that_were_not_reached(report_cases) -> None:
    """The reason is told."""
    case = report_cases.case("verified")
    case[1]["vllm_verify_result"] = {"ok": False, "problem": "There is no container x.", "checks": [], "counts": {}}
    assert part(case, "checks", ("endpoint",)) == {"note": "Not reached: There is no container x."}


@pytest.mark.parametrize(("name", "required"), [("deployed", True), ("verified", True)])
def test_curl(name, required, report_cases) -> None:
    """It can be pasted into a shell; the key is a variable's name."""
    about, results, _snapshot, _failure = report_cases.case(name)
    found = report_sections.access(about, results)
    words = shlex.split(report_sections.curl(found).replace("\\\n", ""))
    assert words[:2] == ["curl", "http://127.0.0.1:5002/v1/chat/completions"]
    assert "Authorization: Bearer $VLLM_API_KEY" in words
    assert found["api_key_required"] is required
    without = report_sections.curl({**found, "api_key_required": False})
    assert "Authorization" not in without
    pooling = report_sections.curl({**found, "kind": "embed", "model": "it's"})
    assert "/v1/embeddings" in pooling
    assert shlex.split(pooling.replace("\\\n", ""))[-1] == '{"model": "it\'s", "input": "Hello"}'


def test_tls(report_cases) -> None:
    """A command for the host itself works, and the report says what was not looked at."""
    about, results, _snapshot, _failure = report_cases.case("deployed")
    definition = {**results["vllm_definition"], "scheme": "https", "base_url": "https://127.0.0.1:5002"}
    found = report_sections.access({**about, "address": "192.0.2.7"}, {**results, "vllm_definition": definition})
    words = shlex.split(report_sections.curl(found).replace("\\\n", ""))
    assert words[:3] == ["curl", "--insecure", "https://127.0.0.1:5002/v1/chat/completions"]
    shown = json.dumps(report_view._access({**found, "local": False, "curl": "x"}))
    assert "https://192.0.2.7:5002" in shown
    assert "not looked at by the checks" in shown
    plain = json.dumps(report_view._access({**found, "scheme": "http", "local": False, "curl": "x"}))
    assert "http://192.0.2.7:5002" in plain
    assert "looked at" not in plain


def test_changes(report_cases) -> None:
    """Against the release before."""
    found = part(report_cases.case("deployed"), "changes")
    assert (found["from"], found["to"], found["changed"]) == (OLD, NEW, True)
    assert found["lines"][0] == "compose.yml: -      - --max-num-seqs=32"
    assert "verify changes nothing" in part(report_cases.case("verified"), "changes")["note"]
    assert "did not come as far" in part(report_cases.case("refused"), "changes")["note"]


def test_failure_from_the_watch(report_cases) -> None:
    """What the watch of this run named."""
    found = part(report_cases.case("failed_nothing_serves"), "failure")
    assert (found["id"], found["ref"], found["release"]) == ("no-memory-for-kv-cache", "V11", NEW)
    assert found["log"] == "%s/releases/%s/failed-start.log" % (FOLDER, NEW)
    assert found["evidence"] == diagnosis()["evidence"]
    assert found["advice"] == "Change the configuration"


def test_failure_that_the_way_back_has_overwritten(report_cases) -> None:
    """release.json remembers it, and the catalogue has its fix."""
    found = part(report_cases.case("failed_went_back"), "failure")
    assert (found["id"], found["release"]) == ("no-memory-for-kv-cache", NEW)
    assert "vllm_gpu_memory_utilization" in found["fix"]
    assert found["done"].startswith("The last good release was brought back")


def test_failure_of_an_earlier_run(report_cases) -> None:
    """What a release died of before is not what this run failed of."""
    about, results, snapshot, _failure = report_cases.case("failed_went_back")
    other = {"message": "The hub gave no answer.", "task": "Download the weights"}
    found = part((about, results, snapshot, other), "failure")
    assert (found["id"], found["message"]) == ("", "The hub gave no answer.")


def test_failed_checks_that_the_way_back_followed(report_cases) -> None:
    """A release that started and failed its checks: what failed, of which release, and no fix that nobody knows."""
    case = report_cases.case("failed_went_back")
    case[1]["vllm_verify_result"] = verification(chat={"status": "failed", "reason": "lacks 'Paris'"})
    kept = {"id": "verification-failed", "phase": "verify", "cause": "1 of 12 checks failed:"}
    case[2]["releases"][0]["failure"] = {**kept, "evidence": ["- chat: lacks 'Paris'"]}
    found = part((*case[:3], {"message": "Release x does not serve\n1 of 12 checks failed:", "task": "t"}), "failure")
    assert (found["id"], found["release"], found["fix"]) == ("verification-failed", NEW, "")
    assert found["evidence"] == ["- chat: lacks 'Paris'"]
    assert part(case, "checks", ("functional",))["release"] == NEW


def test_benchmark_in_check_mode(report_cases) -> None:
    """Nothing was measured, and that is no failure."""
    about, results, snapshot, failure = report_cases.case("benchmarked")
    results["vllm_benchmark_result"].update(runs=[])
    found = part(({**about, "check_mode": True}, results, snapshot, failure), "benchmark")
    assert found == {"note": "Not run: check mode."}


def test_refusal(report_cases) -> None:
    """Its checks, not the text that repeats them."""
    found = part(report_cases.case("refused"), "failure")
    assert [item["id"] for item in found["findings"]] == ["port"]
    assert found["message"] == ""
    assert set(found["findings"][0]) == {"id", "severity", "found", "needed", "fix"}


def test_no_failure(report_cases) -> None:
    """That there was none is said."""
    assert part(report_cases.case("deployed"), "failure") == {"note": "There was none."}


def test_rollback(report_cases) -> None:
    """To the newest other release that was good, by when it was marked."""
    case = report_cases.case("deployed")
    found = part(case, "rollback")
    assert (found["to"], [item["name"] for item in found["releases"]][:2]) == (OLD, [NEW, OLD])
    assert found["command"] == "ansible-playbook rollback_medium.yml --limit gpu01 -e vllm_service_rollback_to=%s" % OLD
    case[2]["releases"][2]["good_since"] = "2026-01-31T00:00:00Z"
    assert part(case, "rollback")["to"] == case[2]["releases"][2]["name"]
    for item in case[2]["releases"]:
        item["good"] = item["current"]
    assert part(case, "rollback")["command"] == ""


@pytest.mark.parametrize("name", ["unreachable", "planned"])
def test_no_releases(name, report_cases) -> None:
    """None is there, or it could not be seen."""
    assert "release" in part(report_cases.case(name), "rollback")["note"]


def test_versions(report_cases) -> None:
    """Of what runs where it could be asked, and of what was asked for."""
    found = part(report_cases.case("deployed"), "versions")
    assert (found["vllm"], found["docker_engine"], found["docker_compose"]) == ("0.32.0", "26.1.5", "2.26.1")
    assert (found["driver"], found["cuda_of_driver"], found["cuda_of_image"]) == ("580.95.05", "13.0", "13.0.1")
    assert found["image_digests"][0].startswith("vllm/vllm-openai@sha256:")
    assert (found["container_toolkit"], found["system"]) == ("1.18.0-1", "Debian GNU/Linux 12 (bookworm)")
    assert found["image_created"] == "2026-01-20T08:00:00Z"
    less = part(report_cases.case("unreachable"), "versions")
    assert (less["vllm"], less["vllm_asked"], less["ansible_core"]) == ("", "0.32.0", ABOUT["ansible_core"])


def test_benchmark(report_cases) -> None:
    """Figures, comparison, warnings."""
    found = part(report_cases.case("benchmarked"), "benchmark")
    assert [run["max_concurrency"] for run in found["runs"]] == [1, 2, 4, 8, 16]
    assert set(found["runs"][0]["ttft_ms"]) == {"mean", "p50", "p90", "p99"}
    assert [item["worse"] for item in found["compared"]["rows"]] == [False, True]
    assert part(report_cases.case("verified"), "benchmark") == {"note": "Not run. benchmark_medium.yml runs one."}
    case = report_cases.case("benchmark_failed")
    case[1]["vllm_benchmark_result"]["runs"] = []
    assert "Connection refused" in part(case, "benchmark")["note"]


def test_earlier_start_only(report_cases) -> None:
    """A start that is recorded later than the one shown is not the one before it."""
    case = report_cases.case("verified")
    case[2]["releases"].append(release("20260201T000000Z-000000000000", start=start("2026-02-01T00:00:00Z", True)))
    assert part(case, "start")["before"]["release"] == OLD
