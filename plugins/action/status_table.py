# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.status_table``: see plugins/modules/status_table.py for its docs."""

from __future__ import annotations

import json
import pathlib

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.status import row as status_row
from ansible_collections.myia.vllm.plugins.plugin_utils.status import table as status_table


class ActionModule(ActionBase):
    """Print the rows of all services as a table, and write them as JSON; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("rows", "file"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the lines and the closing message."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "rows": {"type": "list", "elements": "dict", "required": True},
                "file": {"type": "str", "default": ""},
            }
        )
        rows, path = args["rows"], ""
        if args["file"]:
            path = str(pathlib.Path(args["file"]).expanduser().absolute())
            try:
                pathlib.Path(path).write_text(json.dumps(rows, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            except OSError as error:
                result["warnings"] = ["%s cannot be written: %s (vllm_status_file)." % (path, error.strerror)]
                path = ""
        result["changed"] = False
        result["table"] = status_table.lines(rows)
        result["closing"] = status_table.closing(rows, path)
        result["well"] = all(item["state"] in status_row.WELL for item in rows)
        live.write("\n" + "\n".join(result["table"]))
        return result
