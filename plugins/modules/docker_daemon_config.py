#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: merge keys into Docker's daemon.json."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon_config
short_description: Merge keys into Docker's daemon.json
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Merges the wanted keys into C(daemon.json) and keeps every other key. Objects are merged key by key at every depth.
  - Compares parsed values, writes atomically with a backup, keeps the file's mode and follows a symbolic link.
  - Does not restart anything; it says whether the change needs nothing, a reload or a restart.
  - A file that is no JSON object is left untouched and reported with the position of the fault.
attributes:
  check_mode:
    support: full
    description: Predicts the change without writing.
  diff_mode:
    support: full
    description: Shows the file before and after.
options:
  path:
    description: The file.
    type: path
    default: /etc/docker/daemon.json
  config:
    description: The keys to merge, or with O(state=absent) to remove. Values do not matter for removal.
    type: dict
    required: true
  state:
    description: Whether the keys shall be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Register the nvidia runtime
  myia.vllm.docker_daemon_config:
    config:
      runtimes:
        nvidia:
          path: nvidia-container-runtime
          args: []
"""

RETURN = r"""
action_needed:
  description: What a running engine needs to take the change over, V(none), V(reload) or V(restart).
  returned: success
  type: str
changed_keys:
  description: Top-level keys whose values changed.
  returned: success
  type: list
  elements: str
backup_file:
  description: Copy of the file as it was before.
  returned: when a file was replaced
  type: str
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils import daemon_config, docker_cli


def validate(module: AnsibleModule, path: str) -> None:
    """Let dockerd check the file at ``path`` where it can (23.0 and later know --validate)."""
    dockerd = module.get_bin_path("dockerd")
    if dockerd is None:
        return
    _status, version, _err = module.run_command([dockerd, "--version"])
    if not docker_cli.at_least(version.replace("Docker version", "").strip(), "23.0"):
        return
    status, out, err = module.run_command([dockerd, "--validate", "--config-file", path])
    if status != 0:
        module.fail_json(msg="dockerd refuses the merged configuration: %s" % (err or out).strip())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "config": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    path = os.path.realpath(module.params["path"])
    before_text, before = "", {}
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            before_text = handle.read()
        try:
            before = daemon_config.parse(before_text)
        except daemon_config.DaemonConfigError as error:
            module.fail_json(
                msg="%s cannot be merged into: %s. The file was left as it is; mend it and run again." % (path, error)
            )
    change = daemon_config.merge if module.params["state"] == "present" else daemon_config.remove
    after = change(before, module.params["config"])
    changed = after != before
    after_text = daemon_config.render(after) if changed else before_text
    result = {
        "changed": changed,
        "changed_keys": daemon_config.changed_keys(before, after),
        "action_needed": daemon_config.action_needed(before, after),
        "diff": {
            "before": before_text,
            "after": after_text,
            "before_header": path,
            "after_header": path,
        },
    }
    if changed and not module.check_mode:
        existed = os.path.exists(path)
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=module.tmpdir, suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(after_text)
        os.chmod(temporary, 0o644)
        validate(module, temporary)
        if existed:
            result["backup_file"] = module.backup_local(path)
        module.atomic_move(temporary, path)  # keeps mode and owner of a file that was there
    module.exit_json(**result)


if __name__ == "__main__":
    main()
