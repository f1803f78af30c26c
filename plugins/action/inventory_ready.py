# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.inventory_ready``: see plugins/modules/inventory_ready.py for its docs."""

from __future__ import annotations

import pathlib

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

VAULT_HEADER = b"$ANSIBLE_VAULT;"


class ActionModule(ActionBase):
    """Look at the inventory as the controller sees it; contacts no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("hosts",))
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Fail when the pattern names no host, or when a vaulted variables file of a host cannot be opened."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(argument_spec={"hosts": {"type": "str", "required": True}})
        sources = [source for source in context.CLIARGS.get("inventory") or () if "," not in source]
        groups = task_vars.get("groups") or {}
        names = matching_hosts(args["hosts"], groups)
        result["changed"] = False
        if not names:
            result["failed"] = True
            result["msg"] = (
                "The inventory (%s) has no host in %r. Add the GPU host to the group of that name, or name another "
                "group or host in vllm_hosts. Nothing was changed."
                % (", ".join(sources) or "none given", args["hosts"])
            )
            return result
        closed = []
        for path in variable_files(folders(sources, task_vars.get("playbook_dir")), names, groups):
            reason = self._why_closed(path)
            if reason:
                closed.append(reason)
        if closed:
            result["failed"] = True
            result["msg"] = "\n".join([*closed, "Nothing was changed."])
        return result

    def _why_closed(self, path: pathlib.Path) -> str:
        """Return why a vaulted file cannot be read, with the fix; empty when it can, or is not vaulted."""
        with open(path, "rb") as handle:
            header = handle.readline()
        if not header.startswith(VAULT_HEADER):
            return ""
        try:
            self._loader.load_from_file(str(path))
        except AnsibleError as error:
            fields = header.decode(errors="replace").strip().split(";")
            label = fields[3] if len(fields) > 3 else "default"
            missing = "no vault secrets" in str(error).lower() and "that could decrypt" not in str(error).lower()
            found = "no vault password was given" if missing else "no given vault password opens it"
            return (
                "%s (the place of secrets such as vllm_hf_token and vllm_api_key) is encrypted by Ansible Vault, vault "
                "id %s, and %s. Pass --vault-id %s@prompt, or --vault-id %s@FILE." % (path, label, found, label, label)
            )
        return ""


def matching_hosts(pattern: str, groups: dict) -> list[str]:
    """Return the hosts that a plain pattern (names of groups and hosts, separated by ``:`` or ``,``) stands for.

    A pattern with operators or wildcards is left to Ansible: it counts as every host there is.
    """
    if any(sign in pattern for sign in "*?[!&~"):
        return list(groups.get("all", []))
    names: list[str] = []
    for part in pattern.replace(",", ":").split(":"):
        part = part.strip()
        found = groups.get(part, [part] if part in groups.get("all", []) or part == "localhost" else [])
        names += [name for name in found if name not in names]
    return names


def folders(sources: list[str], playbook_dir: str | None) -> list[pathlib.Path]:
    """Return the folders beside which Ansible looks for ``group_vars`` and ``host_vars``."""
    found = []
    for source in [*sources, playbook_dir]:
        if not source:
            continue
        path = pathlib.Path(source)
        folder = path if path.is_dir() else path.parent
        if folder not in found:
            found.append(folder)
    return found


def variable_files(places: list[pathlib.Path], hosts: list[str], groups: dict) -> list[pathlib.Path]:
    """Return the variables files of the given hosts and of every group one of them is in."""
    own_groups = [name for name, members in groups.items() if name == "all" or set(members) & set(hosts)]
    found = []
    for place in places:
        for kind, names in (("group_vars", own_groups), ("host_vars", hosts)):
            for name in names:
                base = place / kind / name
                candidates = [base, *(base.with_name(base.name + suffix) for suffix in (".yml", ".yaml", ".json"))]
                for candidate in candidates:
                    if candidate.is_dir():
                        found += sorted(p for p in candidate.rglob("*") if p.is_file() and not p.name.startswith("."))
                    elif candidate.is_file():
                        found.append(candidate)
    return found
