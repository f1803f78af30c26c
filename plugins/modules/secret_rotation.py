#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: which secrets change, and whether the old ones are dead."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_rotation
short_description: Tell which secrets a release changes, try the old ones, and forget them
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Works on the secrets in the C(.env) files of a service's releases. No value leaves the host but in the request that
    tries it, at the service or the hub, and no result holds one.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.service.url
attributes:
  check_mode:
    support: full
    details: Predicts what O(step=forgotten) deletes.
  diff_mode:
    support: none
    details: A difference would be one of secrets.
options:
  step:
    description:
      - V(compared) tells what O(release) changes against the current one. V(proven) asks the service with the key of
        the current release and those of others, and the hub with their tokens. V(forgotten) deletes C(.env) of releases
        that hold an old secret; they cannot be returned to then.
    type: str
    choices: [compared, proven, forgotten]
    required: true
  release:
    description: Name of the release. Required for O(step=compared).
    type: str
  endpoint:
    description: Address of the hub; empty for Hugging Face's.
    type: str
    default: ""
  timeout_s:
    description: Longest time for each answer, in seconds.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Try the old key and the new one
  myia.vllm.secret_rotation:
    step: proven
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
    folder: /opt/vllm/medium
  register: proof
"""

RETURN = r"""
secrets:
  description: Names in C(.env) of the secrets that differ.
  returned: with O(step=compared)
  type: list
  elements: str
others:
  description: What else differs.
  returned: with O(step=compared)
  type: list
  elements: str
key:
  description: >-
    HTTP status of C(/v1/models), C(new) with the present key (0 for no answer) and C(old), a list, with those of
    before.
  returned: with O(step=proven)
  type: dict
token:
  description: The same of the hub's C(/api/whoami-v2); C(new) is null where there is nothing to compare.
  returned: with O(step=proven)
  type: dict
other:
  description: Names of old secrets that cannot be tried.
  returned: with O(step=proven)
  type: list
  elements: str
forgotten:
  description: Releases whose C(.env) was deleted.
  returned: with O(step=forgotten)
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.service import releases, rotation, service_http


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["compared", "proven", "forgotten"], "required": True},
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "release": {"type": "str"},
            "endpoint": {"type": "str", "default": ""},
            "timeout_s": {"type": "float", "default": 10},
        },
        required_if=[("step", "compared", ("release",))],
        supports_check_mode=True,
    )
    p = module.params
    service = releases.Service(p["folder"])
    if p["step"] == "compared":
        module.exit_json(changed=False, **rotation.compare(service, p["release"]))
    if p["step"] == "forgotten":
        gone = rotation.forget(service, module.check_mode)
        module.exit_json(changed=bool(gone), forgotten=gone)
    url = service_http.seen_from_host(p["url"], p["container"], lambda argv: host_command.run(argv, p["timeout_s"]))
    module.exit_json(changed=False, **rotation.prove(service, url, p["endpoint"], p["timeout_s"]))


if __name__ == "__main__":
    main()
