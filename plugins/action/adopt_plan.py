# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.adopt_plan``: see plugins/modules/adopt_plan.py for its docs."""

from __future__ import annotations

import pathlib

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import answer, inventory
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import role_options

#: The file that is written last, so that its presence means a whole inventory.
_LAST = "hosts.yml"

#: Beginnings of the variables by which Ansible reaches a host.
_REACHES = (
    "ansible_host", "ansible_port", "ansible_user", "ansible_connection", "ansible_ssh_", "ansible_become",
    "ansible_password", "ansible_python_interpreter", "ansible_docker_", "ansible_private_key_file",
    "ansible_paramiko_",
)  # fmt: skip


class ActionModule(ActionBase):
    """Say in the collection's variables what was found on a host; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("found", "containers", "accept", "folder", "vllm_dir"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the services, the texts of the inventory and what the operator should read."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "found": {"type": "dict", "required": True},
                "containers": {"type": "list", "elements": "str", "default": []},
                "accept": {"type": "list", "elements": "str", "default": [], "choices": ["neighbours", "user"]},
                "folder": {"type": "str", "required": True},
                "vllm_dir": {"type": "str", "default": "/opt/vllm"},
            }
        )
        result["changed"] = False
        found = answer.find(args["found"], role_options("vllm"), args["containers"], args["vllm_dir"])
        problem = self._problem(found, args)
        if problem:
            result.update(failed=True, msg=problem + " Nothing was changed.")
            return result
        for service in found["services"]:
            why = [text for reason, text in service.pop("noticed") if not reason or reason not in args["accept"]]
            service["staged"], service["why_not"] = not why, why
        host = task_vars["inventory_hostname"]
        connection = {
            name: self._templar.template(value) for name, value in task_vars.items() if name.startswith(_REACHES)
        }
        result.update(
            services=[self._service(service) for service in found["services"]],
            connection=connection,
            secrets=inventory.secrets(found["services"]),
            main=inventory.text(found["services"], host, found["warnings"]),
            hosts=inventory.hosts(host, connection),
            summary=inventory.summary(found, args["folder"]),
            without_restart=all(service["staged"] for service in found["services"]),
        )
        return result

    @staticmethod
    def _problem(found: dict, args: dict) -> str:
        """Return why nothing is taken over; empty where something is."""
        if not found["services"]:
            wanted = ", ".join(args["containers"]) or "any container that serves vLLM"
            return (
                "Found nothing to take over (%s). Expected a container of vLLM that this collection has not made."
                % wanted
            )
        folder = pathlib.Path(args["folder"]).expanduser()
        if (folder / _LAST).exists():
            return "%s is there already. Remove it, or set another vllm_adopt_folder." % folder
        return ""

    @staticmethod
    def _service(service: dict) -> dict:
        """Return what the next play needs of a service, secrets among it."""
        own = inventory.variables(service)
        extra = {
            name: service["secrets"].get(str(value)[3:-3], value) if str(value).startswith("{{ adopted_") else value
            for name, value in (own.get("vllm_extra_env") or {}).items()
        }
        if extra:
            own["vllm_extra_env"] = extra
        own.update({name: value for name, value in service["secrets"].items() if name.startswith("vllm_")})
        keys = ("name", "service", "container", "container_id", "unit", "staged", "why_not")
        origin = "the Compose project %s in %s" % (service["project"], service["directory"])
        return {
            **{key: service[key] for key in keys},
            "origin": origin if service["project"] else service["unit"] or "docker run",
            "variables": own,
        }
