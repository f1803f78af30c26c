# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which of the given files should be encrypted by Ansible Vault and are not (exit status 1)."""

from __future__ import annotations

import pathlib
import sys


def plain(paths: list[str]) -> list[str]:
    """Return those that anybody can read."""
    return [path for path in paths if not pathlib.Path(path).read_bytes().startswith(b"$ANSIBLE_VAULT;")]


if __name__ == "__main__":
    found = plain(sys.argv[1:])
    for name in found:
        print("%s is not encrypted: ansible-vault encrypt --vault-id medium@prompt %s" % (name, name))
    sys.exit(bool(found))
