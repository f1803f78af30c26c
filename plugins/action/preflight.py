# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.preflight``: see plugins/modules/preflight.py for its docs."""

from __future__ import annotations

import os
import pathlib
import time

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import arguments as preflight_arguments
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import controller


class ActionModule(ActionBase):
    """Read the host by the module ``host_info`` and judge it on the controller."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "min_free_gib", "refuse", "skip"))
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return all findings; fail with one report when a check failed that is not skipped."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "min_free_gib": {"type": "float"},
                "refuse": {"type": "bool", "default": True},
                "skip": {"type": "list", "elements": "str", "default": []},
            }
        )
        result["changed"] = False
        unknown = preflight_checks.unknown_ids(args["skip"])
        if unknown:
            result["failed"] = True
            result["msg"] = "vllm_preflight_skip: %s Nothing was changed." % " ".join(
                "no check is called %s; %s" % (name, "did you mean %s?" % near if near else "see the role's README.")
                for name, near in unknown
            )
            return result
        definition = args["definition"]
        values = preflight_arguments.variables(task_vars or {}, self._templar)
        before = time.time()
        answer = self._execute_module(
            module_name="myia.vllm.host_info",
            module_args=preflight_arguments.module_args(definition, values),
            task_vars=task_vars,
        )
        if answer.get("failed") or answer.get("unreachable"):
            result.update(answer)
            return result
        host = answer["host"]
        compare_clock(host["clock"], before, time.time())
        judged = preflight_checks.check(definition, host, args["min_free_gib"], preflight_arguments.settings(values))
        findings = judged["findings"]
        own = self._controller(task_vars or {})
        findings += [own] if own else []
        refused = preflight_checks.refused(findings, args["skip"])
        if refused and args["refuse"]:
            result["failed"] = True
            # the message says it all; the data behind it would bury it on the operator's screen
            result["msg"] = preflight_checks.report(findings, args["skip"])
            result["warnings"] = []
            return result
        # a refusal's report holds the warnings too
        result["warnings"] = [] if refused else preflight_checks.warnings(findings, args["skip"])
        result["refused"] = bool(refused)
        result["report"] = preflight_checks.report(findings, args["skip"]) if refused else ""
        result["host"] = host
        result.update(judged)
        return result

    def _controller(self, task_vars: dict) -> dict | None:
        """Return the finding about the controller's own files; None where there are none."""
        given = context.CLIARGS or {}
        identities = [*(constants.DEFAULT_VAULT_IDENTITY_LIST or []), *(given.get("vault_ids") or [])]
        files = [constants.DEFAULT_VAULT_PASSWORD_FILE or "", *(given.get("vault_password_files") or [])]
        try:
            folder = str(self._templar.template(task_vars.get("vllm_report_dir")) or ".")
        except AnsibleError:
            folder = "."
        reports = pathlib.Path(folder).expanduser().absolute() / "reports"
        places = {os.getcwd(), str(task_vars.get("inventory_dir") or os.getcwd())}
        environments = [os.path.join(place, ".env") for place in sorted(places)]
        return controller.check(controller.vault_files(identities, files), environments, str(reports))


def compare_clock(clock: dict, before: float, after: float) -> None:
    """Say of what a host's clock is ahead; of the controller's when no answer from the net had a date.

    Args:
        clock: ``skew_s`` and ``time`` of ``host_info``; ``by`` is added.
        before: the controller's time before the host was asked, in seconds since 1970.
        after: the same after it answered.
    """
    clock["by"] = "hub and registry"
    if clock["skew_s"] is None:
        clock["by"] = "this controller"
        clock["skew_s"] = round(min(clock["time"] - before, 0.0) or max(clock["time"] - after, 0.0), 1)
