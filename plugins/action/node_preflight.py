# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.node_preflight``: see plugins/modules/node_preflight.py for its docs."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import arguments as preflight_arguments
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import nodes as preflight_nodes


class ActionModule(ActionBase):
    """Judge what the hosts of a service found; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "preflight", "met", "skip"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the findings of all hosts."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "preflight": {"type": "str", "required": True},
                "met": {"type": "str", "required": True},
                "skip": {"type": "list", "elements": "str", "default": []},
            }
        )
        hostvars = (task_vars or {})["hostvars"]
        nodes = {name: self._said(name, hostvars, args) for name in args["definition"]["nodes"]["names"]}
        pull = preflight_arguments.variables(task_vars or {}, self._templar)["vllm_service_pull"]
        findings = preflight_nodes.check(args["definition"], nodes, pull)
        refused = preflight_checks.refused(findings, args["skip"])
        result["changed"] = False
        result["findings"] = findings
        result["warnings"] = [] if refused else preflight_checks.warnings(findings, args["skip"])
        result["refused"] = bool(refused)
        result["report"] = preflight_checks.report(findings, args["skip"]) if refused else ""
        return result

    @staticmethod
    def _said(name: str, hostvars: Mapping, args: dict) -> dict:
        """Return what a host has found in this run; empty where it found nothing, or is refused itself."""
        if name not in hostvars:
            return {}
        known = hostvars[name]
        looked, met, definition = (known.get(key) for key in (args["preflight"], args["met"], "vllm_definition"))
        usable = all(isinstance(item, Mapping) for item in (looked, met, definition))
        if not usable or looked.get("refused", True) or "calls" not in met:
            return {}
        return {"host": looked["host"], "met": met, "definition": definition}
