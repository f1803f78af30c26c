# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of ``myia.vllm.service_definition``: see plugins/modules/service_definition.py for its docs."""

from __future__ import annotations

import json

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition, knob_limits
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import (
    PREFIXES,
    all_options,
    knobs,
    known_variables,
    read_values,
    role_constants,
    role_options,
    service_hosts,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.said import is_said
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import CONVERTERS, Problems, coerce
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue
from ansible_collections.myia.vllm.plugins.plugin_utils.verify import functional_checks

#: Said of a variable with one of our prefixes that nobody defines.
MISSPELT = (
    "%s: no variable of this collection has this name. %s (A variable of your own: list it in vllm_user_variables.)"
)

#: Variables of roles that forms ask for, which the roles read by the lookup ``said``.
BY_LOOKUP = (
    "vllm_benchmark_profile",
    "vllm_service_rollback_to",
    "vllm_service_remove_volumes",
    "vllm_logs_lines",
    "vllm_logs_since",
    "vllm_logs_until",
    "vllm_logs_match",
    "vllm_status_fail",
    "vllm_status_file",
    "vllm_updates_to",
    "vllm_updates_offline",
    "vllm_updates_repository",
    "vllm_updates_file",
    "vllm_updates_pin_file",
    "vllm_fleet_canary",
    # by the plan of the gateway, or the lookup
    "vllm_gateway_keys",
    "vllm_gateway_tls",
    "vllm_gateway_tls_certificate",
    "vllm_gateway_tls_key",
    "vllm_gateway_name",
    "vllm_gateway_port",
    "vllm_gateway_balance",
    "vllm_gateway_hold_s",
    "vllm_gateway_remove_package",
)

#: Said of a role's other variables, which the roles read as Ansible has them.
EMPTIED = "it is empty. Leave it out, which means %s, or give it a value."
RETYPED = "%r was typed, and Ansible reads %r. Set it in the inventory, in quotes."


def _is_text(option: dict) -> bool:
    """Tell whether a variable is a text or a list of them."""
    return option.get("type", "str") in ("str", "path") or option.get("elements") == "str"


class ActionModule(ActionBase):
    """Check the ``vllm_*`` variables of a host and return ``vllm_definition``; contacts no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp=None, task_vars=None):
        """Return the definition, or one failure that lists every problem."""
        result = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options = role_options("vllm")
        values, unreadable = read_values(options, task_vars, self._templar)
        problems = [
            {"variable": name, "message": "%s: %s" % (name, reason)} for name, reason in sorted(unreadable.items())
        ]
        problems += self._misspelt(values, task_vars)
        problems += [
            {"variable": "vllm_extra_failures", "message": text}
            for text in failure_catalogue.problems_of(values.get("vllm_extra_failures") or [], "vllm_extra_failures")
        ]
        problems += self._bad_checks(task_vars)
        problems += self._bad_arguments(task_vars)
        # with its default in place of what cannot be read, so that the other problems are found too
        defaults = {name: options[name].get("default") for name in unreadable}
        found, more, warnings = definition.define({**values, **defaults}, options, service_hosts(values, task_vars))
        problems += [item for item in more if item["variable"] not in unreadable]
        result["changed"] = False
        if problems:
            result["failed"] = True
            result["msg"] = "%d problem%s in the definition of the service; nothing was changed.\n%s" % (
                len(problems),
                "" if len(problems) == 1 else "s",
                "\n".join("- " + item["message"] for item in problems),
            )
            return result
        result["warnings"] = warnings
        result.update(found)
        result["neighbours"] = self._templar.template(task_vars.get("vllm_neighbours")) or []
        return result

    def _bad_checks(self, task_vars: dict) -> list[dict]:
        """Return what is wrong with the checks of vllm_verify, which are used long after the service was changed."""
        options = role_options("vllm_verify")
        names = ("vllm_verify_extra_checks", "vllm_verify_skip")
        values, unreadable = read_values({name: options[name] for name in names}, task_vars, self._templar)
        problems = ["%s: %s" % item for item in sorted(unreadable.items())]
        try:
            extra, skip = (CONVERTERS["list"](values.get(name) or []) for name in names)
            functional_checks.read(role_constants("vllm_verify")["__vllm_verify_checks"], extra, skip)
        except ValueError:
            problems.append("%s and %s must be lists." % names)
        except functional_checks.CheckError as error:
            problems += str(error).splitlines()
        return [{"variable": text.partition(":")[0].partition(",")[0], "message": text} for text in problems]

    def _bad_arguments(self, task_vars: dict) -> list[dict]:
        """Return what is wrong with the knobs of the roles that come later: each would be refused when it is too late.

        A value that cannot be read yet may come from a role before, and is left to its own role.
        """
        options = {name: option for name, option in knobs().items() if name in task_vars}
        values, unreadable = read_values(options, task_vars, self._templar)
        options = {name: option for name, option in options.items() if name not in unreadable}
        problems = Problems()
        knob_limits.check(coerce(values, options, problems), problems)
        for name in options:
            if name in BY_LOOKUP or problems.about(name):
                continue
            raw = self._templar.template(task_vars[name])
            if raw in (None, "") and is_said(options[name].get("default")):
                problems.add(name, EMPTIED % json.dumps(options[name]["default"]))
            elif _is_text(options[name]) and str(values[name]) != str(raw) and raw not in (None, ""):
                problems.add(name, RETYPED % (values[name], raw))
        return problems.found

    def _misspelt(self, values: dict, task_vars: dict) -> list[dict]:
        own = [str(name) for name in values.get("vllm_user_variables") or []]
        given = [name for name in task_vars if name.startswith(PREFIXES)]
        problems = []
        known = [*known_variables(), *own]
        # what begins with two underscores is a role's own, here of roles that the play names beside this one
        said = [name for name, value in task_vars.items() if name[:2] != "__" and not _is_default(name, value)]
        others = [item for item in definition.near_misses(said, known) if not item[0].startswith(PREFIXES)]
        for name, near in [*definition.unknown_variables(given, known), *others]:
            hint = "Did you mean %s?" % near if near else "See the README of the role vllm for the names."
            problems.append({"variable": name, "message": MISSPELT % (name, hint)})
        return problems


def _is_default(name: str, value: object) -> bool:
    """Tell whether a variable only has its role's default, which nobody has said."""
    options = all_options()
    try:
        return name in options and value == options[name].get("default")
    except AnsibleError:
        # encrypted, and no password opens it
        return False
