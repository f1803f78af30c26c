# SPDX-License-Identifier: GPL-3.0-or-later
"""Take secrets out of lines that people will see.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What stands in the place of a secret.
_MASK = "***"

#: Shortest given value that is looked for, in characters: a shorter one would mask ordinary words.
_MIN_SECRET = 4

#: What looks like a secret, and what it becomes.
SHAPES = (
    # a header, or what a command line says of it
    (re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)?\s*)[^\s\"',}]+"), r"\1" + _MASK),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\1" + _MASK),
    # tokens with a shape of their own: Hugging Face, OpenAI style, GitHub
    (re.compile(r"\b(hf_|sk-|ghp_|gho_|github_pat_)[A-Za-z0-9_-]{8,}"), r"\1" + _MASK),
    # vLLM up to 0.11 prints its arguments: 'api_key': ['...']
    (re.compile(r"(?i)(api[_-]?keys?[\"']?\s*[:=]\s*)\[[^\]]*\]"), r"\1[" + _MASK + "]"),
    (re.compile(r"(?i)((?:api[_-]?key|hf[_-]token|access[_-]?token|\btoken|password|passwd|secret(?:[_-]\w+)?)[\"']?"
                r"\s*[:=]\s*[\"']?)(?!\[)[^\s\"',;&)}\]]{4,}"), r"\1" + _MASK),
    (re.compile(r"(?i)(--(?:api-key|hf-token)[ =])\S+"), r"\1" + _MASK),
    # user and password in an address; what signs a temporary address
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), r"\1" + _MASK + "@"),
    (re.compile(r"(?i)([?&](?:x-amz-\w+|signature|sig|key-pair-id|policy|token)=)[^&\s\"']+"), r"\1" + _MASK),
)  # fmt: skip


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without anything that looks like a secret, and without the given ``secrets``."""
    for secret in sorted({value for value in secrets if len(value) >= _MIN_SECRET}, key=len, reverse=True):
        text = text.replace(secret, _MASK)
    for pattern, replacement in SHAPES:
        text = pattern.sub(replacement, text)
    return text
