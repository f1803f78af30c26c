# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_proposals``: see plugins/modules/service_proposals.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import fit, plan_table
from ansible_collections.myia.vllm.plugins.plugin_utils.services import answers


class ActionModule(ActionBase):
    """Propose values for a model and the GPUs that a preflight found; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "result", "context_tokens", "users"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Print and return the proposals; fail with the reasons where there is none."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "result": {"type": "dict", "required": True},
                "context_tokens": {"type": "str", "default": ""},
                "users": {"type": "int", "default": 1},
            }
        )
        definition, looked = args["definition"], args["result"]
        result["changed"] = False
        tokens, problems = answers.tokens(args["context_tokens"])
        if problems:
            result["failed"] = True
            result["msg"] = "\n".join(problems)
            return result
        # what a definition of one GPU gets wrong is decided by the proposals
        findings = [item for item in looked["findings"] if item["id"] not in fit.DECIDED]
        refused = preflight_checks.refused(findings, [])
        found = fit.proposals(definition, looked["host"], fit.Wish(tokens, args["users"]), looked.get("environment"))
        if refused or not found:
            result["failed"] = True
            result["msg"] = preflight_checks.report(findings, []) if refused else fit.nothing(definition, looked)
            return result
        result["proposals"] = [{**item, "yaml": "\n".join(plan_table.as_yaml(item["values"]))} for item in found]
        result["table"] = plan_table.proposals(found)
        result["warnings"] = preflight_checks.warnings(findings, [])
        self._display.display("\n".join(result["table"]))
        return result
