#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: let a running Docker Engine take daemon.json over."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_apply
short_description: Let a running Docker Engine take daemon.json over, without stopping containers
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reloads or restarts the engine after a change by M(myia.vllm.docker_daemon_config). Before a restart that would stop
    running containers it turns C(live-restore) on, so that they go on; where that is impossible it refuses and lists
    them, unless O(allow_container_restart) says otherwise.
  - Afterwards it checks that the engine answers and that every container still runs with the same start time. An engine
    that does not start with the new file gets the old one back.
  - Never makes systemd read its units anew (C(daemon-reload)); with the systemd cgroup driver that takes the GPUs away
    from running containers.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.docker.config
attributes:
  check_mode:
    support: full
    details: Says what would be done.
  diff_mode:
    support: none
    details: There is nothing to compare.
options:
  action:
    description: What the change needs; the RV(myia.vllm.docker_daemon_config#module:action_needed) of the merge.
    type: str
    choices: [none, reload, restart]
    required: true
  live_restore:
    description: Whether C(live-restore) may be turned on in the file.
    type: bool
    default: true
  allow_container_restart:
    description: Whether a restart may stop running containers where C(live-restore) is impossible.
    type: bool
    default: false
  refusal:
    description:
      - What a refused restart means. V(fail) fails; V(postpone) reports it, for a change that is harmless until the
        next start of the engine.
    type: str
    choices: [fail, postpone]
    default: fail
  timeout_s:
    description: Longest wait for the engine to answer, in seconds.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Merge the nvidia runtime into daemon.json
  myia.vllm.docker_daemon_config:
    config: {runtimes: {nvidia: {path: nvidia-container-runtime, args: []}}}
  register: merged

- name: Reload Docker
  myia.vllm.docker_engine_apply:
    action: "{{ merged.action_needed }}"
  when: merged.action_needed != 'none'
"""

RETURN = r"""
steps:
  description: What was done (or would be, in check mode), of V(live_restore), V(reload) and V(restart).
  returned: success
  type: list
  elements: str
kept:
  description: Names of the containers that ran before and still do.
  returned: success
  type: list
  elements: str
postponed:
  description: Why the restart was left out, with O(refusal=postpone); empty otherwise.
  returned: success
  type: str
"""

import os
import re
import signal
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import cli as docker_cli
from ansible_collections.myia.vllm.plugins.module_utils.docker import daemon_config
from ansible_collections.myia.vllm.plugins.module_utils.docker import reload as engine_reload


class Engine:
    """The running engine, driven by systemd or by a signal."""

    def __init__(self, module: AnsibleModule) -> None:
        """Keep the module and find out who runs the engine."""
        self.module = module
        self.run = docker_cli.runner(module)
        # sd_booted(3): this folder is there only where systemd is the init system
        self.systemd = os.path.isdir("/run/systemd/system")

    def tell(self, action: str) -> str:
        """Reload or restart the engine; returns what went wrong, or ""."""
        if self.systemd:
            if action == "restart":
                # systemd refuses a unit that was started often in the last minute; nobody's fault here
                self.run(["systemctl", "reset-failed", "docker.service"])
            status, out, err = self.run(["systemctl", action, "docker.service"])
            return "" if status == 0 else (err or out).strip()
        pid = daemon_config.engine_identity().partition(":")[0]
        if not pid:
            return "no dockerd runs on this host"
        os.kill(int(pid), signal.SIGHUP)
        return ""

    def wait(self, ready) -> dict:
        """Return ``engine_info()`` once ``ready`` of it holds, or after the time limit."""
        end = time.monotonic() + self.module.params["timeout_s"]
        while True:
            info = docker_cli.engine_info(self.run)
            if (info["answering"] and ready(info)) or time.monotonic() > end:
                return info
            time.sleep(0.3)

    def last_words(self) -> str:
        """Return what the engine said last, for the message."""
        _status, out, _err = self.run(["journalctl", "-u", "docker.service", "-n", "40", "-o", "cat", "--no-pager"])
        lines = out.strip().splitlines()
        # dockerd's own word, not systemd's about its exit status
        telling = [
            line for line in lines if re.search(r"failed to start daemon|unable to configure|level=(fatal|error)", line)
        ]
        return " / ".join(telling[-2:] or lines[-3:])[:600]


def turn_live_restore_on(module: AnsibleModule, file: daemon_config.DaemonConfig) -> None:
    """Write ``live-restore`` into daemon.json, remembered as any key of this collection."""
    wanted = {"live-restore": True}
    after = file.wanted(wanted, "present")
    engine = daemon_config.engine_identity()
    pending = {**file.pending(engine), "live-restore": "reload"}
    file.write(after, file.text_for(after, wanted, "present"), wanted, "present", pending, engine, module.atomic_move)


def give_up(module: AnsibleModule, engine: Engine, file: daemon_config.DaemonConfig, what: str) -> None:
    """Fail with the engine's last words, after its old configuration was put back."""
    words = engine.last_words()
    back = "what stood in %s before is not known; mend it by hand" % file.path
    live_restore = file.data.get("live-restore")
    if file.take_back(module.atomic_move):
        if live_restore:
            # containers that an engine with live-restore has left running are stopped by one without it
            turn_live_restore_on(module, daemon_config.DaemonConfig(file.path))
        again = engine.tell("restart") or ("" if engine.wait(lambda info: True)["answering"] else "no answer")
        daemon_config.DaemonConfig(file.path).applied()
        back = "%s is as it was before%s, and Docker %s" % (
            file.path,
            " but for live-restore" if live_restore else "",
            "does not start with it either (%s)" % again if again else "runs with it again",
        )
    module.fail_json(msg="%s. It said: %s. Now %s." % (what, words or "nothing", back))


def reload(module: AnsibleModule, engine: Engine, file: daemon_config.DaemonConfig) -> None:
    """Let the engine read its file again, and look whether it did."""
    trouble = engine.tell("reload")
    runtimes, live = set(file.data.get("runtimes") or {}), file.data.get("live-restore")
    info = engine.wait(lambda info: runtimes <= set(info["runtimes"]) and live in (None, info["live_restore"]))
    missing = ["the runtime " + name for name in sorted(runtimes - set(info["runtimes"]))]
    missing += ["live-restore"] if live not in (None, info["live_restore"]) else []
    if trouble or missing:
        give_up(
            module,
            engine,
            file,
            "Docker was told to read %s again and did not take over %s. Either it refuses the file, or it reads "
            'another one (a snap package, rootless Docker, --config-file in its unit: "systemctl cat docker")'
            % (file.path, trouble or ", ".join(missing)),
        )


def restart(module: AnsibleModule, engine: Engine, file: daemon_config.DaemonConfig) -> None:
    """Restart the engine; one that does not come back gets its old configuration again."""
    trouble = engine.tell("restart")
    if trouble or not engine.wait(lambda info: True)["answering"]:
        give_up(module, engine, file, "Docker did not start with the new %s (%s)" % (file.path, trouble or "no answer"))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["none", "reload", "restart"], "required": True},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "live_restore": {"type": "bool", "default": True},
            "allow_container_restart": {"type": "bool", "default": False},
            "refusal": {"type": "str", "choices": ["fail", "postpone"], "default": "fail"},
            "timeout_s": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    p = module.params
    engine = Engine(module)
    try:
        file = daemon_config.DaemonConfig(p["path"])
    except daemon_config.DaemonConfigError as error:
        module.fail_json(msg="%s Nothing was done." % error)
    try:
        before = docker_cli.running_containers(engine.run)
    except RuntimeError as error:
        module.fail_json(msg="%s. Nothing was done, since a restart might stop them." % error)
    plan = engine_reload.decide(
        p["action"],
        docker_cli.engine_info(engine.run),
        before,
        file.data,
        file.pending(daemon_config.engine_identity()),
        p["allow_container_restart"],
        p["live_restore"],
    )
    if plan["refusal"]:
        if p["refusal"] == "postpone":
            module.exit_json(changed=False, steps=[], kept=[], postponed=plan["refusal"])
        module.fail_json(msg=plan["refusal"], steps=[])
    if "restart" in plan["steps"] and not engine.systemd and not module.check_mode:
        # before the first of the steps
        module.fail_json(
            msg="Docker has to be restarted for what stands in %s, and this host has no systemd, so this collection "
            "does not know how. Docker was not touched and goes on as before; the file is ready for its next start. "
            "Restart dockerd yourself (service docker restart, or whatever started it), then run again." % file.path
        )
    names = sorted(item["name"] for item in before.values())
    if plan["steps"] and not module.check_mode:
        if "live_restore" in plan["steps"]:
            turn_live_restore_on(module, file)
        if "reload" in plan["steps"]:
            reload(module, engine, file)
        if "restart" in plan["steps"]:
            restart(module, engine, file)
        file.applied()
        gone = engine_reload.lost(before, docker_cli.running_containers(engine.run))
        if gone and plan["keeps"]:
            module.fail_json(
                msg="Docker took its configuration over, but these containers did not go on running: %s. See "
                '"docker ps -a" and their logs.' % ", ".join(gone)
            )
        names = sorted(set(names) - set(gone))
    module.exit_json(changed=bool(plan["steps"]), steps=plan["steps"], kept=names, postponed="")


if __name__ == "__main__":
    main()
