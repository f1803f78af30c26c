# SPDX-License-Identifier: GPL-3.0-or-later
"""The file by which Prometheus and its exporters ask for a password. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import os
import re

#: Rounds of bcrypt as a power of two; what exporter-toolkit's documentation takes.
COST = 10

_HASH = re.compile(r"^\s+\"?([A-Za-z0-9_.-]+)\"?: \"?(\$2[aby]\$\d\d\$[./A-Za-z0-9]{53})\"?\s*$", re.MULTILINE)


class HashError(Exception):
    """This host cannot make a bcrypt hash; the text says why."""


def crypt(password: str, setting: str) -> str:
    """Return the hash of a password by libcrypt, which login needs on every Debian (Python 3.13 has no crypt any more).

    Args:
        password: the password.
        setting: a salt with what stands before it, or a hash of before.

    Raises:
        HashError: there is no libcrypt, or it knows no bcrypt.
    """
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError:
        raise HashError("libcrypt is not there (package libcrypt1 on Debian)") from None
    library.crypt.restype = ctypes.c_char_p
    library.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    found = library.crypt(password.encode(), setting.encode())
    # a failure gives nothing, or a text that begins with a star
    if not found or not found.startswith(b"$2"):
        raise HashError("its libcrypt makes no bcrypt hashes")
    return found.decode()


def new_salt() -> str:
    """Return a fresh setting for bcrypt: 16 bytes in its own alphabet."""
    standard = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    text = base64.b64encode(os.urandom(16)).rstrip(b"=").translate(bytes.maketrans(standard, own))
    # the last character has four bits that count for nothing, and libcrypt wants them clear
    last = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".index(text.decode()[-1]) & 0b110000
    return "$2b$%02d$%s" % (COST, text.decode()[:-1] + own.decode()[last])


def users_of(text: str) -> dict[str, str]:
    """Return the hashes in a file, by user."""
    return dict(_HASH.findall(text))


def wanted(text: str, user: str, password: str) -> str:
    """Return the wanted file; a hash that the password still suits stays, so that nothing changes.

    Raises:
        HashError: as ``crypt``.
    """
    before = users_of(text)
    found = before.get(user, "")
    if len(before) != 1 or not found or crypt(password, found) != found:
        found = crypt(password, new_salt())
    return '# Written by the role myia.vllm.vllm_monitoring.\nbasic_auth_users:\n  "%s": "%s"\n' % (user, found)
