#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
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
  - Does not restart anything; it says whether the change needs nothing, a reload or a restart. What a running engine
    was not told yet is remembered, so that a run that was interrupted before it is not forgotten.
    M(myia.vllm.docker_engine_apply) does it.
  - The first change keeps the text of before in C(daemon.json.myia-vllm) beside the file. With O(state=absent) a key
    gets the value of before again, and when nothing of this collection is left the file itself is as it was, to the
    byte, or gone if there was none.
  - A file that is no JSON object is left untouched and reported with the position of the fault.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.docker.config
attributes:
  check_mode:
    support: full
    details: Predicts the change without writing.
  diff_mode:
    support: full
    details: Shows the file before and after.
options:
  config:
    description: The keys to merge, or with O(state=absent) to take out again. Values do not matter then.
    type: dict
    required: true
  state:
    description: Whether the keys shall be there.
    type: str
    choices: [present, absent]
    default: present
  recorded_only:
    description: With O(state=absent), whether to leave alone what this collection did not put there itself.
    type: bool
    default: false
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
  description:
    - What a running engine needs to take over this change and earlier ones that it was not told of; V(none), V(reload)
      or V(restart).
  returned: success
  type: str
actions:
  description: The same for each top-level key, V(reload) or V(restart).
  returned: success
  type: dict
changed_keys:
  description: Top-level keys whose values changed.
  returned: success
  type: list
  elements: str
recorded:
  description: All keys that this collection has put into the file and not taken out again.
  returned: success
  type: dict
backup_file:
  description: Copy of the file as it was before.
  returned: when a file was replaced
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common.versions import at_least
from ansible_collections.myia.vllm.plugins.module_utils.docker import daemon_config


def validate(module: AnsibleModule, text: str) -> None:
    """Let dockerd check the new ``text`` where it can (23.0 and later know --validate)."""
    dockerd = module.get_bin_path("dockerd")
    if dockerd is None:
        return
    _status, version, _err = module.run_command([dockerd, "--version"])
    if not at_least(version.replace("Docker version", "").strip(), "23.0"):
        return
    path = daemon_config.temporary_file(text)
    module.add_cleanup_file(path)
    status, out, err = module.run_command([dockerd, "--validate", "--config-file", path])
    if status != 0:
        module.fail_json(
            msg="dockerd refuses the merged configuration: %s. The file was left as it is." % (err or out).strip()
        )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "config": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "recorded_only": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    config, state = module.params["config"], module.params["state"]
    try:
        file = daemon_config.DaemonConfig(module.params["path"])
    except daemon_config.DaemonConfigError as error:
        module.fail_json(msg="%s The file was left as it is; mend it and run again." % error)
    if state == "absent" and module.params["recorded_only"]:
        config = daemon_config.common(config, file.record.get("config", {}))
    # of another file nobody knows which engine reads it
    engine = daemon_config.engine_identity() if module.params["path"] == daemon_config.DEFAULT_PATH else ""
    after = file.wanted(config, state)
    text = file.text_for(after, config, state)
    changes = daemon_config.action_for(file.data, after)
    # a restart that is due stays due when a later change of the same key needs a reload only
    pending = file.pending(engine)
    actions = {**changes, **{key: value for key, value in pending.items() if value == "restart" or key not in changes}}
    result = {
        "changed": after != file.data,
        "changed_keys": sorted(changes),
        "actions": actions,
        "action_needed": daemon_config.action_needed(actions),
        "recorded": file.record.get("config", {}),
        "diff": {
            "before": file.text,
            "after": text or "",
            "before_header": file.path,
            "after_header": file.path,
        },
    }
    if result["changed"] and not module.check_mode:
        if text is not None:
            validate(module, text)
        if file.exists:
            result["backup_file"] = module.backup_local(file.path)
        file.write(after, text, config, state, actions, engine, module.atomic_move)
        result["recorded"] = file.record["config"]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
