#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: install a repository's key after checking its fingerprint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: openpgp_key
short_description: Install a package repository's key after checking its fingerprint
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Reads an OpenPGP key from an address, a file on the host or a text, checks the fingerprint of every primary key in
    it, and only then writes it. A key that does not match never reaches the disk.
  - Needs no gnupg on the host.
extends_documentation_fragment:
  - myia.vllm.attributes
attributes:
  check_mode:
    support: full
    details: Predicts the change without writing. An address is not fetched when the file is already right.
  diff_mode:
    support: none
    details: A key is no text to compare.
options:
  key:
    description: Address (C(http), C(https), C(file)), absolute path on the host, or armoured text.
    type: str
    required: true
  fingerprint:
    description: The fingerprint that every primary key must have. Spaces and case do not matter.
    type: str
    required: true
  dest:
    description: Where to write the key.
    type: path
    required: true
  variable:
    description: Name of the variable that holds the fingerprint, for the message.
    type: str
    default: fingerprint
"""

EXAMPLES = r"""
- name: Install the repository's key
  myia.vllm.openpgp_key:
    key: https://nvidia.github.io/libnvidia-container/gpgkey
    fingerprint: C95B321B61E88C1809C4F759DDCAE044F796ECB0
    dest: /etc/apt/keyrings/nvidia-container-toolkit.asc
"""

RETURN = r"""
fingerprints:
  description: Fingerprints of the primary keys found.
  returned: success
  type: list
  elements: str
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url

from ansible_collections.myia.vllm.plugins.module_utils.host import openpgp

#: A key file is a few KiB; anything this large is something else.
LIMIT_BYTES = 1024 * 1024


def load(module: AnsibleModule, key: str) -> bytes:
    """Return the bytes of ``key``; fails the module when it cannot be read."""
    if "-----BEGIN PGP" in key:
        return key.encode()
    if key.startswith("/"):
        try:
            with open(key, "rb") as handle:
                return handle.read(LIMIT_BYTES)
        except OSError as error:
            module.fail_json(msg="the key %s cannot be read: %s" % (key, error.strerror))
    response, info = fetch_url(module, key, timeout=30)
    if info["status"] != 200 and not (key.startswith("file:") and response):
        module.fail_json(
            msg="the key %s cannot be fetched: %s. Check the address and the host's network, or give the key as an "
            "absolute path or as text." % (key, info.get("msg", "no answer"))
        )
    return response.read(LIMIT_BYTES)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "key": {"type": "str", "required": True, "no_log": False},
            "fingerprint": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "variable": {"type": "str", "default": "fingerprint"},
        },
        supports_check_mode=True,
    )
    p = module.params
    wanted = openpgp.normalise(p["fingerprint"])
    installed = b""
    if os.path.exists(p["dest"]):
        with open(p["dest"], "rb") as handle:
            installed = handle.read(LIMIT_BYTES)
        try:
            there = openpgp.fingerprints(installed)
        except openpgp.OpenPGPError:
            there = []
        # a right key that is already there is not fetched again: a re-run needs no network
        if there and set(there) == {wanted} and os.stat(p["dest"]).st_mode & 0o777 == 0o644:
            module.exit_json(changed=False, fingerprints=there)
    data = load(module, p["key"])
    try:
        found = openpgp.fingerprints(data)
    except openpgp.OpenPGPError as error:
        module.fail_json(msg="the key %s is unusable: %s. Nothing was installed." % (p["key"][:200], error))
    if set(found) != {wanted}:
        module.fail_json(
            msg="the key %s has the fingerprint %s, expected %s. Nothing was installed. If the repository's owner "
            "really changed the key, verify the new fingerprint with them and set %s."
            % (p["key"][:200], ", ".join(found), wanted, p["variable"])
        )
    if not module.check_mode:
        os.makedirs(os.path.dirname(p["dest"]), mode=0o755, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        module.atomic_move(temporary, p["dest"])
        os.chmod(p["dest"], 0o644)  # apt reads it as an unprivileged user
    module.exit_json(changed=True, fingerprints=found)


if __name__ == "__main__":
    main()
