#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: stop a service on purpose."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_stop
short_description: Stop a service's container, and note that it was wanted
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Takes the restart policy away, stops the container and keeps it. So it stays stopped when the engine or the host
    starts again, and can be started without Docker Compose.
  - Leaves a note of who did it and when, which M(myia.vllm.service_status_info) and
    M(myia.vllm.service_snapshot_info) return, so that a service that was stopped on purpose is not taken for one that
    failed. Whatever starts the service takes the note away.
  - Who it was is read from the lock that M(myia.vllm.service_lock) took.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.service.container
  - myia.vllm.service.path
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: RV(steps) says what is done.
options:
  grace_s:
    description: How long Docker waits for the container to end by itself, in seconds, before it kills it.
    type: int
    default: 30
  note:
    description: Whether to leave the note. Not so where the service is started again at once.
    type: bool
    default: true
seealso:
  - module: myia.vllm.service_drain
"""

EXAMPLES = r"""
- name: Stop the service
  myia.vllm.service_stop:
    path: /opt/vllm/medium
    container: myia-vllm-medium-qwen3
    grace_s: 330
"""

RETURN = r"""
steps: {description: 'What was done, each step in words.', type: list, elements: str, returned: success}
state: {description: "Docker's state of the container before.", type: str, returned: success}
stopped:
  description:
    - Who stopped the service, with C(at), C(who) and C(run); empty with O(note=false). In check mode who had stopped it
      before.
  returned: success
  type: dict
stopped_s: {description: How long the container took to end, type: float, returned: success}
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.service import stopped

#: Longest time for a command that only asks or notes, in seconds.
SHORT_S = 30.0

#: What Docker takes to kill and put away a container beyond the time that it was given, in seconds: a bound of ours.
MORE_S = 90.0


def docker(module: AnsibleModule, argv: list[str], limit_s: float, what: str) -> str:
    """Return what a Docker command printed; ends the module with what it said when it failed."""
    status, out, err, late = host_command.run(["docker", *argv], limit_s)
    if status != 0:
        said = "no answer after %.0f s" % limit_s if late else " ".join((err or out).split())
        module.fail_json(
            msg="%s: %s failed (%s). See systemctl status docker." % (module.params["container"], what, said)
        )
    return out


def inspect(module: AnsibleModule) -> tuple[str, str, float]:
    """Return (state, restart policy, start in seconds since 1970) of the container; ends the module without one."""
    name = module.params["container"]
    status, out, err, late = host_command.run(["docker", "container", "inspect", name], SHORT_S)
    if status != 0 and "no such" in err.lower():
        module.fail_json(
            msg="There is no container %s on this host, so nothing runs that could be stopped. deploy_medium.yml "
            "makes one." % name
        )
    if status != 0:
        said = "no answer after %.0f s" % SHORT_S if late else " ".join(err.split())
        module.fail_json(msg="Docker does not tell of %s (%s). See systemctl status docker." % (name, said))
    found = json.loads(out)[0]
    started_s = docker_cli.seconds(found["State"]["StartedAt"])
    return found["State"]["Status"], found["HostConfig"]["RestartPolicy"]["Name"], started_s


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "container": {"type": "str", "required": True},
            "grace_s": {"type": "int", "default": 30},
            "note": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    folder, name, grace_s = (module.params[key] for key in ("path", "container", "grace_s"))
    state, policy, started_s = inspect(module)
    before = stopped.read(folder, state, started_s)
    result: dict = {"steps": [], "state": state, "stopped": before, "stopped_s": 0.0}
    ends = state in (*stopped.RUNS, "paused")
    if policy not in ("no", ""):
        result["steps"].append("restart policy of %s: %s -> no" % (name, policy))
    if ends:
        result["steps"].append("%s stopped (was %s)" % (name, state))
    if module.params["note"] and not before:
        result["steps"].append("noted as stopped on purpose")
    if not module.check_mode:
        try:
            # first: who is interrupted here has stopped it on purpose all the same
            if module.params["note"] and not before:
                stopped.note(folder)
        except OSError as error:
            module.fail_json(
                msg="%s cannot be written to: %s. %s was not stopped. Free space or inodes there (df -h, df -i)."
                % (folder, error.strerror, name)
            )
        if policy not in ("no", ""):
            docker(module, ["update", "--restart", "no", name], SHORT_S, "docker update")
        if ends:
            begin_s = time.monotonic()
            docker(module, ["stop", "--time", str(grace_s), name], grace_s + MORE_S, "docker stop")
            result["stopped_s"] = round(time.monotonic() - begin_s, 1)
        result["stopped"] = stopped.read(folder) if module.params["note"] else {}
    module.exit_json(changed=bool(result["steps"]), **result)


if __name__ == "__main__":
    main()
