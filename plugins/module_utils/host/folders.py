# SPDX-License-Identifier: GPL-3.0-or-later
"""Say why a folder cannot be made or written, and whose it is. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat

from ansible_collections.myia.vllm.plugins.module_utils.common import files


def problem(path: str, parts: tuple[str, ...] = ()) -> dict[str, str]:
    """Return why nothing can be written into the folder ``path``, which need not exist yet; empty when it can.

    Nothing is written for the answer: the kernel is asked (access(2)), which knows of read-only file systems and of
    the immutable attribute for root too.

    Args:
        path: absolute path.
        parts: folders in it that must be folders where they exist.

    Returns:
        ``text`` (a sentence) and ``fix`` (another).
    """
    found = _folder_problem(path)
    for part in parts:
        inner = os.path.join(path, part)
        if not found and os.path.lexists(inner):
            found = _folder_problem(inner)
    return found


def _folder_problem(path: str) -> dict[str, str]:
    existing = "/"
    names = [name for name in os.path.abspath(path).split("/") if name]
    for depth in range(1, len(names) + 1):
        here = "/" + "/".join(names[:depth])
        try:
            mode = os.stat(here).st_mode
        except OSError as error:
            if error.errno == errno.ELOOP:
                return _answer("%s is a loop of symbolic links (%s)." % (here, _target(here)),
                               "Remove it, or name another folder.")  # fmt: skip
            if error.errno == errno.ENOENT and os.path.islink(here):
                return _answer("%s is a link %s, which is not there." % (here, _target(here)),
                               "Make that folder, or remove the link.")  # fmt: skip
            if error.errno == errno.ENOENT:
                break
            return _answer("%s cannot be looked at: %s." % (here, error.strerror), "Mend that, or name another folder.")
        if not stat.S_ISDIR(mode):
            return _answer("%s is no folder but %s; %s." % (here, _kind(mode), owner(here)),
                           "Move it away, or name another folder.")  # fmt: skip
        existing = here
    return _write_problem(existing)


def _write_problem(folder: str) -> dict[str, str]:
    if os.access(folder, os.W_OK | os.X_OK):
        return {}
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return _answer("%s lies on a file system that is mounted read-only (%s); %s." % (
            folder, mount_of(folder), owner(folder)), "Mount it read-write: after an error of the disk the kernel "
            "takes it away (journalctl -k), else see /etc/fstab. Or name another folder.")  # fmt: skip
    return _answer("%s cannot be written by user id %d; %s." % (folder, os.geteuid(), owner(folder)),
                   "Give this user the right, take an immutable attribute away (lsattr -d, chattr -i), or name another "
                   "folder.")  # fmt: skip


def said(error: OSError) -> str:
    """Return what the system says, with the file it is about, and without a number."""
    return "%s%s" % (error.strerror or error, " (%s)" % error.filename if error.filename else "")


def failed(path: str, error: OSError, parts: tuple[str, ...] = ()) -> str:
    """Return an error that came while something was written into the folder ``path``, and what to do about it."""
    fix = "Free space or inodes there (df -h, df -i) and run again."
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        found = problem(path, parts)
        fix = "%s %s" % (found["text"], found["fix"]) if found else "Mend that and run again."
    return "%s. %s" % (said(error), fix)


def owner(path: str) -> str:
    """Return whose a file or folder is, and its mode, in words."""
    try:
        found = os.stat(path)
    except OSError:
        return "its owner is not known"
    try:
        name = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        name = "user id %d" % found.st_uid
    return "it belongs to %s, mode %04o" % (name, stat.S_IMODE(found.st_mode))


def mount_of(path: str) -> str:
    """Return the file system that holds ``path``, as ``DEVICE at MOUNT POINT``."""
    point = os.path.realpath(path)
    while not os.path.ismount(point):
        point = os.path.dirname(point)
    device = "an unknown device"
    # the fields of fstab(5); the last mount over a point is the one that counts
    for line in files.read_text("/proc/self/mounts").splitlines():
        fields = line.split()
        if len(fields) > 1 and fields[1].replace("\\040", " ") == point:
            device = fields[0]
    return "%s at %s" % (device, point)


def _target(link: str) -> str:
    try:
        return "to %s" % os.readlink(link)
    except OSError:
        return "further up"


def _kind(mode: int) -> str:
    return "a file" if stat.S_ISREG(mode) else "a socket" if stat.S_ISSOCK(mode) else "something else"


def _answer(text: str, fix: str) -> dict[str, str]:
    return {"text": text, "fix": fix}
