# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.start_watch``: see plugins/modules/start_watch.py for its docs."""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.common.failed_nodes import FailedNodes
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration
from ansible_collections.myia.vllm.plugins.plugin_utils.common.retry import ConnectionLost, Retry, message
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, failure_report
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.watcher import StartWatch

#: How long the engine may take to be seen dead after it did not answer a request, in seconds.
AFTER_NO_ANSWER_S = 10.0

#: Said of a service whose container is not meant to run.
STOPPED = "%s does not run: it was stopped on purpose, by %s at %s. start_medium.yml and deploy_medium.yml start it."


class ActionModule(ActionBase):
    """Look at the service by the module ``service_status_info`` again and again, and judge on the controller."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(
        ("container", "url", "served_model_name", "release", "folder", "token", "image", "model", "download_bytes",
         "poll_s", "limits", "connection_timeout_s", "docker_error", "extra_failures", "nodes", "attempt",
         "fail")
    )  # fmt: skip
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return how the start went; fail when it did not end well."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "container": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "served_model_name": {"type": "str", "default": ""},
                "release": {"type": "path"},
                "folder": {"type": "path"},
                "token": {"type": "str", "no_log": False},
                "image": {"type": "str", "default": ""},
                "model": {"type": "str", "default": ""},
                "download_bytes": {"type": "int", "default": 0},
                "poll_s": {"type": "float", "default": 2.0},
                "limits": {"type": "dict", "default": {}},
                "connection_timeout_s": {"type": "float", "default": 120.0},
                "docker_error": {"type": "str", "default": ""},
                "extra_failures": {"type": "list", "elements": "dict", "default": []},
                "nodes": {"type": "list", "elements": "str", "default": []},
                "attempt": {"type": "str", "default": ""},
                "fail": {"type": "bool", "default": True},
            }
        )
        result["changed"] = False
        try:
            catalogue = failure_catalogue.load(args["extra_failures"])
        except failure_catalogue.CatalogueError as error:
            raise AnsibleActionFail(str(error).replace("extra_failures", "vllm_extra_failures")) from None
        limits = self._limits(args["limits"])
        self._failed_nodes = FailedNodes(task_vars["inventory_hostname"], args["nodes"], args["attempt"])
        # what the host masks by its .env files is everything but Compose's own words
        secrets = [str(self._templar.template(task_vars[name])) for name in SECRETS if task_vars.get(name)]
        watch = StartWatch(catalogue, limits, secrets, args["download_bytes"])
        lines = ProgressLines(live.write, "%s: %s" % (task_vars["inventory_hostname"], args["container"]))
        retry = Retry(self, task_vars, lines, args["connection_timeout_s"])
        try:
            problem = self._follow(args, watch, lines, retry)
        except ConnectionLost as error:
            result["unreachable"] = True
            result["msg"] = (
                "The host did not answer for %s (vllm_health_connection_timeout_s) while its service was starting: %s. "
                "The start goes on without us. Run the playbook again when the host is back; it takes up where this "
                "run stopped." % (duration(args["connection_timeout_s"]), error)
            )
            return result
        if problem:
            self._failed_nodes.tell(problem, watch.again())
        result.update(self._answer(watch, problem))
        if problem and args["fail"]:
            result["failed"] = True
            result["msg"] = problem
        return result

    @staticmethod
    def _limits(given: dict) -> dict[str, float]:
        """Return the limits that are any, in seconds."""
        unknown = sorted(set(given) - {"total", *PHASES})
        if unknown:
            raise AnsibleActionFail(
                "limits: there is no phase %s; expected total, %s." % (", ".join(unknown), ", ".join(PHASES))
            )
        try:
            return {name: float(value) for name, value in given.items() if float(value) > 0}
        except (TypeError, ValueError):
            raise AnsibleActionFail(
                "limits: found %s; expected seconds for each phase, 0 for no limit." % given
            ) from None

    def _follow(self, args: dict, watch: StartWatch, lines: ProgressLines, retry: Retry) -> str:
        """Take look after look until the service answers; return what is wrong when it will not."""
        self._probe: dict = {}
        self._lock_problem = ""
        self._stopped: dict = {}
        self._again = ""
        cursor: dict = {}
        first = True
        if args["docker_error"]:
            watch.refuse(args["docker_error"])
            return self._failure(args, watch)
        while True:
            look = retry.run("myia.vllm.service_status_info", self._question(args, watch, cursor, first))
            if look.get("failed"):
                return message(look, "the module service_status_info failed")
            self._lock_problem, self._stopped = look["lock_problem"], look.get("stopped") or {}
            if self._lock_problem or self._stopped:
                watch.inspect = look
                return self._over(args, look)
            cursor, first = look["log_cursor"], False
            watch.take(look, args["image"], args["model"])
            now_s = time.monotonic()
            if watch.note:
                lines.say(watch.note, now_s)
            if look["healthy"]:
                return self._healthy(args, watch, lines, retry, cursor)
            elsewhere = {} if watch.failed else self._failed_nodes.first()
            self._again = elsewhere.get("again", "")
            if watch.failed or elsewhere:
                return elsewhere.get("problem") or self._failure(args, watch)
            if watch.gone or (look["state"] == "missing" and not watch.seen):
                what = "There is no container %s on this host."
                if watch.gone:
                    what = "The container %s was removed by somebody while it was watched."
                return (what % args["container"]) + (
                    " Run deploy_medium.yml to start one, or name the one to watch by vllm_container_name."
                )
            step, text, elapsed, left = watch.line()
            lines.show(step, text, now_s, elapsed, left)
            if not look["log_more"]:
                time.sleep(args["poll_s"])

    @staticmethod
    def _over(args: dict, look: dict) -> str:
        """Return why there is nothing to watch for this run."""
        if look["lock_problem"]:
            return "This run stops: %s. Nothing more was changed by it." % look["lock_problem"]
        by = look["stopped"]
        return STOPPED % (args["container"], by.get("who") or "somebody", by.get("at") or "a time that is not known")

    @staticmethod
    def _question(args: dict, watch: StartWatch, cursor: dict, first: bool) -> dict:
        """Return the arguments of the next look."""
        return {
            "container": args["container"],
            "url": args["url"] + "/health",
            # a service that is healthy at the first look was not started by us: its log is not asked for
            "log": "unless_healthy" if first else "always",
            "log_cursor": cursor,
            "folder": args["folder"],
            "token": args["token"],
            "model": args["model"],
            "download": not first and watch.download_wanted and "/" in args["model"] and args["model"][0] != "/",
        }

    def _healthy(
        self, args: dict, watch: StartWatch, lines: ProgressLines, retry: Retry, cursor: dict
    ) -> str:  # fmt: skip
        """Ask the model for a token; return what is wrong when none comes."""
        if not args["served_model_name"]:
            return ""
        self._probe = retry.run(
            "myia.vllm.service_probe",
            {
                "url": args["url"],
                "container": args["container"],
                "served_model_name": args["served_model_name"],
                "release": args["release"],
            },
        )
        if self._probe.get("failed"):
            return message(self._probe, "the module service_probe failed")
        if self._probe["answers"]:
            if watch.read_any:
                lines.say(watch.summary(), time.monotonic())
            return ""
        # an engine that died of the first request says so in its log
        end_s = time.monotonic() + AFTER_NO_ANSWER_S
        while time.monotonic() < end_s and not watch.failed:
            look = retry.run("myia.vllm.service_status_info", self._question(args, watch, cursor, False))
            if look.get("failed"):
                break
            cursor = look["log_cursor"]
            watch.take(look)
            if not look["healthy"] and watch.failed:
                return self._failure(args, watch)
            time.sleep(args["poll_s"])
        return "%s answers /health, but not as expected: %s." % (args["container"], self._probe["problem"].rstrip("."))

    @staticmethod
    def _failure(args: dict, watch: StartWatch) -> str:
        """Return the message for a start that failed."""
        diagnosis = watch.diagnosis
        head = "%s did not start." % args["container"]
        if diagnosis["outcome"] == "stopped":
            head = "%s was ready, and was stopped by somebody." % args["container"]
        if watch.stalled == "total":
            head = "%s does not answer on %s/health after %s (vllm_health_timeout_s)." % (
                args["container"], args["url"], duration(watch.waited_s))  # fmt: skip
        elif watch.stalled:
            head = "%s has been in the phase %s for %s, longer than vllm_health_%s_timeout_s allows." % (
                args["container"], watch.stalled, duration(watch.phase_s), watch.stalled)  # fmt: skip
        return "\n".join([head, *failure_report.lines(diagnosis)])

    def _answer(self, watch: StartWatch, problem: str) -> dict:
        """Return what the task gives back."""
        look = watch.inspect
        keys = ("state", "exit_code", "oom_killed", "restart_count", "restart_policy", "started_at", "http_status",
                "id", "ended")  # fmt: skip
        return {
            **{key: look[key] for key in keys if key in look},
            "healthy": not problem,
            "problem": problem,
            "lock_problem": self._lock_problem,
            "stopped": self._stopped,
            "diagnosis": watch.diagnosis,
            "stalled": watch.stalled,
            "verdict_s": watch.verdict_s() if watch.diagnosis else None,
            "again": self._again or watch.again(),
            "now_s": look.get("now_s", time.time()),
            "start": watch.start() if look else {},
            "answers": self._probe.get("answers"),
            "completion_s": self._probe.get("completion_s"),
        }
