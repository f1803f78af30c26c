# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.gateway_plan``: see plugins/modules/gateway_plan.py for its docs."""

from __future__ import annotations

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import read_values, role_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems, coerce
from ansible_collections.myia.vllm.plugins.plugin_utils.gateway import plan
from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches


class ActionModule(ActionBase):
    """Make the plan of a gateway of all services' definitions; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset()
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the plan, or one failure that lists every problem."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        result["changed"] = False
        options = role_options("vllm_gateway")
        values, unreadable = read_values(options, task_vars, self._templar)
        wrong = ["%s: %s" % item for item in sorted(unreadable.items())]
        problems = Problems()
        values = coerce({**values, **{name: options[name].get("default") for name in unreadable}}, options, problems)
        wrong += [item["message"] for item in problems.found if item["variable"] not in unreadable]
        found, missing = self._services(values["vllm_gateway_service_hosts"], task_vars)
        gateway = {
            "host": task_vars["inventory_hostname"],
            "ansible_host": self._host_of(task_vars, task_vars["inventory_hostname"]),
        }
        made, more, warnings = ({}, [], []) if wrong else plan.make(values, found, gateway)
        wrong += missing + more
        if wrong:
            result["failed"] = True
            result["msg"] = "%d problem%s in the definition of the gateway; nothing was changed.\n%s" % (
                len(wrong),
                "" if len(wrong) == 1 else "s",
                "\n".join("- " + text for text in wrong),
            )
            return result
        result.update(made, warnings=warnings)
        # the maps hold vLLM's keys
        shown = str(self._templar.template(task_vars.get("vllm_secure_logging"))).lower() in ("false", "no", "0")
        result["_ansible_no_log"] = not shown
        return result

    def _services(self, group: str, task_vars: dict) -> tuple[list[dict], list[str]]:
        """Return each service of each host of a group, and which host's is not known."""
        groups, hostvars = task_vars["groups"], task_vars["hostvars"]
        found, missing = [], []
        hosts = groups.get(group) or ([group] if group in hostvars else [])
        for host in hosts:
            if groups.get(batches.machine_group(host)):
                # its services are hosts of their own
                continue
            try:
                variables = hostvars[host]
                definition = variables.get("vllm_definition")
                if not definition or "served_model_names" not in definition:
                    missing.append(
                        "%s: its service is not defined in this run, and the gateway would forget it. Run without "
                        "--limit and -e vllm_hosts." % host
                    )
                    continue
                found.append(
                    {
                        "host": host,
                        "definition": definition,
                        "api_key": str(variables.get("vllm_api_key") or ""),
                        "address": variables.get("vllm_gateway_server_address") or "",
                        "ansible_host": self._host_of(task_vars, host),
                    }
                )
            except AnsibleError as error:
                # the text may quote a template, and so a secret
                missing.append("%s: its vllm_api_key cannot be read (%s)." % (host, type(error).__name__))
        return found, missing

    @staticmethod
    def _host_of(task_vars: dict, host: str) -> str:
        return str(task_vars["hostvars"][host].get("ansible_host") or host)
