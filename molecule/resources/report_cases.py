# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report is made of for runs of the medium service: one case for each verdict.

Plan and findings are the real code's own answers, from the host of the preflight tests; the rest is made of
report_samples.
"""

from __future__ import annotations

import copy

from report_samples import (
    ABOUT,
    FOLDER,
    NEW,
    OLD,
    STAND_IN,
    benchmarked,
    diagnosis,
    release,
    snapshot,
    start,
    verification,
)

from ansible_collections.myia.vllm.plugins.filter.run_summary import run_summary
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict


class Cases:
    """The inputs of ``report_document.build`` by the verdict that they come to."""

    def __init__(self, definition: dict, host: dict) -> None:
        """Take the definition of the service, and a host as ``host_info`` shows it."""
        self.definition = definition
        self.host = host

    def judged(self, **host: object) -> dict:
        """What the action ``preflight`` returns."""
        seen = {**copy.deepcopy(self.host), **host}
        found = preflight_checks.check(self.definition, seen, None)
        refused = preflight_checks.refused(found["findings"], [])
        report = preflight_checks.report(found["findings"], []) if refused else ""
        return {**found, "refused": bool(refused), "report": report, "host": seen}

    def results(self, **more: object) -> dict:
        """The results of a deployment of a new release that went well."""
        new = {"name": NEW, "path": "%s/releases/%s" % (FOLDER, NEW), "good": False, "failures": [], "same_failures": 0}
        return {
            "vllm_definition": self.definition,
            "vllm_preflight_result": self.judged(),
            "docker_engine_result": {
                "engine": {
                    "answering": True,
                    "version": "26.1.5",
                    "compose_version": "2.26.1",
                    "engine_sufficient": True,
                    "compose_sufficient": True,
                }
            },
            "nvidia_container_toolkit_result": {"toolkit": {"packages": {"nvidia-container-toolkit": "1.18.0-1"}}},
            "vllm_config_result": {
                "changed": True,
                "problem": "",
                "release": {**new, "current": False, "staged": True, "last_good": OLD},
                "return_to": {"name": OLD, "good": True},
                "summary": [
                    "compose.yml: -      - --max-num-seqs=32",
                    "compose.yml: +      - --max-num-seqs=64",
                    ".env: -HUGGING_FACE_HUB_TOKEN=(value 1)",
                    ".env: +HUGGING_FACE_HUB_TOKEN=(value 2)",
                ],
            },
            "vllm_service_result": {
                "changed": True,
                "release": {**new, "good": True, "current": True},
                "summary": ["%s: good" % NEW, "%s: runs in container %s" % (NEW, "ab" * 6)],
            },
            "vllm_health_result": {
                "healthy": True,
                "problem": "",
                "diagnosis": {},
                "id": "ab" * 32,
                "start": start("2026-01-31T12:06:00.795475393Z", False),
            },
            **more,
        }

    def went_wrong(self, back: str = OLD, problem: str = "") -> tuple[dict, dict]:
        """The failure of a release that did not start, and how the host describes that release then."""
        found = diagnosis()
        story = {
            "service": "medium",
            "release": NEW,
            "back": back,
            "back_s": 84.0,
            "log": "%s/releases/%s/failed-start.log" % (FOLDER, NEW),
            "problem": "myia-vllm-medium-qwen3 did not start.\n%s (%s), in the phase %s: %s"
            % (found["id"], found["ref"], found["phase"], found["cause"]),
            "back_problem": problem,
        }
        kept = {key: found[key] for key in ("id", "ref", "class", "phase", "cause", "evidence", "certain")}
        failed = release(NEW, good=False, failure={**kept, "at": "2026-01-31T12:07:00Z"}, log=story["log"])
        failed.pop("good_since")
        return {"message": run_summary(story), "task": "Fail with a summary of the deployment"}, failed

    def case(self, name: str) -> tuple[dict, dict, dict, dict]:
        """Return ``(about, results, snapshot, failure)``."""
        gpu, results = self.host["gpu"], self.results()
        made = getattr(self, "_" + name)(results, snapshot(gpu))
        about, results, seen, failure = made
        return {**ABOUT, **about}, results, seen, failure

    @staticmethod
    def names() -> list[str]:
        """The names of all cases, which are those of the verdicts."""
        return sorted(name[1:] for name in vars(Cases) if name.startswith("_") and name[1:] in report_verdict.VERDICTS)

    def _deployed(self, results, seen):
        return (
            {},
            {**results, "vllm_verify_result": verification(), "vllm_benchmark_result": benchmarked("sweep")},
            seen,
            {},
        )

    def _nothing_to_do(self, results, seen):
        results["vllm_config_result"].update(changed=False, summary=[])
        results["vllm_service_result"].update(changed=False, summary=[])
        results["vllm_health_result"] = {"healthy": True, "state": "running", "id": "ab" * 32}
        return {}, {**results, "vllm_verify_result": verification()}, seen, {}

    def _part_done(self, results, seen):
        for name in ("vllm_service_result", "vllm_health_result"):
            results.pop(name)
        for item in seen["releases"]:
            item["current"] = item["name"] == OLD
        return {}, results, seen, {}

    @staticmethod
    def _changed_state(results, would_change):
        kept = {"vllm_definition", "vllm_health_result"}
        new = {"release": {"name": NEW}, "changed": True, "would_change": would_change, "summary": []}
        return {**{key: value for key, value in results.items() if key in kept}, "vllm_service_result": new}

    def _started(self, results, seen):
        return {"run": "start"}, self._changed_state(results, True), seen, {}

    def _restarted(self, results, seen):
        return {"run": "restart"}, self._changed_state(results, True), seen, {}

    def _stopped(self, results, seen):
        by = {"at": "2026-01-31T12:08:00Z", "at_s": 1769861280.0, "who": "admin by AWX job 14", "run": "Stop"}
        seen.update(healthy=False, stopped=by)
        seen["container"].update(state="exited", restart_policy="no")
        results.pop("vllm_health_result")
        return {"run": "stop"}, self._changed_state(results, True), seen, {}

    def _rolled_back(self, results, seen):
        results.pop("vllm_config_result")
        results.pop("vllm_preflight_result")
        results["vllm_service_result"]["release"]["name"] = OLD
        for item in seen["releases"]:
            item["current"] = item["name"] == OLD
        return {"run": "rollback"}, results, seen, {}

    def _verified(self, _results, seen):
        good = verification(access_metrics={"status": "passed"}, reasoning={"status": "passed", "evidence": "Paris"})
        return {"run": "verify"}, {"vllm_definition": self.definition, "vllm_verify_result": good}, seen, {}

    def _verification_failed(self, _results, seen):
        bad = verification(
            tool_call={
                "status": "failed",
                "reason": "expected a call of get_weather, found text",
                "evidence": "I cannot look up the weather.",
            }
        )
        results = {"vllm_definition": self.definition, "vllm_verify_result": bad}
        return (
            {"run": "verify"},
            results,
            seen,
            {"message": bad["problem"], "task": "Fail when a required check failed"},
        )

    def looked(self, seen, failure=None, **results):
        few = {"vllm_definition": self.definition, "vllm_preflight_result": self.judged(), **results}
        return {"run": "diagnose"}, few, seen, failure or {}

    def _healthy(self, _results, seen):
        return self.looked(seen, vllm_health_result={"healthy": True, "state": "running", "id": "ab" * 32})

    def _healthy_restarted(self, _results, seen):
        again = {**seen, "container": {**seen["container"], "restart_count": 2}}
        return self.looked(again, vllm_health_result={"healthy": True, "state": "running", "id": "ab" * 32})

    def _host_not_fit(self, _results, seen):
        result = self.judged(port={"listening": True, "owner": {"pid": 812, "command": "nginx"}, "containers": []})
        failure = {"message": result["report"], "task": "Fail when the host lacks what the service needs"}
        health = {"healthy": True, "state": "running", "id": "ab" * 32}
        return self.looked(seen, failure, vllm_preflight_result=result, vllm_health_result=health)

    def _last_release_failed(self, _results, _seen):
        _failure, failed = self.went_wrong()
        back = snapshot(self.host["gpu"], OLD)
        back["releases"][0] = failed
        return self.looked(back, vllm_health_result={"healthy": True, "state": "running", "id": "ab" * 32})

    def _locked(self, results, seen):
        few = {key: results[key] for key in results if key not in ("vllm_service_result", "vllm_health_result")}
        message = (
            "/opt/vllm/medium is being deployed by admin@awx (AWX job 12) since 2026-01-31T12:10:00Z; its last sign of "
            "life was 3 s ago. Nothing was changed by this run. Wait until that run is over."
        )
        gone = {**seen, "healthy": False}
        return {}, few, gone, {"message": message, "task": "Acquire the lock"}

    def _serves_nothing(self, results, seen):
        failure, _failed = self.went_wrong(back="")
        health = {**results["vllm_health_result"], "healthy": False, "diagnosis": diagnosis(), "state": "exited"}
        gone = {**seen, "healthy": False, "container": {**seen["container"], "state": "exited", "memory_bytes": 0}}
        return self.looked(gone, {**failure, "task": "Wait until the service answers"}, vllm_health_result=health)

    def _benchmarked(self, _results, seen):
        results = {"vllm_definition": self.definition, "vllm_benchmark_result": benchmarked("sweep")}
        return {"run": "benchmark"}, results, seen, {}

    def _benchmark_failed(self, _results, seen):
        broken = benchmarked(
            ok=False, problem="vllm bench serve ended with exit status 1: Connection refused", compared={}, warnings=[]
        )
        nothing = {
            name: dict.fromkeys(("mean", "p50", "p90", "p99")) for name in ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms")
        }
        broken["runs"][0].update(
            nothing,
            ok=False,
            problem=broken["problem"],
            completed=0,
            failed=100,
            request_throughput=None,
            output_throughput=None,
            total_token_throughput=None,
        )
        results = {"vllm_definition": self.definition, "vllm_benchmark_result": broken}
        return {"run": "benchmark"}, results, seen, {"message": broken["problem"], "task": "Run the benchmark"}

    def _planned(self, results, seen):
        few = {key: results[key] for key in ("vllm_definition", "vllm_preflight_result")}
        return {"run": "plan"}, few, {**seen, "healthy": False, "kv_cache": {"tokens": 0}, "releases": []}, {}

    def _plan_uncertain(self, results, seen):
        about, few, seen, failure = self._planned(results, seen)
        few["vllm_preflight_result"]["capacity"]["fits"] = "uncertain"
        return about, few, seen, failure

    def _would_change(self, results, seen):
        few = {key: results[key] for key in results if key not in ("vllm_service_result", "vllm_health_result")}
        old = snapshot(self.host["gpu"], OLD)
        old["releases"] = old["releases"][1:]
        return {"check_mode": True}, few, old, {}

    def _would_not_change(self, results, seen):
        _about, results, seen, failure = self._nothing_to_do(results, seen)
        results["vllm_config_result"]["release"]["current"] = True
        results.pop("vllm_verify_result")
        return {"check_mode": True}, results, seen, failure

    def _refused(self, _results, seen):
        taken = {"listening": True, "owner": {"pid": 812, "command": "nginx"}, "containers": []}
        result = self.judged(port=taken, shm_free_mib=10.0)
        few = {"vllm_definition": self.definition, "vllm_preflight_result": result}
        old = snapshot(self.host["gpu"], OLD)
        old["releases"] = old["releases"][1:]
        return {}, few, old, {"message": result["report"], "task": "Fail when preflight refuses the deployment"}

    def _failed_went_back(self, results, seen):
        failure, failed = self.went_wrong()
        results["vllm_service_result"]["release"]["name"] = OLD
        results["vllm_health_result"]["start"] = start("2026-01-31T12:08:00Z", False)
        back = snapshot(self.host["gpu"], OLD)
        back["releases"][0] = failed
        back["releases"][1]["start"] = results["vllm_health_result"]["start"]
        return {}, results, back, failure

    def _failed_still_serves(self, results, seen):
        few = {key: results[key] for key in results if key not in ("vllm_service_result", "vllm_health_result")}
        old = snapshot(self.host["gpu"], OLD)
        message = "The weights of Qwen/Qwen2.5-32B-Instruct-AWQ could not be downloaded: the hub gave no answer."
        return {}, few, old, {"message": message, "task": "Download the weights"}

    def _failed_nothing_serves(self, results, seen):
        failure, failed = self.went_wrong(back="")
        health = results["vllm_health_result"]
        short = start("2026-01-31T12:06:00Z", True)
        short["phases"] = short["phases"][:7]
        results["vllm_health_result"] = {**health, "healthy": False, "diagnosis": diagnosis(), "start": short}
        results.pop("vllm_service_result")
        gone = {
            **seen,
            "healthy": False,
            "vllm_version": "",
            "kv_cache": {"tokens": 0},
            "gpu": self.host["gpu"],
            "container": {**seen["container"], "name": "", "id": "", "state": "", "memory_bytes": 0},
            "releases": [failed],
            "problem": "there is no container",
        }
        return {}, results, gone, failure

    def _failed_unseen(self, results, seen):
        few = {key: results[key] for key in ("vllm_definition", "vllm_preflight_result", "vllm_config_result")}
        return {}, few, {}, {"message": "The host did not answer for 2 min.", "task": "Wait until the service answers"}

    def _unreachable(self, _results, seen):
        lost = {"unreachable": True, "msg": "ssh: connect to host gpu01.example.org port 22: No route to host"}
        few = {"vllm_definition": self.definition, "vllm_preflight_result": lost}
        return (
            {},
            few,
            {"unreachable": True},
            {"message": "gpu01 cannot be reached.", "task": "Fail when the host is unreachable"},
        )


def with_stand_ins(host: dict) -> dict:
    """The same host with stand-ins for its GPUs."""
    host = copy.deepcopy(host)
    for item in host["gpu"]["gpus"]:
        item["name"] += STAND_IN
    return host
