#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: let a staged release be served by a container that somebody else made."""

from __future__ import annotations

DOCUMENTATION = r"""
module: adopted_release
short_description: Let a staged release be served by a running container that somebody else made
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Points C(current) to a release and marks it good, with the id of the container that serves. The container is not
    touched.
  - From then on that container counts as the service's own (M(myia.vllm.host_info),
    M(myia.vllm.service_containers)), until the first release that differs replaces it.
  - A service that has a current release already is refused, unless it is this one.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.path
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: RV(summary) says what is done.
options:
  name:
    description: Name of the staged release. Empty in check mode, where nothing was staged.
    type: str
    required: true
  container:
    description: Name of the container.
    type: str
    required: true
  container_id:
    description: Its id, as it was when it was looked at. Another container of that name is refused.
    type: str
    required: true
  unit:
    description: Unit of systemd that starts the container; empty without one.
    type: str
    default: ""
  origin:
    description: What it was taken over from, in words.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Take the container over
  myia.vllm.adopted_release:
    path: /opt/vllm/chat
    name: "{{ staged.release.name }}"
    container: vllm-chat
    container_id: "{{ service.container_id }}"
"""

RETURN = r"""
summary:
  description: What was done, in lines.
  returned: success
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.service import releases


def running_id(run, name: str) -> str:
    """Return the id of the running container of a name; empty without one."""
    status, out, _err = run(["docker", "container", "inspect", "--format", "{{.Id}} {{.State.Running}}", name])
    words = out.split()
    return words[0] if status == 0 and words[1:] == ["true"] else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "container": {"type": "str", "required": True},
            "container_id": {"type": "str", "required": True},
            "unit": {"type": "str", "default": ""},
            "origin": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    p = module.params
    service = releases.Service(p["path"])
    there = running_id(docker_cli.runner(module), p["container"])
    if there != p["container_id"]:
        module.fail_json(
            msg="the container %s is not the one that was looked at any more (found %s, expected %s). Run the playbook "
            "again. Nothing was changed." % (p["container"], there[:12] or "none that runs", p["container_id"][:12])
        )
    current = service.current()
    if current and current != p["name"]:
        module.fail_json(
            msg="%s has the release %s already; expected none. Choose another vllm_name, or remove that service first "
            "(remove_medium.yml). Nothing was changed." % (p["path"], current)
        )
    about = {"container_id": there, "unit": p["unit"], "origin": p["origin"]}
    known = service.description(p["name"]) if p["name"] else {}
    done = bool(current) and known.get("adopted") == about and known.get("container_id") == there
    if not done and not module.check_mode:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        service.describe(p["name"], {"good_since": now, "container_id": there, "adopted": about})
        service.switch(p["name"])
    summary = [] if done else ["current: %s, served by the container %s" % (p["name"] or "the new release", there[:12])]
    module.exit_json(changed=not done, summary=summary)


if __name__ == "__main__":
    main()
