# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the controller that hold secrets, or what a host is like: neither in Git nor for everybody to read.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding

#: Longest time that Git may take, in seconds; a repository on a share that hangs is not waited for.
_GIT_S = 5


def vault_files(identities: list[str], files: list[str]) -> list[str]:
    """Return the password files of Ansible Vault, without programs, prompts and what is not there.

    Args:
        identities: as ``--vault-id`` and ``vault_identity_list`` name them: a source, or ``label@source``.
        files: of ``--vault-password-file`` and ``vault_password_file``.
    """
    sources = [*files, *(str(item).rpartition("@")[2] for item in identities)]
    paths = [os.path.abspath(os.path.expanduser(source)) for source in sources if source and source != "prompt"]
    # a program gives the password from elsewhere
    return [path for path in dict.fromkeys(paths) if os.path.isfile(path) and not os.access(path, os.X_OK)]


def check(passwords: list[str], environments: list[str], reports: str) -> dict | None:
    """Return the finding; None where there is no such file.

    Args:
        passwords: of :func:`vault_files`.
        environments: files ``.env`` that may be there.
        reports: the folder of the reports, which may be there.
    """
    paths = [path for path in [*passwords, *environments, reports] if os.path.exists(path)]
    if not paths:
        return None
    tracked = [path for path in paths if in_git(path)]
    open_to_all = [path for path in paths if readable_by_all(path)]
    wrong = ["%s is tracked by Git" % path for path in tracked] + [
        "%s is readable by everybody" % p for p in open_to_all
    ]
    fix = []
    if tracked:
        fix.append(
            "git rm -r --cached %s, a line in .gitignore, and new secrets: Git keeps the old ones" % " ".join(tracked)
        )
    if open_to_all:
        fix.append("chmod -R o-rwx %s" % " ".join(open_to_all))
    return finding(
        "controller_files",
        not wrong,
        "; ".join(wrong) if wrong else "%d file%s on the controller" % (len(paths), "" if len(paths) == 1 else "s"),
        "vault password files, .env and reports neither in Git nor readable by everybody",
        "On the controller: %s." % "; ".join(fix),
        severity="warning",
    )


def readable_by_all(path: str, root: str = "/") -> bool:
    """Tell whether any user of the controller who may enter ``root`` may read a file, or list a folder."""
    target = pathlib.Path(path).resolve()
    if not target.stat().st_mode & stat.S_IROTH:
        return False
    folders = [target, *target.parents] if target.is_dir() else target.parents
    top = pathlib.Path(root).resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders if folder.is_relative_to(top))


def in_git(path: str) -> bool:
    """Tell whether Git tracks a file, or anything in a folder."""
    folder, name = os.path.split(path)
    try:
        done = subprocess.run(
            ["git", "-C", folder, "ls-files", "--", name],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_GIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(done.stdout.strip())
