# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.version_changes``: see plugins/modules/version_changes.py for its docs."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.common import live
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import (
    read_values,
    role_options,
    service_hosts,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import arguments as preflight_arguments
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import change as updates_change
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import fetch, history, registry, words, writing


class ActionModule(ActionBase):
    """Look which newer releases there are, and what one of them changes for the service; contacts no host."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(("definition", "host", "to", "offline", "repository", "file"))
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the releases and the change, and print it."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _validation, args = self.validate_argument_spec(
            argument_spec={
                "definition": {"type": "dict", "required": True},
                "host": {"type": "dict", "default": {}},
                "to": {"type": "str", "default": ""},
                "offline": {"type": "bool", "default": False},
                "repository": {"type": "str", "default": ""},
                "file": {"type": "str", "default": ""},
            }
        )
        definition, options = args["definition"], role_options("vllm")
        version, service = definition["version"], definition["name"]
        tags, asked = self._tags(args, definition)
        releases = history.newer(version, tags)
        values, _unreadable = read_values(options, task_vars, self._templar)
        to = args["to"] or next((item["version"] for item in reversed(releases) if item["in_table"]), "")
        problem = self._problem(args["to"], version)
        if problem:
            result.update(failed=True, msg=problem)
            return result
        change = None
        if to:
            settings = preflight_arguments.settings(preflight_arguments.variables(task_vars, self._templar))
            nodes = service_hosts(values, task_vars)
            change = updates_change.found(values, options, args["host"] or None, settings, to, nodes)
        result.update(version=version, releases=releases, asked=asked, change=change or {})
        wrote = writing.written(
            result, change["variables"] if change else {}, args["file"], task_vars, self._task.check_mode,
            "check_updates.yml",
        )  # fmt: skip
        result["closing"] = words.closing(service, version, releases, change, asked) + wrote
        if result.get("failed"):
            result["msg"] = result["closing"]
        live.write("\n" + "\n".join(words.lines(service, task_vars["inventory_hostname"], version, releases, change)))
        return result

    @staticmethod
    def _tags(args: dict, definition: dict) -> tuple[list[str], str]:
        """Return the tags of the image's repository, and where was looked, in words."""
        table = "the table of this collection"
        if args["offline"]:
            return [], "by %s alone" % table
        image = args["repository"] or definition["image"]
        try:
            return registry.tags(image, fetch.fetch), "by the registry and %s" % table
        except registry.RegistryError as error:
            return [], "by %s; %s" % (table, error)

    @staticmethod
    def _problem(to: str, version: str) -> str:
        """Return why a release that was asked for is none to compare with."""
        if not to:
            return ""
        try:
            known, warning = vllm_options.nearest_known(to)
        except ValueError as error:
            return "vllm_updates_to: %s" % error
        if to == version:
            return "vllm_updates_to: %s is the release that the service has." % to
        return "vllm_updates_to: %s The newest in the table is %s." % (warning, known) if warning else ""
