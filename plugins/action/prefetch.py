# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.prefetch``: see plugins/modules/prefetch.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import ProgressLines, duration
from ansible_collections.myia.vllm.plugins.plugin_utils.common.redaction import redact
from ansible_collections.myia.vllm.plugins.plugin_utils.common.retry import ConnectionLost, Retry, message
from ansible_collections.myia.vllm.plugins.plugin_utils.prefetch import watcher as prefetch_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue


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
                "connection_timeout_s": {"type": "float", "default": 120.0},
                "retries": {"type": "int", "default": 3},
                "extra_failures": {"type": "list", "elements": "dict", "default": []},
            }
        )
        step, models = args["step"], args["definition"]["prefetch"]["models"]
        if step == "weights" and not models:
            # a model of the host's own, or one that vLLM is to download itself
            result.update(_nothing(step))
            return result
        lines = ProgressLines(live.write, (task_vars or {}).get("inventory_hostname", ""))
        retry = Retry(self, task_vars, lines, args["connection_timeout_s"])
        try:
            catalogue = failure_catalogue.load(args["extra_failures"])
            watch = prefetch_watcher.Watch(
                step,
                lambda do: self._query(do, args, retry),
                lines,
                catalogue,
                timeout_s=args["timeout_s"],
                retries=args["retries"],
            )
            if self._task.check_mode:
                result.update(_would(step, self._query("inspect", args, retry)))
            else:
                result.update(prefetch_watcher.facts(step, watch.run()))
        except failure_catalogue.CatalogueError as error:
            result.update(failed=True, msg=str(error))
        except prefetch_watcher.PrefetchError as error:
            result.update(failed=True, changed=False, step=step, msg=redact(str(error)), diagnosis=error.diagnosis)
        return result

    def _query(self, do: str, args: dict, retry: Retry) -> dict:
        """Return the answer of the module."""
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
        try:
            answer = retry.run("myia.vllm.prefetch_step", module_args)
        except ConnectionLost as error:
            raise prefetch_watcher.PrefetchError(
                [
                    "The host has not answered for %s: %s" % (duration(args["connection_timeout_s"]), error),
                    "What was begun on it goes on by itself; deploy again when it answers.",
                ]
            ) from None
        if "state" not in answer:
            raise prefetch_watcher.PrefetchError(["The host cannot look: %s" % message(answer, "no answer")])
        return answer


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
