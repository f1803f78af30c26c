# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the secrets of a service's releases out of texts. Python standard library only; runs on target hosts.

The values are looked up where they are, in the ``.env`` files on the host, so that none has to travel.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases

#: Names in ``.env`` whose values are secrets: the collection's own, and those of ``vllm_extra_env`` that look like it.
#: Not MAX_NUM_BATCHED_TOKENS_*: a number that is masked cannot be read out of an error.
_SECRET = re.compile(
    r"^HUGGING_FACE_HUB_TOKEN$|^VLLM_API_KEY_|^EXTRA_ENV_\w*KEY"
    r"|^EXTRA_(?:ENV|OPTION)_\w*(?:TOKEN(?!S)|API_?KEY|SECRET|PASSW|_PASS(?:_|$)|CREDENTIAL)",
    re.IGNORECASE,
)

#: What a value may be a secret by, in its name or, of JSON, in itself: stricter, as what is shown cannot be taken back.
_MIGHT_BE = re.compile(
    r"^EXTRA_ENV_|KEY|TOKEN(?!S|IZER)|SECRET|PASS|CREDENTIAL|AUTH|HEADER|COOKIE|^VLLM_FILES_", re.IGNORECASE
)

#: Addresses with a password in them, of a proxy for example.
_ADDRESS = re.compile(r"://[^/\s@]+:[^/\s@]+@")

#: Shortest value that is looked for, in characters: a shorter one would mask ordinary words.
_MIN_LENGTH = 4

_MASK = "***"


def values(folder: str) -> list[str]:
    """Return the secrets in the ``.env`` files of all releases in a service's folder, the longest first."""
    service = releases.Service(folder)
    texts = (service.read(name, releases.ENV) for name in [*service.names(), *service.strange()])
    return among(pair for text in texts for pair in dotenv.items(text).items())


def among(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the secrets among (name in ``.env``, value), the longest first."""
    found = {
        value for name, value in pairs if (_SECRET.search(name) or _ADDRESS.search(value)) and len(value) >= _MIN_LENGTH
    }
    return sorted(found, key=len, reverse=True)


def diff(before: str, after: str) -> tuple[str, str]:
    """Return two ``.env`` texts for a diff: values that differ are shown, unless they might hold secrets."""
    known = {value for text in (before, after) for value in among(dotenv.items(text).items())}

    def is_shown(name: str, value: str) -> bool:
        words = name + value if value[1:2] in ("{", "[") else name
        is_open = not (_SECRET.search(name) or _MIGHT_BE.search(words) or _ADDRESS.search(value))
        # Python takes some signs for line ends, and what stands behind for a line of its own
        return is_open and value.isprintable() and not any(secret in value for secret in known)

    return dotenv.masked_diff(before, after, is_shown)


def masked(text: str, secrets: list[str]) -> str:
    """Return ``text`` without any of ``secrets``, as they are or as Python and JSON write them inside quotes."""
    for secret in secrets:
        for shown in (secret, repr("\"'" + secret)[4:-1], json.dumps(secret)[1:-1]):
            text = text.replace(shown, _MASK)
    return text


def masked_all(value: object, secrets: list[str]) -> object:
    """Return a text, or lists and mappings of texts, without any of ``secrets``."""
    if isinstance(value, dict):
        return {key: masked_all(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_all(item, secrets) for item in value]
    return masked(value, secrets) if isinstance(value, str) else value
