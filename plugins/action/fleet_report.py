# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.fleet_report``: see plugins/modules/fleet_report.py for its docs."""

from __future__ import annotations

import pathlib
import time

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import outcome, page
from ansible_collections.myia.vllm.plugins.plugin_utils.report import files as report_files

#: Results of roles that a row is made of, by the name that ``outcome.row`` knows them by.
_RESULTS = {"report": "vllm_report_result", "service": "vllm_service_result", "gate": "__vllm_service_speed"}


class ActionModule(ActionBase):
    """Make one document of what became of each host, and write it on the controller; contacts no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return verdict, closing message and path; a report that cannot be written gives a warning."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "service": {"type": "str", "required": True},
                "batches": {"type": "list", "elements": "list", "default": []},
                "first": {"type": "list", "elements": "dict", "default": []},
                "problem": {"type": "str", "default": ""},
                "dir": {"type": "str", "default": ""},
                "keep": {"type": "int", "default": 50},
            }
        )
        check_mode = bool(self._task.check_mode)
        seen = {host: self._seen(task_vars.get("hostvars") or {}, host) for host in args["hosts"]}
        rows = [outcome.row(host, seen[host], check_mode) for host in args["hosts"]]
        verdict = outcome.judge(args["service"], rows, args["problem"])
        about = {
            "service": args["service"],
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "check_mode": check_mode,
            "standins": any((found["report"] or {}).get("standins") for found in seen.values()),
        }
        document = outcome.document(about, rows, args["batches"], args["first"], verdict)
        folder, path = pathlib.Path(args["dir"] or ".").expanduser().absolute(), ""
        try:
            path = str(report_files.write(str(folder), document, args["keep"], page.forms(document)))
        except OSError as error:
            result["warnings"] = [
                "The report of the fleet could not be written to %s/reports (%s). Set vllm_report_dir to a folder of "
                "the controller that this user may write." % (folder, error)
            ]
        result.update(
            changed=False,
            verdict=verdict["id"],
            ok=verdict["tone"] in ("good", "neutral"),
            hosts=rows,
            path=path,
            closing=outcome.closing(verdict, rows, path),
        )
        return result

    def _seen(self, hostvars: dict, host: str) -> dict:
        """Return what ``outcome.row`` wants to know of a host; what its roles did not return is empty."""
        turn = self._value(hostvars, host, "vllm_fleet_result")
        found = {name: self._value(hostvars, host, variable) for name, variable in _RESULTS.items()}
        found["report"] = (found["report"] or {}).get("report") or {}
        return {"begun": bool(turn.get("begun")), "failure": str(turn.get("failure") or ""), **found}

    def _value(self, hostvars: dict, host: str, name: str) -> dict:
        """Return a result of a role for a host; empty where it has none, as it did not come so far."""
        try:
            value = self._templar.template(hostvars[host].get(name))
        except (AnsibleError, KeyError):
            return {}
        return dict(value) if isinstance(value, dict) else {}
