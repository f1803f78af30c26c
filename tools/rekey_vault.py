#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypt all vaulted files of an inventory with a new password.

    tools/rekey_vault.py FOLDER --old FILE --new FILE [--id LABEL]

Each file is re-keyed beside the old one, opened with the new password, compared with what it held, and only then put
into its place. What neither password opens is named, and nothing is changed then. What the new one opens is done, by a
run that was interrupted. Nothing that was decrypted is written.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

#: First bytes of a file of Ansible Vault.
HEADER = b"$ANSIBLE_VAULT;"

VAULT = str(pathlib.Path(sys.executable).parent / "ansible-vault")


def vaulted(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the files below ``folder`` that are encrypted as a whole."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts:
            with path.open("rb") as handle:
                if handle.read(len(HEADER)) == HEADER:
                    found.append(path)
    return found


def opened(path: pathlib.Path, password: str) -> bytes | None:
    """Return what a file holds; None when the password does not open it."""
    argv = [VAULT, "view", "--vault-password-file", password, str(path)]
    done = subprocess.run(argv, capture_output=True, check=False, env={**os.environ, "PAGER": "cat"})
    return done.stdout if done.returncode == 0 else None


def rekey(path: pathlib.Path, old: str, new: str, label: str) -> None:
    """Put a file that the new password opens into the place of one; mode and owner stay.

    Raises:
        RuntimeError: it would not hold the same.
    """
    before = opened(path, old)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".rekey") as folder:
        copy = pathlib.Path(folder) / path.name
        shutil.copy2(path, copy)
        argv = [VAULT, "rekey", "--vault-password-file", old]
        argv += ["--new-vault-id", "%s@%s" % (label, new)] if label else ["--new-vault-password-file", new]
        done = subprocess.run([*argv, str(copy)], capture_output=True, text=True, check=False)
        if done.returncode != 0 or before is None or opened(copy, new) != before:
            raise RuntimeError("%s: cannot be re-keyed, and is as it was. %s" % (path, done.stderr.strip()[-300:]))
        stat = path.stat()
        os.chown(copy, stat.st_uid, stat.st_gid)
        os.chmod(copy, stat.st_mode & 0o777)
        copy.replace(path)


def main() -> int:
    """Re-key all files, or none when one does not open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="an inventory, or any folder")
    parser.add_argument("--old", required=True, help="file with the old password")
    parser.add_argument("--new", required=True, help="file with the new one")
    parser.add_argument("--id", default="", help="label of the new vault id")
    given = parser.parse_args()
    files = vaulted(given.folder)
    left = [path for path in files if opened(path, given.old) is not None]
    closed = [str(path) for path in files if path not in left and opened(path, given.new) is None]
    if closed or not files:
        print("%s; nothing was changed." % ("The old password does not open: " + ", ".join(closed) if closed else
              "No vaulted file below %s" % given.folder), file=sys.stderr)  # fmt: skip
        return 1
    for path in left:
        rekey(path, given.old, given.new, given.id)
        print("re-keyed: %s" % path)
    print("Values that are encrypted one by one within a file (!vault) are not among them: encrypt those anew by hand.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
