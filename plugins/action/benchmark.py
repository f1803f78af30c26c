# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.benchmark``: see plugins/modules/benchmark.py for its docs."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import profiles as benchmark_profiles
from ansible_collections.myia.vllm.plugins.plugin_utils.benchmark import watcher as benchmark_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.common import live, run_identity
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.common.retry import ConnectionLost, Retry, message
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import endpoint_checks


class ActionModule(ActionBase):
    """Ask the host by the module ``benchmark_step`` until the benchmark is over."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the figures; fail when they are not complete."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "profile": {"type": "str", "default": "latency"},
                "profiles": {"type": "dict", "required": True},
                "on_busy": {"type": "bool", "default": False},
                "timeout_s": {"type": "int", "default": 3600},
                "keep": {"type": "int", "default": 20},
                "warn_percent": {"type": "float", "default": 10.0},
                "connection_timeout_s": {"type": "float", "default": 120.0},
                "fail": {"type": "bool", "default": True},
            }
        )
        lines = ProgressLines(
            live.write, "%s: %s" % (task_vars["inventory_hostname"], args["definition"]["container_name"])
        )
        _any, problem = self._runs(args, None, True)
        kinds, length = self._service(args, lines, task_vars) if not problem else ((), None)
        work, unmeasured = benchmark_profiles.work_of(kinds)
        if not problem and not unmeasured:
            runs, problem = self._runs(args, length, work == "generate")
        if problem:
            # nobody wants a deployment to go on with a misspelt variable, so this ignores `fail`
            result.update(_nothing(args), problem=problem, failed=True, msg=problem)
            return result
        if unmeasured:
            lines.say(unmeasured, time.monotonic())
            result.update(_nothing(args), problem=unmeasured)
            if args["fail"]:
                result.update(failed=True, msg=unmeasured)
            return result
        if self._task.check_mode:
            would = "Would send %d requests in %d runs (%s) to %s and keep the figures in %s/benchmarks." % (
                benchmark_profiles.requests(runs), len(runs), args["profile"], args["definition"]["container_name"],
                args["definition"]["dir"])  # fmt: skip
            lines.say(would, time.monotonic())
            result.update(_nothing(args), ok=True, changed=True, msg=would)
            return result
        try:
            answer = self._watch(args, runs, work, lines, task_vars).run()
            result.update(answer["result"], changed=bool(answer["result"]["path"]))
        except benchmark_watcher.NotMeasured as error:
            result.update(_nothing(args), problem=redact(str(error)))
        except ConnectionLost as error:
            result.update(
                _nothing(args),
                problem="The host did not answer for %s while its service was measured: %s. What runs on it ends by "
                "itself. Run benchmark_medium.yml again when the host is back."
                % (duration(args["connection_timeout_s"]), error),
            )
        result["problem"] = result["problem"] and _with_fix(result["problem"])
        if result["problem"] and args["fail"]:
            result.update(failed=True, msg=result["problem"])
        return result

    def _service(self, args: dict, lines: ProgressLines, task_vars: dict) -> tuple[tuple[str, ...], int | None]:
        """Return what kind of service runs (several when they cannot be told apart), and its longest request.

        A service that cannot be asked is told by the measurement itself; until then it is one that writes text.
        """
        definition = args["definition"]
        length = endpoint_checks.configured_length(definition)
        try:
            told = Retry(self, task_vars, lines, args["connection_timeout_s"]).run(
                "myia.vllm.service_query",
                {
                    "container": definition["container_name"],
                    "port": definition["container_port"],
                    "scheme": definition["scheme"],
                    "model": definition["served_model_name"],
                    "questions": endpoint_checks.kind_questions(definition),
                    "tasks": True,
                    "folder": definition["dir"],
                },
            )
        except ConnectionLost:
            return (), length
        answers = {answer["id"]: answer for answer in told.get("answers") or []}
        if not answers:
            return (), length
        kind = endpoint_checks.tell_kind(definition, told.get("tasks") or [], answers)
        return kind.candidates, endpoint_checks.length_of(definition, answers)

    @staticmethod
    def _runs(args: dict, length: int | None, generates: bool) -> tuple[list[dict], str]:
        """Return the runs of the chosen profile, and why they cannot be measured."""
        problems = []
        for name, least in (("timeout_s", 0), ("keep", 1), ("warn_percent", 0)):
            if args[name] < least:
                problems.append("vllm_benchmark_%s: found %s; set %d or more." % (name, args[name], least))
        runs: list[dict] = []
        try:
            runs = benchmark_profiles.choose(args["profiles"], args["profile"], length, generates)
        except benchmark_profiles.ProfileError as error:
            problems.append(str(error))
        return runs, "\n".join(problems)

    def _watch(
        self, args: dict, runs: list[dict], work: str, lines: ProgressLines, task_vars: dict
    ) -> benchmark_watcher.Watch:
        definition = args["definition"]
        module_args = {
            "token": run_identity.new_token(),
            "who": run_identity.holder(task_vars)["who"],
            "project": definition["project"],
            "container": definition["container_name"],
            "folder": definition["dir"],
            "runs": runs,
            "work": work,
            **{name: args[name] for name in ("profile", "on_busy", "timeout_s", "keep", "warn_percent")},
        }
        retry = Retry(self, task_vars, lines, args["connection_timeout_s"])

        def query(do: str, dead: list[str]) -> dict:
            answer = retry.run("myia.vllm.benchmark_step", {**module_args, "do": do, "dead": dead})
            if "state" not in answer:
                said = message(answer, "The module benchmark_step gave no answer.")
                raise benchmark_watcher.NotMeasured("The host cannot be asked: %s" % said)
            return answer

        return benchmark_watcher.Watch(args["profile"], runs, query, run_identity.is_over, lines)


def _nothing(args: dict) -> dict:
    """Return the result of a benchmark that measured nothing."""
    return {
        "ok": False,
        "problem": "",
        "profile": args["profile"],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "release": "",
        "vllm_version": "",
        "model": args["definition"]["model"],
        "path": "",
        "runs": [],
        "compared": {},
        "warnings": [],
        "changed": False,
    }


def _with_fix(problem: str) -> str:
    """Add what to do to a problem of which the service's state is the cause."""
    about_state = ("The service does not answer", "There is no container", "The container ", "The benchmark broke off")
    if problem.startswith(about_state):
        return problem + " Run watch_medium.yml to see how the service is, or deploy_medium.yml to start it."
    return problem
