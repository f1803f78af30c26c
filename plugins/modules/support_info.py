#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: texts of a host that help to find out why its service misbehaves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: support_info
short_description: Gather logs, settings and figures of a host and its vLLM service
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads the container's log and settings, the kernel's lines about memory and GPUs, C(nvidia-smi), Docker's settings,
    C(/metrics) and the releases, in one round trip. What is not there is left out. Never fails.
  - Secrets of the service's C(.env) files are masked on the host, in whatever form they stand in a text; values of
    C(.env) are not read for anything else. Host names and addresses are still in it, and so may be what programs of
    others wrote. M(myia.vllm.support_bundle) takes them out; do not show what this module returns.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.service.url
options:
  timeout_s:
    description: Longest time for each answer, in seconds.
    type: float
    default: 15
seealso:
  - module: myia.vllm.support_bundle
"""

EXAMPLES = r"""
- name: Gather what shows how the service is
  myia.vllm.support_info:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
    folder: /opt/vllm/medium
  register: support
  no_log: true
"""

RETURN = r"""
content_gz:
  description: The texts by their names in the archive, as JSON, gzip and base64.
  returned: always
  type: str
names: {description: What the host is called., type: list, elements: str, returned: always}
users: {description: People who have an account with a shell on the host., type: list, elements: str, returned: always}
"""

import base64
import gzip
import json
import pwd

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.service import support

#: Numbers of people's accounts (login.defs of Debian, Red Hat and SUSE: UID_MIN, UID_MAX).
PEOPLE = range(1000, 60001)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "timeout_s": {"type": "float", "default": 15},
        },
        supports_check_mode=True,
    )
    p = module.params
    parts = support.parts(p["container"], p["url"], p["folder"], p["timeout_s"])
    packed = base64.b64encode(gzip.compress(json.dumps(parts).encode("utf-8"))).decode("ascii")
    users = sorted({item.pw_name for item in pwd.getpwall() if item.pw_uid in PEOPLE})
    module.exit_json(changed=False, content_gz=packed, names=support.names(p["timeout_s"]), users=users)


if __name__ == "__main__":
    main()
