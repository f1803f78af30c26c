#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a window of a service's log."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_log_info
short_description: Read a window of a service's log
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns the last lines of the container's log between two times. Values of C(.env) that are secrets are masked
    before they leave the host. M(myia.vllm.service_log) prints it. Changes nothing.
extends_documentation_fragment:
  - myia.vllm.attributes.info
  - myia.vllm.service.container
  - myia.vllm.service.folder
options:
  since:
    description: >-
      From when on, as C(docker logs) takes it, a time (V(2026-01-31T12:00:00)) or how long ago (V(10m)). Empty for the
      beginning of the log.
    type: str
    default: ""
  up_to:
    description: Until when, in the same form. Empty for now.
    type: str
    default: ""
  lines:
    description: Most lines, counted from the end of the window; 1 or more.
    type: int
    default: 200
seealso:
  - module: myia.vllm.service_log
"""

EXAMPLES = r"""
- name: Read what was logged in the last ten minutes
  myia.vllm.service_log_info:
    container: myia-vllm-medium-qwen3
    folder: /opt/vllm/medium
    since: 10m
  register: log
"""

RETURN = r"""
log_gz:
  description: The lines with Docker's time stamps, compressed by gzip, in base64; empty without any.
  returned: always
  type: str
cut: {description: Whether lines at the beginning were left out for their size., type: bool, returned: always}
late: {description: Whether lines at the end were left out since reading took too long., type: bool, returned: always}
state: {description: "Docker's state of the container, V(missing) without one.", type: str, returned: always}
failed_logs:
  description: Logs on the host of releases that did not come into service.
  returned: always
  type: list
  elements: str
"""

import base64
import gzip
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.service import releases
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Longest time for ``docker inspect``, in seconds.
INSPECT_S = 20


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "since": {"type": "str", "default": ""},
            "up_to": {"type": "str", "default": ""},
            "lines": {"type": "int", "default": 200},
        },
        supports_check_mode=True,
    )
    docker, p = module.get_bin_path("docker"), module.params
    if docker is None:
        module.fail_json(msg="docker is not installed on this host; run the role myia.vllm.docker_engine first.")
    if p["lines"] < 1:
        module.fail_json(msg="lines: found %d; expected 1 or more." % p["lines"])
    status, out, err, _late = host_command.run(
        [docker, "container", "inspect", "--format", "{{.State.Status}}", p["container"]], INSPECT_S
    )
    state = out.strip() if status == 0 else "missing"
    if status != 0 and "no such" not in err.lower():
        module.fail_json(msg="Docker does not tell of %s: %s" % (p["container"], " ".join(err.split()) or "no answer"))
    lines, cut, late = b"", False, False
    if state != "missing":
        lines, cut, late = container_log.window(docker, p["container"], p["since"], p["up_to"], p["lines"])
    text = service_secrets.masked(lines.decode("utf-8", "replace"), service_secrets.values(p["folder"]))
    service = releases.Service(p["folder"])
    saved = [os.path.join(service.folder(name), releases.FAILED_LOG) for name in service.names()]
    module.exit_json(
        changed=False,
        log_gz=base64.b64encode(gzip.compress(text.encode(), 1)).decode("ascii") if text else "",
        cut=cut,
        late=late,
        state=state,
        failed_logs=[path for path in saved if os.path.exists(path)],
    )


if __name__ == "__main__":
    main()
