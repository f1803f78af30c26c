# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.fleet_plan``: see plugins/modules/fleet_plan.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_identity
from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import looks, plan

#: The variable of a host with what ``myia.vllm.service_status_info`` returned (roles/vllm_fleet).
LOOK = "__vllm_fleet_look"


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
                "gateways": {"type": "list", "elements": "dict", "default": []},
                "canary": {"type": "raw", "default": 1},
                "serial": {"type": "raw", "default": 1},
                "turn": {"type": "str", "default": ""},
                "silent_s": {"type": "int", "default": 300},
            }
        )
        pools = looks.pools(args["gateways"], args["backend"], args["hosts"])
        result["changed"] = False
        hostvars = (task_vars or {}).get("hostvars") or {}
        together = {name: self._together(name, hostvars) for name in args["hosts"]}
        if args["turn"]:
            # of a replica of several hosts all are told the same, whichever of them the gateway knows
            unit = together.get(args["turn"]) or [args["turn"]]
            found = [plan.turn_problem(name, args["hosts"], pools) for name in unit]
            result["problem"] = next((text for text in found if text), "")
            return result
        seen = [
            looks.host(name, hostvars[name].get(LOOK) or {}, pools, args["silent_s"], run_identity.is_over)
            for name in args["hosts"]
        ]
        made = plan.make(seen, args["canary"], args["serial"], together)
        members = [
            {"host": host, "group": plan.group_of(number)}
            for number, batch in enumerate(made["batches"])
            for host in batch
        ]
        result.update(made, members=members, text=plan.text(made))
        return result

    @staticmethod
    def _together(name: str, hostvars: dict) -> list[str]:
        """Return the hosts of the inventory that serve one model with this one; empty for a service of its own."""
        definition = hostvars[name].get("vllm_definition") or {}
        return [str(other) for other in (definition.get("nodes") or {}).get("names") or []]
