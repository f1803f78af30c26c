# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup that gives a role one of its variables as the operator said it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: said
short_description: A variable of this collection as the operator said it
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns variables in the types that the roles document. What is null or an empty text was not said, and stands for
    the documented default. A text of a form of AWX is the one that was typed.
  - For variables that forms ask for and a role reads itself, since ansible-core makes null of an answer that is empty,
    and a number of one that looks like a number. What belongs to the service is in C(vllm_definition).
options:
  _terms:
    description: Names of variables that a role of this collection documents.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the release to go back to
  ansible.builtin.debug:
    msg: "{{ lookup('myia.vllm.said', 'vllm_service_rollback_to') or 'the last good one' }}"
"""

RETURN = r"""
_list:
  description: Their values.
  type: list
  elements: raw
"""

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import all_options, usable_values


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        """Return the values; raises AnsibleLookupError for a name that no role documents, and a value that is none."""
        known = all_options()
        unknown = [str(name) for name in terms if name not in known]
        if unknown:
            raise AnsibleLookupError("%s: no role of this collection has this variable." % ", ".join(unknown))
        options = {str(name): known[name] for name in terms}
        try:
            found = usable_values(options, variables or {}, self._templar)
        except AnsibleError as error:
            raise AnsibleLookupError(str(error)) from None
        return [found[str(name)] for name in terms]
