#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: keep a service's alerts quiet for a while."""

from __future__ import annotations

DOCUMENTATION = r"""
module: alertmanager_silence
short_description: Keep the alerts of a service quiet for a while
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Makes a silence in an Alertmanager for exactly each entry of O(labels), which ends by itself. One of the same author
    and labels that holds already gets the new end.
  - An Alertmanager that does not answer fails nothing, since no deployment should stop for it; RV(problem) says so.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: RV(silences) says which they were.
options:
  url:
    description: Address of the Alertmanager, as seen from this host.
    type: str
    required: true
  user:
    description: User of its basic authentication; empty for none.
    type: str
    default: ""
  password:
    description: Password of that user.
    type: str
    default: ""
  labels:
    description: >-
      For each silence the labels that an alert must have, each with its value, or with a list of values of which it has
      one.
    type: list
    elements: dict
    required: true
  seconds:
    description: In how many seconds it ends.
    type: int
    required: true
  only_existing:
    description: Whether nothing is made where there is no silence yet.
    type: bool
    default: false
  author:
    description: Who makes it.
    type: str
    default: myia.vllm
  comment:
    description: Why.
    type: str
    default: a deployment
"""

EXAMPLES = r"""
- name: Keep quiet while a release is switched
  myia.vllm.alertmanager_silence:
    url: http://127.0.0.1:9093
    user: vllm
    password: "{{ vllm_monitoring_password }}"
    labels:
      - {host: gpu-host-1, service: medium}
      - {scope: gateway, proxy: vllm_medium, server: [gpu-host-1, gpu-host-1-medium]}
    seconds: 3600
"""

RETURN = r"""
silences: {description: Ids of the silences that hold., type: list, elements: str, returned: success}
problem: {description: Why nothing could be done; empty when it could., type: str, returned: success}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.monitoring import silences


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "labels": {"type": "list", "elements": "dict", "required": True},
            "seconds": {"type": "int", "required": True},
            "only_existing": {"type": "bool", "default": False},
            "author": {"type": "str", "default": "myia.vllm"},
            "comment": {"type": "str", "default": "a deployment"},
        },
        supports_check_mode=True,
    )
    params = module.params
    manager = silences.Alertmanager(params["url"], params["user"], params["password"])
    changed, found, problem = False, [], ""
    try:
        for labels in params["labels"]:
            there = manager.ours(params["author"], labels)
            if not there and params["only_existing"]:
                continue
            changed = True
            silence = there[0]["id"] if there else ""
            if not module.check_mode:
                silence = manager.put(params["author"], labels, params["comment"], params["seconds"], silence)
            found += [silence] if silence else []
    except silences.SilenceError as error:
        changed, problem = bool(found) and not module.check_mode, str(error)
    module.exit_json(changed=changed, silences=found, problem=problem)


if __name__ == "__main__":
    main()
