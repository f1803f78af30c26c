# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_status``: see plugins/modules/service_status.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.status import row as status_row


class ActionModule(ActionBase):
    """Put what was seen of a service into one row; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "snapshot", "vitals", "config", "failure", "service"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the row."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "service": {"type": "str", "default": ""},
                "definition": {"type": "dict", "default": {}},
                "snapshot": {"type": "dict", "default": {}},
                "vitals": {"type": "dict", "default": {}},
                "config": {"type": "dict", "default": {}},
                "failure": {"type": "str", "default": ""},
            }
        )
        host = task_vars["inventory_hostname"]
        # a definition that was refused is registered, too
        definition = {} if args["definition"].get("failed") else args["definition"]
        about = {
            "host": host,
            "address": str(self._templar.template(task_vars.get("ansible_host")) or host),
            "service": definition.get("name") or args["service"] or "medium",
        }
        result["changed"] = False
        result["row"] = status_row.made(
            about, definition, args["snapshot"], args["vitals"], args["config"], args["failure"]
        )
        return result
