# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.plan_table``: see plugins/modules/plan_table.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import plan_table


class ActionModule(ActionBase):
    """Print what a preflight found; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "result", "skip"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Print the table as it is, without the frame that callbacks put around results, and return its lines."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "result": {"type": "dict", "required": True},
                "skip": {"type": "list", "elements": "str", "default": []},
            }
        )
        name = (task_vars or {}).get("inventory_hostname", "this host")
        result["changed"] = False
        result["table"] = plan_table.lines(args["definition"], args["result"], name, args["skip"])
        live.write("\n" + "\n".join(result["table"]))
        return result
