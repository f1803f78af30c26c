# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_checks``: see plugins/modules/service_checks.py for its docs."""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration
from ansible_collections.myia.vllm.plugins.plugin_utils.common.retry import ConnectionLost, Retry, message
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import (
    check_result,
    endpoint_checks,
    functional_checks,
    service_kind,
)


class NobodyAnswers(Exception):
    """The service cannot be asked; the text says why and what to do."""


class ActionModule(ActionBase):
    """Ask by the module ``service_query``, as many questions a round trip as the time allows, and judge the answers."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the checks; fail when one that is required failed."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "token": {"type": "str", "no_log": False},
                "checks": {"type": "list", "elements": "raw", "default": []},
                "extra_checks": {"type": "list", "elements": "raw", "default": []},
                "skip": {"type": "list", "elements": "str", "default": []},
                "budget_s": {"type": "float", "default": 10.0},
                "connection_timeout_s": {"type": "float", "default": 120.0},
                "fail": {"type": "bool", "default": True},
            }
        )
        result["changed"] = False
        try:
            functional = functional_checks.read(args["checks"], args["extra_checks"], args["skip"])
        except functional_checks.CheckError as error:
            raise AnsibleActionFail(str(error)) from None
        definition = args["definition"]
        self._lines = ProgressLines(
            live.write, "%s: %s" % (task_vars["inventory_hostname"], definition["container_name"])
        )
        self._retry = Retry(self, task_vars, self._lines, args["connection_timeout_s"])
        self._budget_s, self._token, self._lock_problem = args["budget_s"], args["token"], ""
        begun_s = time.monotonic()
        self._skip = set(args["skip"])
        checks, told, problem = [], service_kind.Told("", (), ""), ""
        try:
            checks, told, service, more = self._endpoints(definition)
            checks += self._functional(service, functional, told, more)
        except NobodyAnswers as error:
            problem = str(error)
        except ConnectionLost as error:
            problem = (
                "The host did not answer for %s while its service was verified: %s. "
                "Run verify_medium.yml when it is back." % (duration(args["connection_timeout_s"]), error)
            )
        problem = problem or check_result.problem(checks)
        counts = check_result.counts(checks)
        result.update(
            ok=not problem,
            problem=problem,
            lock_problem=self._lock_problem,
            diagnosis=check_result.diagnosis(problem),
            kind=told.kind,
            kinds=list(told.candidates),
            kind_told_by=told.by,
            checks=checks,
            counts=counts,
            duration_s=round(time.monotonic() - begun_s, 1),
        )
        if problem and args["fail"]:
            result.update(failed=True, msg=problem)
        elif checks:
            self._say("%d checks passed, %d failed, %d warnings, %d skipped, in %s" % (
                counts["passed"], counts["failed"], counts["warned"], counts["skipped"],
                duration(result["duration_s"])))  # fmt: skip
        return result

    def _say(self, text: str) -> None:
        self._lines.say(text, time.monotonic())

    def _query(self, definition: dict, questions: list[dict], url: str = "") -> dict:
        """Return one round trip's answers."""
        told = self._retry.run(
            "myia.vllm.service_query",
            {
                "container": definition["container_name"],
                "port": definition["container_port"],
                "scheme": definition["scheme"],
                "model": definition["served_model_name"],
                "questions": questions,
                "budget_s": self._budget_s,
                "url": url,
                # the log tells the kind, asked for once as the address is
                "tasks": bool(url),
                "folder": definition["dir"],
                "token": self._token,
            },
        )
        if told.get("failed") or "answers" not in told:
            raise NobodyAnswers(
                "%s Run watch_medium.yml to see how the service is, or deploy_medium.yml to start it."
                % message(told, "The module service_query failed.")
            )
        self._lock_problem = told.get("lock_problem") or ""
        if self._lock_problem:
            raise NobodyAnswers("This run stops: %s. Nothing more was changed by it." % self._lock_problem)
        return told

    def _endpoints(self, definition: dict) -> tuple[list[dict], service_kind.Told, dict, tuple[str, ...]]:
        """Ask the endpoints.

        Returns:
            The checks of endpoints and access; the kind of the service; the definition with what the service itself
            tells (``max_model_len``, ``problem_type``, ``tokens_only``); and kinds that it is in addition.
        """
        questions = endpoint_checks.questions(definition)
        answers: dict[str, dict] = {}
        published: dict = {}
        tasks: list[str] = []
        while questions:
            told = self._query(definition, questions, "" if published else definition["base_url"])
            published, tasks = told.get("published") or published, told.get("tasks") or tasks
            answers.update({answer["id"]: answer for answer in told["answers"]})
            questions = [item for item in questions if item["id"] in told["left"]]
            if told["gone"]:
                answers.update({item["id"]: endpoint_checks.NOT_ASKED for item in questions})
                break
        kind = endpoint_checks.tell_kind(definition, tasks, answers)
        checks = [
            item
            for item in [
                endpoint_checks.published(definition, published),
                *endpoint_checks.judge(definition, answers, kind),
            ]
            if item["id"] not in self._skip
        ]
        for item in checks:
            if item["status"] == "failed":
                self._say(check_result.line(item))
        counts = check_result.counts(checks)
        self._say("kind of service: %s; endpoints and access: %d of %d checks passed" % (
            kind.kind or " or ".join(kind.candidates) or "unknown", counts["passed"], len(checks)))  # fmt: skip
        service = {
            **definition,
            "max_model_len": endpoint_checks.length_of(definition, answers),
            "problem_type": (answers.get("files") or {}).get("problem_type") or "",
            "tokens_only": kind.tokens_only,
        }
        return checks, kind, service, ("transcription",) if "transcription" in tasks else ()

    def _functional(
        self, service: dict, functional: list[dict], told: service_kind.Told, more: tuple[str, ...]
    ) -> list[dict]:
        """Return the checks of what the model answers."""
        fits = {item["id"]: functional_checks.fitness(item, told, more) for item in functional}
        # those of the role's own that are for other kinds of services say nothing about this one
        functional = [item for item in functional if functional_checks.is_own(item) or not fits[item["id"]].foreign]
        asked = [functional_checks.question(item, service) for item in functional if fits[item["id"]].applies]
        questions = [question for question in asked if question]
        answers: dict[str, dict] = {}
        while questions:
            given = self._query(service, questions)
            for answer in given["answers"]:
                answers[answer["id"]] = answer
                item = next(item for item in functional if item["id"] == answer["id"])
                judged = functional_checks.judge(item, service, answer, fits[item["id"]])
                self._say(check_result.line(judged))
            questions = [question for question in questions if question["id"] in given["left"]]
            if given["gone"]:
                answers.update({question["id"]: endpoint_checks.NOT_ASKED for question in questions})
                break
        return [
            functional_checks.judge(item, service, answers.get(item["id"]), fits[item["id"]]) for item in functional
        ]
