# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_lock``: see plugins/modules/service_lock.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_identity


class ActionModule(ActionBase):
    """Say who this run is, and whether the run that has the lock is still alive, which only the controller knows."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Take the lock or give it back; fail with the holder's name when somebody else has it."""
        result = super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            argument_spec={
                "folder": {"type": "path", "required": True},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "token": {"type": "str", "no_log": False},
                "silent_s": {"type": "int", "default": 300},
                "holder": {"type": "dict"},
                "dead": {"type": "list", "elements": "str", "default": []},
                "what": {"type": "str", "default": ""},
            },
            required_if=[("state", "absent", ("token",))],
        )
        args = {name: value for name, value in given.items() if value is not None}
        # for people; the host does not need it
        what = args.pop("what") or args["folder"]
        if args["state"] == "absent":
            result.update(self._execute_module("myia.vllm.service_lock", module_args=args, task_vars=task_vars))
            return result
        args.setdefault("token", run_identity.new_token())
        args.setdefault("holder", run_identity.holder(task_vars))
        answer = self._execute_module("myia.vllm.service_lock", module_args=args, task_vars=task_vars)
        other = answer.get("other") or {}
        if other and run_identity.is_over(str(other.get("token", ""))):
            args["dead"] = [*args["dead"], other["token"]]
            answer = self._execute_module("myia.vllm.service_lock", module_args=args, task_vars=task_vars)
            other = answer.get("other") or {}
        result.update(answer)
        if other:
            result["failed"] = True
            result["msg"] = (
                "%s is being deployed by %s%s since %s; its last sign of life was %d s ago. Nothing was changed by "
                "this run. Wait until that run is over. If it died on another machine, its lock goes stale after %d s "
                "without a sign of life (vllm_service_lock_silent_s)."
            ) % (
                what,
                other.get("who", "an unknown holder"),
                " (%s)" % other["run"] if other.get("run") else "",
                other.get("since", "an unknown time"),
                other.get("silent_s", 0),
                args["silent_s"],
            )
        return result
