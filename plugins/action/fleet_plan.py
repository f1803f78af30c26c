# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.fleet_plan``: see plugins/modules/fleet_plan.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import looks, plan


class ActionModule(ActionBase):
    """Judge what was seen of a fleet; contacts no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the batches, or why one host must not be taken out of service; fails for neither."""
        result = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "backend": {"type": "str", "required": True},
                "looks": {"type": "dict", "default": {}},
                "gateways": {"type": "list", "elements": "dict", "default": []},
                "canary": {"type": "raw", "default": 1},
                "serial": {"type": "raw", "default": 1},
                "turn": {"type": "str", "default": ""},
            }
        )
        pools = looks.pools(args["gateways"], args["backend"])
        result["changed"] = False
        if args["turn"]:
            result["problem"] = plan.turn_problem(args["turn"], args["hosts"], pools)
            return result
        seen = [looks.host(name, args["looks"].get(name) or {}, pools) for name in args["hosts"]]
        result.update(plan.make(seen, args["canary"], args["serial"]))
        return result
