#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a systemd unit that runs with the files that are there now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_with_files
short_description: Have a systemd unit run with the files that are there now
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Enables and starts a unit. What it read when it was started or reloaded is remembered as a hash, in C(/run); a run
    that died between writing a file and telling the unit is so mended by the next.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: RV(action) says what is done.
options:
  unit:
    description: Name of the unit.
    type: str
    required: true
  restart_for:
    description: Files and folders for which it is restarted when they differ.
    type: list
    elements: path
    default: []
  reload_for:
    description: Files and folders for which it is reloaded when they differ.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Run Prometheus
  myia.vllm.unit_with_files:
    unit: prometheus.service
    restart_for: [/etc/systemd/system/prometheus.service.d]
    reload_for: [/etc/vllm-monitoring/prometheus.yml, /etc/vllm-monitoring/rules]
"""

RETURN = r"""
action: {description: 'What was done: V(start), V(restart), V(reload) or nothing.', type: str, returned: success}
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.monitoring import units


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "restart_for": {"type": "list", "elements": "path", "default": []},
            "reload_for": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    unit = params["unit"]

    def systemctl(*words: str) -> None:
        code, out, err = module.run_command(["systemctl", *words])
        if code:
            module.fail_json(
                msg="systemctl %s fails: %s. Look at journalctl -u %s on this host."
                % (" ".join(words), (err or out).strip(), unit)
            )

    shown = module.run_command(["systemctl", "show", "--property=ActiveState,UnitFileState", unit])[1]
    state = dict(line.partition("=")[::2] for line in shown.splitlines() if "=" in line)
    now = {"restart": units.digest(params["restart_for"]), "reload": units.digest(params["reload_for"])}
    path = os.path.join(units.FOLDER, unit + ".json")
    action = units.action(state, now, files.read_json(path))
    enable = state.get("UnitFileState") != "enabled"
    if not module.check_mode:
        if enable or action:
            systemctl("daemon-reload")
        if enable:
            systemctl("enable", unit)
        if action:
            systemctl(action, unit)
            os.makedirs(units.FOLDER, mode=0o755, exist_ok=True)
            files.write_atomically(path, units.remembered(now), 0o644)
    module.exit_json(changed=bool(enable or action), action=action)


if __name__ == "__main__":
    main()
