# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets that a host's variables hold, which nothing that people see may show.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible.errors import AnsibleError

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import read_values, role_options
from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document

#: Ansible's own variables that hold a password, which a failed task may quote.
PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_become_password", "ansible_become_pass")


def secrets_of_host(task_vars: dict, templar) -> list[str]:
    """Return the values that must not be seen, the longest first.

    Args:
        task_vars: the variables of the host, not templated.
        templar: the templar of the calling plugin.
    """
    options = role_options("vllm")
    values, _unreadable = read_values(options, task_vars, templar)
    defaults = {name: option.get("default") for name, option in options.items()}
    known = {**defaults, **{name: value for name, value in values.items() if value is not None}}
    return report_document.secrets_of(known, [_value(task_vars, templar, name) for name in PASSWORDS])


def _value(task_vars: dict, templar, name: str) -> object:
    """Return a variable of the host; None when it is not there or cannot be evaluated."""
    try:
        return templar.template(task_vars.get(name))
    except AnsibleError:
        return None
