# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which a known secret may stand in a text. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import urllib.parse
from collections.abc import Callable

#: Shortest piece of a secret that is looked for, in characters: a shorter one would mask ordinary words.
_MIN_LENGTH = 4

#: Shortest piece of base64, in characters: six of them hold four bytes.
_MIN_BASE64 = 6

#: Shortest form that is looked for across line ends, in characters.
_MIN_SPLIT = 8

#: What may stand between the parts of a text that was wrapped: closing quotes and signs of continuation, the line end,
#: and what the log's carrier writes before a line (Docker's time stamp and vLLM's prefix are about 100 characters).
_WRAP = r"(?:[\"'\\+,|)]{0,3}[ \t]{0,8}\r?\n[^\n]{0,120}?)?"


def forms(secret: str) -> list[str]:
    """Return ``secret`` as programs write it: plain, escaped, percent-encoded, in hexadecimal, within base64.

    Of base64 it is what stands for the secret wherever it begins in the encoded bytes.
    """
    data = secret.encode("utf-8", "surrogateescape")
    percent = urllib.parse.quote(secret, safe="", errors="surrogateescape")
    every = "".join("%%%02X" % byte for byte in data)
    hexadecimal = binascii.hexlify(data).decode("ascii")
    found = [
        secret,
        repr("\"'" + secret)[4:-1],
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        html.escape(secret),
        percent,
        percent.lower(),
        re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), percent),
        urllib.parse.quote(secret, errors="surrogateescape"),
        urllib.parse.quote_plus(secret, errors="surrogateescape"),
        every,
        every.lower(),
        hexadecimal,
        hexadecimal.upper(),
    ]
    for offset, skip in ((0, 0), (1, 2), (2, 3)):
        padded = b"\0" * offset + data
        core = base64.b64encode(padded).decode("ascii")[skip : len(padded) * 8 // 6]
        if len(core) >= _MIN_BASE64:
            found += [core, core.replace("+", "-").replace("/", "_")]
    return sorted({form for form in found if len(form) >= _MIN_LENGTH}, key=len, reverse=True)


def replaced(text: str, secrets: list[str], name_of: Callable[[str], str]) -> str:
    """Return ``text`` without any form of ``secrets``, also where a line end stands within one.

    Args:
        text: any text.
        secrets: the values, the longest first.
        name_of: gives what stands in the place of a secret.
    """
    for secret in secrets:
        for form in forms(secret):
            if form in text:
                text = text.replace(form, name_of(secret))
    for secret in secrets if "\n" in text else []:
        for form in forms(secret):
            if len(form) >= _MIN_SPLIT:
                text = _split(form).sub(lambda _match, known=secret: name_of(known), text)
    return text


def holds(text: str, secrets: list[str]) -> bool:
    """Tell whether a form of one of ``secrets`` is in ``text``."""
    return any(form in text for secret in secrets for form in forms(secret))


def _split(form: str) -> re.Pattern:
    return re.compile(_WRAP.join(map(re.escape, form)))
