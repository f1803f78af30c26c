# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.prefetch``: see plugins/modules/prefetch.py for its docs."""

from __future__ import annotations

import contextlib
import time

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.prefetch import watcher as prefetch_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue

#: Seconds before the first new attempt to reach a host; each later one waits twice as long, up to the second figure.
RECONNECT_S, RECONNECT_MAX_S = 2.0, 15.0


class ActionModule(ActionBase):
    """Ask the host by the module ``prefetch_step`` until the step is over."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return what is there; fail with one message that names what went wrong."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "step": {"type": "str", "required": True, "choices": ["image", "weights"]},
                "definition": {"type": "dict", "required": True},
                "release": {"type": "dict", "default": {}},
                "pull": {"type": "str", "default": "missing", "choices": ["always", "missing", "never"]},
                "lock": {"type": "dict", "default": {}},
                "timeout_s": {"type": "int", "default": 7200},
                "connection_timeout_s": {"type": "int", "default": 120},
                "retries": {"type": "int", "default": 3},
                "extra_failures": {"type": "list", "elements": "dict", "default": []},
            }
        )
        step, models = args["step"], args["definition"]["prefetch"]["models"]
        if step == "weights" and not models:
            # a model of the host's own, or one that vLLM is to download itself
            result.update(_nothing(step))
            return result
        lines = ProgressLines(Display().display, (task_vars or {}).get("inventory_hostname", ""))
        try:
            catalogue = failure_catalogue.load(args["extra_failures"])
            watch = prefetch_watcher.Watch(
                step,
                lambda do: self._ask(do, args, task_vars, lines),
                lines,
                catalogue,
                timeout_s=args["timeout_s"],
                retries=args["retries"],
            )
            if self._task.check_mode:
                result.update(_would(step, self._ask("look", args, task_vars, lines)))
            else:
                result.update(prefetch_watcher.facts(step, watch.run()))
        except failure_catalogue.CatalogueError as error:
            result.update(failed=True, msg=str(error))
        except prefetch_watcher.PrefetchError as error:
            result.update(failed=True, changed=False, step=step, msg=redact(str(error)), diagnosis=error.diagnosis)
        return result

    def _ask(self, do: str, args: dict, task_vars: dict, lines: ProgressLines) -> dict:
        """Return the answer of the module; a connection that is lost gets its time to come back."""
        definition = args["definition"]
        prefetch = definition["prefetch"]
        module_args = {
            "step": args["step"],
            "do": do,
            "image": definition["image"],
            "pull": args["pull"],
            "project": definition["project"],
            "release": args["release"].get("path") or "",
            "service": prefetch["service"],
            "container": prefetch["container_name"],
            "models": prefetch["models"],
            "hf_cache": definition["hf_cache"],
            "lock": args["lock"],
        }
        lost_s, wait_s = None, RECONNECT_S
        while True:
            try:
                answer = self._execute_module("myia.vllm.prefetch_step", module_args, task_vars=task_vars)
            except AnsibleConnectionFailure as error:
                answer = {"unreachable": True, "msg": str(error)}
            if "state" in answer:
                return answer
            text = str(answer.get("msg") or answer.get("module_stderr") or "no answer").strip()
            if not _is_lost(answer):
                raise prefetch_watcher.PrefetchError(["The host cannot look: %s" % text])
            now_s = time.monotonic()
            lost_s = now_s if lost_s is None else lost_s
            if now_s - lost_s >= args["connection_timeout_s"]:
                raise prefetch_watcher.PrefetchError(
                    [
                        "The host has not answered for %s: %s" % (duration(now_s - lost_s), text),
                        "What was begun on it goes on by itself; deploy again when it answers.",
                    ]
                )
            lines.say(
                "%s: the host does not answer, asked again in %s" % (args["step"], duration(wait_s)),
                now_s,
                redact(text.splitlines()[0])[:200],
            )
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, RECONNECT_MAX_S)
            with contextlib.suppress(Exception):
                self._connection.reset()


def _is_lost(answer: dict) -> bool:
    """Tell whether the module never ran, or its answer never came: a host that restarts, a connection that broke."""
    if answer.get("unreachable"):
        return True
    said = str(answer.get("module_stdout") or "") + str(answer.get("module_stderr") or "")
    return "module_stdout" in answer and "Traceback" not in said and answer.get("rc") not in (0, 127)


def _nothing(step: str) -> dict:
    facts = {"models": [], "image": "", "id": "", "changed": False, "bytes": 0}
    return prefetch_watcher.facts(step, {"facts": facts, "seconds": 0.0, "diagnosis": {}})


def _would(step: str, answer: dict) -> dict:
    """Return what check mode says: whether anything would be downloaded."""
    if answer["state"] == "lost":
        raise prefetch_watcher.PrefetchError(["This run has to stop: %s." % answer["problem"]])
    there = answer["state"] in ("complete", "done") or (step == "image" and answer["facts"].get("id"))
    if there:
        return prefetch_watcher.facts(step, {**answer, "seconds": 0.0, "diagnosis": {}})
    what = {"image": "The image would be pulled.", "weights": "The weights would be downloaded, unless all is there."}
    return {**_nothing(step), "changed": True, "msg": what[step]}
