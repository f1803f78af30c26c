# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.host_services``: see plugins/modules/host_services.py for its docs."""

from __future__ import annotations

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible.vars.plugins import get_vars_from_inventory_sources

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import (
    known_variables,
    read_values,
    role_options,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches, conflicts, entries, groups


class ActionModule(ActionBase):
    """Find the services of a host that a run is about, and what they would take from each other; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("hosts", "every"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the services, or put the host itself among the targets where it is one service."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={"hosts": {"type": "str", "required": True}, "every": {"type": "bool", "default": False}}
        )
        result.update(changed=False, services=[], take=[])
        found = []
        try:
            if task_vars.get("vllm_services") in (None, "", []):
                self._check_groups(task_vars)
            else:
                found = self._services(args["every"], task_vars)
        except entries.ServicesError as error:
            result["failed"] = True
            result["msg"] = "%s Nothing was changed." % error
            return result
        if len(found) > 1:
            result["services"] = found
        else:
            result["take"] = found[0]["take"] if found else []
            # the strategy does the same for ansible.builtin.group_by
            result["add_group"] = batches.targets_group(args["hosts"], args["every"])
            result["parent_groups"] = ["all"]
        # values of an entry may be secret; names of what was found are told by what follows
        shown = str(self._template(task_vars.get("vllm_secure_logging"), task_vars)).lower() in ("false", "no", "0")
        result["_ansible_no_log"] = bool(found) and not shown
        return result

    def _services(self, every: bool, task_vars: dict) -> list[dict]:
        """Return name, inventory host and variables of each service that is chosen."""
        user = [str(name) for name in self._template(task_vars.get("vllm_user_variables"), task_vars) or []]
        found = entries.read(self._evaluated(task_vars), known_variables() | set(user))
        values, _unreadable = read_values(
            {"vllm_name": {}}, task_vars, self._templar.copy_with_new_env(available_variables=task_vars)
        )
        name = values.get("vllm_name")
        wanted = entries.chosen(found, str(name or ""), every)
        limit = context.CLIARGS.get("subset")
        if len(wanted) > 1 and limit:
            raise entries.ServicesError(
                "--limit %s leaves out the hosts that are made of the services. Name machines by -e vllm_hosts=%s, "
                "or one service by -e vllm_name=%s." % (limit, limit, wanted[0]["vllm_name"])
            )
        given = load_extra_vars(self._loader)
        extra = {key for key, value in given.items() if value not in (None, "")} - {"vllm_name"}
        # extra variables are about the services of the run, not about the others
        rest = {name: value for name, value in task_vars.items() if name not in extra}
        said, around = {}, {}
        for entry in found:
            is_meant = entry in wanted
            around[entry["vllm_name"]] = task_vars if is_meant else rest
            said[entry["vllm_name"]] = entries.variables(
                entry, around[entry["vllm_name"]], extra if is_meant else set()
            )
        definitions = self._definitions(said, around, [entry["vllm_name"] for entry in wanted])
        problems = conflicts.found(definitions)
        if problems:
            raise entries.ServicesError("\n".join(["The services of this host do not go together.", *problems]))
        return [
            {
                "name": entry["vllm_name"],
                "host": "%s-%s" % (task_vars["inventory_hostname"], entry["vllm_name"]),
                "take": [
                    {"name": key, "value": value}
                    for key, value in {
                        **said[entry["vllm_name"]],
                        "vllm_neighbours": conflicts.neighbours(definitions, entry["vllm_name"]),
                    }.items()
                ],
            }
            for entry in wanted
        ]

    def _evaluated(self, task_vars: dict) -> object:
        """Return ``vllm_services`` with the values of each entry as they are for its service."""
        raw = task_vars["vllm_services"]
        if not isinstance(raw, list):
            return self._template(raw, task_vars)
        return [
            self._template(entry, {**task_vars, **entry} if isinstance(entry, dict) else task_vars) for entry in raw
        ]

    def _definitions(self, said: dict[str, dict], around: dict[str, dict], wanted: list[str]) -> list[dict]:
        """Return the definition of each service; one that the run is not about may be unusable."""
        options = role_options("vllm")
        result, wrong = [], []
        for name, variables in said.items():
            own = {**around[name], **variables}
            templar = self._templar.copy_with_new_env(available_variables=own)
            values, unreadable = read_values(options, own, templar)
            made, problems, _notices = definition.define(values, options)
            if made and not unreadable:
                result.append(made)
            elif name in wanted:
                texts = ["%s: %s" % item for item in sorted(unreadable.items())]
                texts += [item["message"] for item in problems if item["variable"] not in unreadable]
                wrong += ["vllm_services, %s: %s" % (name, text) for text in texts]
        if wrong:
            raise entries.ServicesError("\n".join(wrong))
        return result

    def _template(self, value: object, task_vars: dict) -> object:
        try:
            return self._templar.copy_with_new_env(available_variables=task_vars).template(value)
        except AnsibleError as error:
            # the text may quote a template, and so a secret
            raise entries.ServicesError(
                "vllm_services, vllm_name or vllm_user_variables cannot be evaluated (%s)." % type(error).__name__
            ) from None

    def _check_groups(self, task_vars: dict) -> None:
        """Refuse a host whose groups are different services, of which one would win without a word."""
        names = [name for name in task_vars.get("group_names") or [] if not batches.is_ours(name)]
        if len(names) < 2:
            return
        # Ansible hands the inventory itself to nobody; without it no two groups count as different services
        inventory = getattr(task_vars.get("hostvars"), "_inventory", None)
        known = getattr(inventory, "groups", {})
        sources = task_vars.get("ansible_inventory_sources") or []
        said = {
            name: {
                **known[name].get_vars(),
                **get_vars_from_inventory_sources(self._loader, sources, [known[name]], "task"),
            }
            for name in names
            if name in known
        }
        problem = groups.ambiguous(said, {name: {group.name for group in known[name].get_ancestors()} for name in said})
        if problem:
            raise entries.ServicesError("%s: %s" % (task_vars["inventory_hostname"], problem))
