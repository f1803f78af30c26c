# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; this file is never run on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: support_bundle
short_description: Say what is wrong with a service, worst first, and pack what shows it for a public issue
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads the host by M(myia.vllm.support_info) and judges on the controller. Checks of the host, the container's state,
    its logs by the failure catalogue, the kernel's log (memory, Xid) and the bottlenecks in C(/metrics) become
    findings, each with its fix.
  - Writes an archive on the controller from which tokens, keys and passwords, host names, addresses, people's names,
    prompts and answers were taken out, the same value by the same name in all files. Its C(CONTENTS.md) lists what is
    inside. A file in which a known secret is still seen is left out.
  - Never fails for what it finds. A folder that cannot be written gives a warning.
extends_documentation_fragment:
  - myia.vllm.attributes
  - myia.vllm.failures
  - myia.vllm.service.container
  - myia.vllm.service.folder
  - myia.vllm.service.url
attributes:
  check_mode:
    support: full
    details: Writes the archive in check mode too; it is no change of the host.
  diff_mode:
    support: none
    details: Changes nothing.
options:
  dir:
    description: Folder on the controller in which C(reports/support/) lies. Empty for where Ansible was started.
    type: str
    default: ""
  keep:
    description: Archives to keep of one service on one host; 0 for all.
    type: int
    default: 5
seealso:
  - module: myia.vllm.support_info
  - module: myia.vllm.report
"""

EXAMPLES = r"""
- name: Pack what shows how the service is
  myia.vllm.support_bundle:
    container: myia-vllm-medium-qwen3
    url: http://127.0.0.1:5002
    folder: /opt/vllm/medium
  register: bundle
"""

RETURN = r"""
findings:
  description: >-
    What was found, the worst first, each with C(id), C(severity) (V(error), V(warning) or V(info)), C(found), C(fix)
    and C(where) (the file of the archive that shows it). As in the archive, without what strangers must not see.
  returned: success
  type: list
  elements: dict
files: {description: The files in the archive., type: list, elements: str, returned: success}
left_out: {description: Files that were left out., type: list, elements: str, returned: success}
path: {description: The archive on the controller; empty when it could not be written., type: str, returned: success}
text: {description: Findings and the archive's place for the screen., type: list, elements: str, returned: success}
"""
