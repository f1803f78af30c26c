#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the containers of a service, whatever they are called."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_containers
short_description: Make way for a service's container, or bring the one of a release back
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Docker Compose knows the container of a service by labels, everybody else by its name. Somebody may have renamed
    it, a Compose that was killed may have left two, and the name may be another container's.
  - O(state=checked) says who has the name. O(state=ready) removes what a killed Compose has left, and gives a renamed
    container its name back. O(state=kept) does so too; when the container O(container_id) is still there, it is started
    and all others of the service are removed, so that no Compose is needed to go back. O(state=absent) removes all of
    the service's.
  - A container that was taken over (M(myia.vllm.adopted_release)) counts as the service's own. Before Compose makes a
    new one it is stopped and renamed, so that it can come back; once a later release was good, it is removed.
  - Containers of others are never touched. With O(state=ready) and O(state=kept), the note of
    M(myia.vllm.service_stop) goes.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.path
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: RV(steps) says what is done.
options:
  state:
    description: What to do.
    type: str
    choices: [checked, ready, kept, absent]
    required: true
  project:
    description: Compose project of the service.
    type: str
    required: true
  service:
    description: Name of the service in it.
    type: str
    required: true
  name:
    description: What its container is called.
    type: str
    required: true
  container_id:
    description: The container that was seen to work, for O(state=kept).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Look who has the name
  myia.vllm.service_containers:
    path: /opt/vllm/medium
    state: checked
    project: vllm-medium
    service: medium
    name: vllm-medium
"""

RETURN = r"""
steps: {description: 'What was done, each step in words.', type: list, elements: str, returned: success}
taken:
  description: Whose container has the name, in words; empty when nobody else's has.
  returned: success
  type: str
kept: {description: Whether O(container_id) is there and runs now., type: bool, returned: success}
supervisor:
  description: Unit of systemd that would start the container again which was taken over; empty without one.
  returned: success
  type: str
problem:
  description: >-
    Why not all could be done, or why the engine did not answer; empty when all is well. The module does not fail for
    it, since on the way back everything that can be tried is.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.service import adopted, containers, releases, stopped

_DONE = {
    "remove": "%s removed (%s)",
    "rename": "%s has its name again (was %s)",
    "start": "%s started (was %s)",
    "aside": "%s, which was taken over, is stopped and set aside (was %s)",
    "forget": "%s, which was taken over and set aside, is removed (%s)",
}


def words(step: str, container: dict, name: str) -> str:
    """Return a step in words."""
    first = name if step == "rename" else container["name"]
    return _DONE[step] % (first, container["name"] if step == "rename" else container["state"])


def commands(step: str, container: dict, name: str) -> list[list[str]]:
    """Return the command lines of a step."""
    if step in ("aside", "forget"):
        return adopted.commands(step, container)
    return [containers.command(step, container, name)]


def carry_out(run, module: AnsibleModule, steps: list[tuple], result: dict) -> None:
    """Do the steps, and write into ``result`` what was done and what was not."""
    problems = []
    for step, container in steps:
        if not module.check_mode:
            status, out, err = 0, "", ""
            for command in commands(step, container, module.params["name"]):
                status, out, err = run(command)
                # each needs the one before: a container that goes on has GPUs and port still
                if status != 0 and not adopted.goes_by_itself(step, err):
                    break
                status = 0
            if status != 0:
                # one that is on its way out already must not keep the service from starting
                problems.append("%s of %s: %s" % (step, container["name"], " ".join((err or out).split())))
                continue
        result["steps"].append(words(step, container, module.params["name"]))
    result["problem"] = "; ".join(problems)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["checked", "ready", "kept", "absent"], "required": True},
            "project": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "container_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    p = module.params
    run = docker_cli.runner(module)
    result: dict = {"changed": False, "steps": [], "taken": "", "kept": False, "supervisor": "", "problem": ""}
    service = releases.Service(p["path"])
    try:
        found = containers.look(run, p["project"], p["name"])
    except containers.EngineError as error:
        result["problem"] = "Docker does not say which containers there are: %s" % error
        module.exit_json(**result)
    found = adopted.claim(run, service, found, p["project"], p["service"])
    result["supervisor"] = adopted.supervisor(run, service, found)
    other = containers.foreign(found, p["project"], p["name"])
    result["taken"] = containers.described(other) if other else ""
    if p["state"] == "absent":
        ours = [item for item in found if item["project"] == p["project"]]
        carry_out(run, module, [("forget" if item.get("adopted") else "remove", item) for item in ours], result)
    elif p["state"] != "checked":
        if not module.check_mode:
            # from here on a container that does not run has failed
            stopped.forget(p["path"])
        names = [str(service.description(name).get("container_name", "")) for name in service.names()]
        keep_id = p["container_id"] if p["state"] == "kept" else ""
        steps = []
        if not any(item.get("adopted") and item["id"] == keep_id for item in found):
            steps = adopted.steps(service, found)
            found = [item for item in found if not item.get("adopted")]
        steps += containers.plan(found, p["project"], p["service"], p["name"], names, keep_id)
        carry_out(run, module, steps, result)
        if keep_id and not module.check_mode:
            status, out, _err = run(["docker", "inspect", "--format", "{{.State.Running}} {{.Name}}", keep_id])
            result["kept"] = status == 0 and out.split() == ["true", "/" + p["name"]]
    result["changed"] = bool(result["steps"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
