#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the file by which Prometheus and its exporters ask for a password."""

from __future__ import annotations

DOCUMENTATION = r"""
module: web_config_file
short_description: Have Prometheus and its exporters ask for a password
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Writes the file that C(--web.config.file) of Prometheus, Alertmanager and the exporters takes, with a bcrypt hash of
    the password. Where the hash that is there suits the password, nothing changes.
  - The hash is made on the host by its libcrypt, so the controller needs no library for it.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Predicts the change.
  diff_mode:
    support: none
    details: Hashes of passwords are not shown.
options:
  path:
    description: The file. It is readable for O(group) alone, beside root.
    type: path
    required: true
  user:
    description: The one user.
    type: str
    required: true
  password:
    description: Its password.
    type: str
    required: true
  group:
    description: Group that may read the file.
    type: str
    default: prometheus
"""

EXAMPLES = r"""
- name: Have node_exporter ask for a password
  myia.vllm.web_config_file:
    path: /etc/vllm-monitoring/web.yml
    user: vllm
    password: "{{ vllm_monitoring_password }}"
"""

RETURN = r"""
path: {description: The file., type: str, returned: success}
"""

import grp
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.monitoring import web_config


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "group": {"type": "str", "default": "prometheus"},
        },
        supports_check_mode=True,
    )
    params = module.params
    path, before = params["path"], files.read_text(params["path"])
    try:
        text = web_config.wanted(before, params["user"], params["password"])
    except web_config.HashError as error:
        module.fail_json(msg="The password cannot be hashed: %s. Run the role on Debian or Ubuntu." % error)
    try:
        group = grp.getgrnam(params["group"]).gr_gid
    except KeyError:
        if not module.check_mode:
            module.fail_json(msg="There is no group %s on this host. Install the packages first." % params["group"])
        group = -1
    changed = text != before
    if os.path.exists(path):
        stat = os.stat(path)
        changed = changed or stat.st_gid != group or stat.st_mode & 0o777 != 0o640
    if changed and not module.check_mode:
        try:
            files.write_atomically(path, text, 0o640)
            os.chown(path, 0, group)
        except OSError as error:
            module.fail_json(msg="Cannot write %s: %s. Make its folder first." % (path, error.strerror))
    module.exit_json(changed=changed, path=path)


if __name__ == "__main__":
    main()
