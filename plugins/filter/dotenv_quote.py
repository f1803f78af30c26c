# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that quotes a value for a Compose ``.env`` file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: dotenv_quote
short_description: Quote a value for a Docker Compose .env file
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns the value in single quotes, escaped so that Docker Compose v2 reads back exactly what was given,
    C($), C(#), quotes and spaces included.
  - Fails for values that no C(.env) line can carry (line breaks; a backslash before a single quote or at the end).
options:
  _input:
    description: The value. Booleans become V(true) or V(false).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Show a quoted value
  ansible.builtin.debug:
    msg: "KEY={{ 'pa$$ #word' | myia.vllm.dotenv_quote }}"
"""

RETURN = r"""
_value:
  description: The quoted value, to be put to the right of C(=).
  type: str
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv


def dotenv_quote(value: object) -> str:
    """Quote ``value`` for a ``.env`` line; raises AnsibleFilterError where that is impossible."""
    try:
        return dotenv.quote(value)
    except dotenv.DotenvError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict:
        """Return the filters of this file."""
        return {"dotenv_quote": dotenv_quote}
