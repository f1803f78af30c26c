# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_host``: see plugins/modules/service_host.py for its docs."""

from __future__ import annotations

from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import said
from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches

#: What Ansible makes for each host and task itself, beside its own list of such names, and what is the machine's alone.
_NOT_OF_A_SERVICE = (
    "vllm_services",
    "environment",
    "omit",
    "vars",
    "ansible_check_mode",
    "ansible_loop_var",
    "ansible_search_path",
)


class ActionModule(ActionBase):
    """Make an inventory host of one service, with all that its machine has; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("hosts", "service"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return what Ansible takes as a new host, as ``ansible.builtin.add_host`` does."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={"hosts": {"type": "str", "required": True}, "service": {"type": "dict", "required": True}}
        )
        service, machine = args["service"], task_vars["inventory_hostname"]
        own = {name: value for name, value in task_vars.items() if self._is_own(name)}
        own.update(said.below_extra(task_vars))
        own["ansible_host"] = self._templar.template(task_vars.get("ansible_host")) or machine
        own.update({item["name"]: item["value"] for item in service["take"]})
        groups = [
            *(task_vars.get("group_names") or []),
            batches.targets_group(args["hosts"], every=True),
            batches.machine_group(machine),
        ]
        result["changed"] = False
        result["add_host"] = {"host_name": service["host"], "groups": groups, "host_vars": own}
        return result

    def _is_own(self, name: str) -> bool:
        """Tell whether a service of the machine has this variable, too."""
        loop = self._task.loop_control and self._task.loop_control.loop_var
        return name not in constants.INTERNAL_STATIC_VARS and name not in (*_NOT_OF_A_SERVICE, loop)
