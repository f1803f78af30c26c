# SPDX-License-Identifier: GPL-3.0-or-later
"""Move files into an archive with a manifest, and give them back as they were. Runs on target hosts.

An archive is ``docker_configs_<UTC time>/{manifest.json,files/...}``, mode 0700. The manifest has for each file where
it was, its hash, owner, group, mode and time, why it went, and how it is kept. Python standard library only.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import contextlib
import grp
import hashlib
import json
import os
import pwd
import shutil
import time

from ansible_collections.myia.vllm.plugins.module_utils.archive import finder
from ansible_collections.myia.vllm.plugins.module_utils.common import files as small_files

MANIFEST = "manifest.json"

#: How a file is kept.
AS_IT_WAS, ENCRYPTED, REDACTED = "as it was", "encrypted", "redacted"


class StoreError(Exception):
    """Why files stay where they are; the text says what was moved, if anything was."""


def digest(path: str) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.sha256(handle.read()).hexdigest()


def new_folder(base: str, now_s: float | None = None) -> str:
    """Return the path of a new archive."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    return os.path.join(base, "docker_configs_%s" % stamp)


def describe(path: str, why: str) -> dict:
    """Return what the manifest says of a file."""
    stat = os.stat(path)
    return {
        "path": path,
        "sha256": digest(path),
        "size": stat.st_size,
        "uid": stat.st_uid,
        "gid": stat.st_gid,
        "owner": _name(pwd.getpwuid, stat.st_uid),
        "group": _name(grp.getgrgid, stat.st_gid),
        "mode": "%04o" % (stat.st_mode & 0o7777),
        "mtime_ns": stat.st_mtime_ns,
        "why": why,
    }


def archive(folder: str, items: list[dict], encrypted: dict[str, str], redact: bool) -> list[dict]:
    """Move files into a new archive: all copies first, then the manifest, then the originals go.

    Args:
        folder: of the archive.
        items: of ``finder.find``, each with its ``sha256`` of when it was looked at.
        encrypted: by path, the encrypted content of sensitive files.
        redact: whether sensitive files lose their values instead.

    Returns:
        The entries of the manifest.

    Raises:
        StoreError: a file is not what it was any more, or a sensitive one came without its encrypted content; or one is
            in the archive and cannot be taken away.
        OSError: the archive cannot be written; nothing of it is left then, and nothing was moved.
    """
    for item in items:
        if digest(item["path"]) != item["sha256"]:
            raise StoreError(
                "%s changed since it was looked at. Run the playbook again. Nothing was moved" % item["path"]
            )
        if item["sensitive"] and not redact and item["path"] not in encrypted:
            raise StoreError(
                "%s may hold secrets, and came without its encrypted content. Nothing was moved" % item["path"]
            )
    os.makedirs(folder, mode=0o700)
    try:
        entries = _copied(folder, items, encrypted, redact)
    except BaseException:
        # copies of secrets, and no archive that could be given back
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for item in items:
        try:
            os.unlink(item["path"])
        except OSError as error:
            raise StoreError(
                "%s is in %s and cannot be removed (%s). Remove it by hand, and those behind it"
                % (item["path"], folder, error.strerror)
            ) from None
    return entries


def _copied(folder: str, items: list[dict], encrypted: dict[str, str], redact: bool) -> list[dict]:
    """Write the copies and the manifest; return its entries."""
    os.chmod(folder, 0o700)
    entries = []
    for item in items:
        entry = describe(item["path"], item["why"])
        entry["file"] = os.path.join("files", item["path"].lstrip("/"))
        entry["kept"] = AS_IT_WAS if not item["sensitive"] else REDACTED if redact else ENCRYPTED
        place = os.path.join(folder, entry["file"])
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        _write(place, _content(item["path"], entry["kept"], encrypted), 0o600)
        entries.append(entry)
    manifest = {"made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "files": entries}
    small_files.write_atomically(os.path.join(folder, MANIFEST), json.dumps(manifest, indent=2) + "\n", 0o600)
    return entries


def read(folder: str) -> dict:
    """Return the manifest of an archive.

    Raises:
        StoreError: there is none.
    """
    manifest = small_files.read_json(os.path.join(folder, MANIFEST))
    if not isinstance(manifest.get("files"), list):
        raise StoreError("%s is no archive: it has no readable %s. Nothing was given back" % (folder, MANIFEST))
    return manifest


def newest(base: str) -> str:
    """Return the newest archive in a folder; empty without one."""
    with contextlib.suppress(OSError):
        folders = (os.path.join(base, name) for name in os.listdir(base) if name.startswith("docker_configs_"))
        # one without a manifest is what a killed run has left; its originals are where they were
        whole = sorted(folder for folder in folders if os.path.isfile(os.path.join(folder, MANIFEST)))
        return whole[-1] if whole else ""
    return ""


def problems(manifest: dict) -> list[str]:
    """Return why files of an archive cannot be given back."""
    found = []
    for entry in manifest["files"]:
        if entry.get("restored"):
            continue
        if os.path.lexists(entry["path"]):
            found.append("%s is there again; nothing is overwritten" % entry["path"])
        elif entry["kept"] == REDACTED:
            found.append("%s was redacted, so its values are gone" % entry["path"])
    return found


def restore(folder: str, contents: dict[str, str], check: bool) -> list[str]:
    """Give files back where they were, byte for byte, with owner, mode and time.

    Args:
        folder: of the archive.
        contents: by path, the decrypted content of encrypted files, in base64.
        check: only say what would be done.

    Returns:
        The paths that came back. What cannot is left in the archive (:func:`problems`).

    Raises:
        StoreError: a content is not what was archived; nothing was given back then.
        OSError: a file cannot be written; those before it are back, and the next call goes on.
    """
    manifest = read(folder)
    waiting = [
        entry for entry in manifest["files"]
        if not entry.get("restored") and not os.path.lexists(entry["path"]) and entry["kept"] != REDACTED
    ]  # fmt: skip
    if check:
        return [entry["path"] for entry in waiting]
    # all of them first, so that a wrong password gives nothing back rather than half
    whole = [(entry, _kept_content(folder, entry, contents)) for entry in waiting]
    for entry, content in whole:
        path = entry["path"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, content, int(entry["mode"], 8), entry["uid"], entry["gid"])
        os.utime(path, ns=(entry["mtime_ns"], entry["mtime_ns"]))
        entry["restored"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        small_files.write_atomically(os.path.join(folder, MANIFEST), json.dumps(manifest, indent=2) + "\n", 0o600)
        os.unlink(os.path.join(folder, entry["file"]))
    return [entry["path"] for entry in waiting]


def _kept_content(folder: str, entry: dict, contents: dict[str, str]) -> bytes:
    """Return what a file held; raises StoreError where the archive does not hold that."""
    if entry["kept"] == ENCRYPTED:
        content = base64.b64decode(contents.get(entry["path"], ""))
    else:
        with open(os.path.join(folder, entry["file"]), "rb") as handle:
            content = handle.read()
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise StoreError("%s: the archive does not hold what was archived. Nothing was given back" % entry["path"])
    return content


def _content(path: str, kept: str, encrypted: dict[str, str]) -> bytes:
    if kept == ENCRYPTED:
        return encrypted[path].encode()
    with open(path, "rb") as handle:
        content = handle.read()
    if kept != REDACTED:
        return content
    return finder.redacted(content.decode("utf-8", "replace"), finder.is_env(path)).encode()


def _write(path: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Write a new file; nobody can open it before owner and mode are right, and a disk that is full loses nothing."""
    temporary = path + ".myia-new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    # the folder may be somebody else's, who could have a link wait there
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    os.chown(temporary, uid, gid)
    os.chmod(temporary, mode)
    os.rename(temporary, path)


def _name(find, identity: int) -> str:
    try:
        return find(identity)[0]
    except KeyError:
        return str(identity)
