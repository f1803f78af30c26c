# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup that gives a play its hosts once the options of the run make sense."""

from __future__ import annotations

DOCUMENTATION = r"""
name: checked_hosts
short_description: Hosts of a play, once tags and start of the run make sense
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns the hosts that C(myia.vllm.prepare) has found for a pattern, the first service of each machine before the
    second of any; the pattern itself where that has not run.
  - Fails when C(--tags) or C(--skip-tags) name what a playbook of this collection does not have, or leave out what the
    rest needs, and when C(--start-at-task) would skip the definition of the service.
  - A play's C(hosts) is read before its first task, whichever tasks are chosen; a task could be skipped itself.
  - Fails with an ansible-core that is older than the collection supports; Ansible itself goes on after a warning.
  - Options of playbooks that are not of this collection are not judged.
options:
  _terms:
    description: Pattern of hosts.
    type: list
    elements: str
    required: true
  machines:
    description: Whether the machines are wanted, and not the services on them.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Deploy the medium vLLM service
  hosts: "{{ lookup('myia.vllm.checked_hosts', vllm_hosts | default('medium')) }}"
  tasks: []
"""

RETURN = r"""
_raw:
  description: The hosts, or the patterns that were given.
  type: list
  elements: str
"""

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible.release import __version__ as _core

from ansible_collections.myia.vllm.plugins.plugin_utils.common import run_options
from ansible_collections.myia.vllm.plugins.plugin_utils.services import batches

#: The first ansible-core that is supported (meta/runtime.yml, for which Ansible itself only warns).
LEAST_CORE = (2, 19)


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms, variables=None, **kwargs):
        """Return the patterns; raises AnsibleLookupError when the options of the run make no sense."""
        self.set_options(var_options=variables, direct=kwargs)
        if tuple(int(part) for part in _core.split(".")[:2]) < LEAST_CORE:
            raise AnsibleLookupError(
                "This is ansible-core %s; myia.vllm needs %d.%d or later. Upgrade it (python3 -m pip install --upgrade "
                "ansible-core). Nothing was changed." % (_core, *LEAST_CORE)
            )
        options = context.CLIARGS
        problem = run_options.problem(
            options.get("args") or (),
            options.get("tags") or ("all",),
            options.get("skip_tags") or (),
            options.get("start_at_task"),
        )
        if problem:
            raise AnsibleLookupError(problem)
        if self.get_option("machines"):
            return terms
        return batches.of_run(variables or {}, terms)
