#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the lock of a service's deployment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_lock
short_description: Let only one run deploy a service at a time
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Takes the lock of a service or gives it back. A second run is refused with the name of the holder.
  - A lock goes stale when the run that holds it is over (which another run on the same controller sees), when the host
    has booted since, or when its holder shows no sign of life for O(silent_s) seconds.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.folder
attributes:
  check_mode:
    support: full
    details: Takes nothing; refuses when somebody else has the lock.
  diff_mode:
    support: none
    details: The lock is no state that a user would compare.
options:
  state:
    description: Take it or give it back.
    type: str
    choices: [present, absent]
    default: present
  token:
    description: RV(token) of the run that has it. Required for O(state=absent).
    type: str
  silent_s:
    description: After how many seconds without a sign of life a lock is stale.
    type: int
    default: 300
  holder:
    description: What tells people who holds it; by default user, machine and job of this run.
    type: dict
  dead:
    description: Tokens of runs that are over; found by the controller itself.
    type: list
    elements: str
    default: []
  what:
    description: What is locked, for people; O(folder) without it.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Acquire the lock
  myia.vllm.service_lock:
    folder: /opt/vllm/medium
  register: lock

- name: Release the lock
  myia.vllm.service_lock:
    folder: /opt/vllm/medium
    state: absent
    token: "{{ lock.token }}"
"""

RETURN = r"""
token:
  description: The caller's; other modules show signs of life with it.
  returned: for O(state=present)
  type: str
taken:
  description: Whether the caller has the lock now; never in check mode.
  returned: for O(state=present)
  type: bool
was:
  description: Why an older lock did not count; empty when there was none.
  returned: for O(state=present)
  type: str
other:
  description: What is known of the holder when somebody else has the lock.
  returned: for O(state=present)
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import folders
from ansible_collections.myia.vllm.plugins.module_utils.service import lock as service_lock


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "token": {"type": "str", "no_log": False},
            "silent_s": {"type": "int", "default": 300},
            "holder": {"type": "dict"},
            "dead": {"type": "list", "elements": "str", "default": []},
            # used by the action plugin alone
            "what": {"type": "str", "default": ""},
        },
        required_if=[("state", "absent", ("token",))],
        supports_check_mode=True,
    )
    folder, token = module.params["folder"], module.params["token"]
    lock = service_lock.Lock(folder, module.params["silent_s"])
    if module.params["state"] == "absent":
        try:
            if not module.check_mode:
                lock.release(token)
        except OSError as error:
            # the run is over, and the next one on this controller sees that
            module.warn("%s cannot be removed: %s." % (lock.path, error.strerror))
        # it is gone either way, and was no state of the host before this run
        module.exit_json(changed=False)
    if not os.path.isdir(folder) and module.check_mode:
        module.exit_json(changed=False, token=token, taken=False, was="", other={})
    if not os.path.isdir(folder):
        module.fail_json(msg="there is no folder %s to lock; stage a release first (role vllm_config)." % folder)
    try:
        taken = lock.take(token, module.params["holder"] or {}, module.params["dead"], keep=module.check_mode)
    except OSError as error:
        problem = folders.problem(folder)
        module.fail_json(
            msg="%s cannot be written: %s. %s The running service was not touched."
            % (lock.path, error.strerror, " ".join(problem.values()) or "Free space or inodes there (df -h, df -i).")
        )
    module.exit_json(changed=False, token=token, **taken)


if __name__ == "__main__":
    main()
