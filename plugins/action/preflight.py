# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.preflight``: see plugins/modules/preflight.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.module_utils import preflight


class ActionModule(ActionBase):
    """Read the host by the module ``host_info`` and judge it on the controller."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "min_free_gib", "skip"))
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return all findings; fail with one report when a check failed that is not skipped."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "min_free_gib": {"type": "float", "default": 40.0},
                "skip": {"type": "list", "elements": "str", "default": []},
            }
        )
        definition = args["definition"]
        answer = self._execute_module(
            module_name="myia.vllm.host_info",
            module_args={
                "port": definition["port"],
                "project": definition["project"],
                "paths": [definition["dir"]],
                "model_path": definition["model"] if definition["model_is_local"] else "",
                "gpus": definition["accelerator"] == "nvidia",
            },
            task_vars=task_vars,
        )
        if answer.get("failed") or answer.get("unreachable"):
            result.update(answer)
            return result
        findings = preflight.check(definition, answer["host"], args["min_free_gib"])
        bad = [item for item in findings if not item["ok"]]
        result["changed"] = False
        result["warnings"] = [
            "preflight check %s failed and was skipped: found %s, needed %s."
            % (item["id"], item["found"], item["needed"])
            for item in bad
            if item["id"] in args["skip"]
        ]
        if any(item["id"] not in args["skip"] for item in bad):
            result["failed"] = True
            # the message says it all; the data behind it would bury it on the operator's screen
            result["msg"] = preflight.report(findings, args["skip"])
        else:
            result["findings"] = findings
            result["host"] = answer["host"]
        return result
