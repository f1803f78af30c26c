# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of OpenPGP public keys (RFC 4880, version 4), so that a target host needs no gnupg to check one.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

#: Packet tag of a primary public key (RFC 4880, 4.3).
_PUBLIC_KEY = 6


class OpenPGPError(ValueError):
    """The bytes are no OpenPGP public key."""


def fingerprints(data: bytes) -> list[str]:
    """Return the fingerprint of every primary key in an armoured or binary key file, upper-case hexadecimal.

    Raises:
        OpenPGPError: when there is none, or the file is damaged.
    """
    binary = b"".join(_dearmor(data)) if b"-----BEGIN PGP" in data else data
    found = [_fingerprint(body) for tag, body in _packets(binary) if tag == _PUBLIC_KEY]
    if not found:
        raise OpenPGPError("it holds no public key")
    return found


def normalise(fingerprint: str) -> str:
    """Return a fingerprint without spaces, upper case."""
    return re.sub(r"[\s:]", "", fingerprint).upper()


def _dearmor(data: bytes) -> list[bytes]:
    blocks = re.findall(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP PUBLIC KEY BLOCK-----", data, re.DOTALL
    )
    if not blocks:
        raise OpenPGPError("it is no armoured public key")
    result = []
    for block in blocks:
        lines = [line.strip() for line in block.strip(b"\r\n").splitlines()]
        # headers such as "Version: ..." end at the first empty line
        body = lines[lines.index(b"") + 1 :] if b"" in lines else lines
        body = [line for line in body if line and not line.startswith(b"=") and b":" not in line]
        try:
            result.append(base64.b64decode(b"".join(body), validate=True))
        except binascii.Error as error:
            raise OpenPGPError("its armour is damaged (%s)" % error) from None
    return result


def _packets(data: bytes):
    """Yield (tag, body) of each packet, old and new format headers."""
    position = 0
    try:
        while position < len(data):
            header = data[position]
            position += 1
            if not header & 0x80:
                raise OpenPGPError("it is no OpenPGP data")
            if header & 0x40:
                tag = header & 0x3F
                first = data[position]
                position += 1
                if first < 192:
                    length = first
                elif first < 224:
                    length = ((first - 192) << 8) + data[position] + 192
                    position += 1
                elif first == 255:
                    length = int.from_bytes(data[position : position + 4], "big")
                    position += 4
                else:
                    raise OpenPGPError("it uses partial lengths, which keys never do")
            else:
                tag = (header >> 2) & 0x0F
                size = (1, 2, 4, 0)[header & 0x03]
                if not size:
                    raise OpenPGPError("it uses an open length, which keys never do")
                length = int.from_bytes(data[position : position + size], "big")
                position += size
            body = data[position : position + length]
            if len(body) != length:
                raise OpenPGPError("it is cut short")
            position += length
            yield tag, body
    except IndexError:
        raise OpenPGPError("it is cut short") from None


def _fingerprint(body: bytes) -> str:
    if not body or body[0] != 4:
        raise OpenPGPError("it is a key of version %d; only version 4 is supported" % (body[0] if body else 0))
    # SHA-1 is what RFC 4880 (12.2) defines a version 4 fingerprint to be.
    digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    return digest.hexdigest().upper()
