# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.new_service_answers``: see plugins/modules/new_service_answers.py for its docs."""

from __future__ import annotations

import pathlib

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.services import answers

#: The file that is written last, so that its presence means a whole inventory.
_LAST = "hosts.yml"


class ActionModule(ActionBase):
    """Read the answers and look whether there is such an inventory; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("model", "host", "name", "context_tokens", "users", "folder"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return what the answers mean; fail with all that is wrong with them."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "model": {"type": "str", "default": ""},
                "host": {"type": "str", "default": ""},
                "name": {"type": "str", "default": ""},
                "context_tokens": {"type": "str", "default": ""},
                "users": {"type": "str", "default": ""},
                "folder": {"type": "str", "required": True},
            }
        )
        groups = (task_vars or {}).get("groups") or {}
        read, problems = answers.read({key: args[key] for key in args if key != "folder"}, groups.get("all") or [])
        folder = pathlib.Path(args["folder"]).expanduser() / (read["name"] or "service")
        if (folder / _LAST).exists():
            problems.append(
                "%s is there already. Edit its group_vars, set another vllm_name, or remove the folder first." % folder
            )
        result["changed"] = False
        if problems:
            result["failed"] = True
            result["msg"] = "\n".join([*problems, "Nothing was changed."])
            return result
        result.update(read)
        result["folder"] = str(folder)
        return result
