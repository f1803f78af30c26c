# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write small files, and what is JSON in them. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import contextlib
import json
import os


def read_text(path: str, newline: str | None = None) -> str:
    """Return the text of a file, "" when it cannot be read; with ``newline=""`` its line ends stay as they are."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline=newline) as handle:
            return handle.read()
    except OSError:
        return ""


def json_object(text: str) -> dict:
    """Return the object that is a JSON text; empty when it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_json(path: str) -> dict:
    """Return the object in a JSON file; empty when it cannot be read or is none."""
    return json_object(read_text(path))


def write_atomically(path: str, text: str, mode: int) -> None:
    """Write a file in one step; nobody can open it before its mode is right.

    Raises:
        OSError: it cannot be written; the file of before stays.
    """
    temporary = "%s.%d.new" % (path, os.getpid())
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
