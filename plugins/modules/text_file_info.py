#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the beginning and the end of a text file of any size."""

from __future__ import annotations

DOCUMENTATION = r"""
module: text_file_info
short_description: Read the beginning and the end of a text file of any size
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads a file as a whole, or of a larger one its first and last part, and hands it over compressed. Its memory and
    what travels over the connection are bounded.
extends_documentation_fragment:
  - myia.vllm.attributes.info
options:
  path:
    description: The file.
    type: path
    required: true
  max_bytes:
    description: Most bytes to read; a half from the beginning, a half from the end.
    type: int
    default: 4194304
seealso:
  - module: ansible.builtin.slurp
"""

EXAMPLES = r"""
- name: Read a log
  myia.vllm.text_file_info:
    path: /var/log/vllm.log
  register: log
"""

RETURN = r"""
content_gz:
  description: What was read, compressed by gzip, in base64.
  returned: success
  type: str
size:
  description: Size of the file in bytes.
  returned: success
  type: int
left_out:
  description: Bytes between the two parts that were not read; 0 when all was.
  returned: success
  type: int
"""

import base64
import gzip
import os

from ansible.module_utils.basic import AnsibleModule


def read_ends(path: str, max_bytes: int) -> tuple[bytes, int, int]:
    """Return (what was read, size of the file, bytes left out between its two parts); raises OSError."""
    with open(path, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        head = handle.read(max_bytes if size <= max_bytes else max_bytes // 2)
        rest = size - len(head)
        if rest <= 0 or size <= max_bytes:
            return head, size, 0
        tail = min(rest, max_bytes - len(head))
        handle.seek(size - tail)
        left_out = rest - tail
        mark = b"\n... %d bytes left out ...\n" % left_out
        return head + mark + handle.read(tail), size, left_out


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "max_bytes": {"type": "int", "default": 4194304},
        },
        supports_check_mode=True,
    )
    path = module.params["path"]
    try:
        content, size, left_out = read_ends(path, module.params["max_bytes"])
    except OSError as error:
        module.fail_json(msg="Cannot read %s: %s. Give the path of a text file on this host." % (path, error.strerror))
    packed = base64.b64encode(gzip.compress(content)).decode("ascii")
    module.exit_json(changed=False, content_gz=packed, size=size, left_out=left_out)


if __name__ == "__main__":
    main()
