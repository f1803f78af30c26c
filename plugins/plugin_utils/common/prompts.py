# SPDX-License-Identifier: GPL-3.0-or-later
"""Find what people have asked a model, and what it has answered, in the texts of logs.

vLLM writes them with ``--enable-log-requests`` and ``--enable-log-outputs`` (``vllm/entrypoints/logger.py``), FastAPI
and Pydantic when they refuse a request, and clients in what they sent.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable

#: A text as Python or JSON writes it, escapes and line ends in it included, also with its quotes escaped once more; one
#: that is cut off goes to its line's end.
_QUOTED = (
    r"(?:\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z)|\\\"(?:\\\\.|(?!\\\").)*?(?:\\\"|\Z)"
    r"|\\'(?:(?!\\').)*?(?:\\'|\Z))"
)

#: Keys whose value a person, or the model, has written.
_KEYS = (
    r"(?:prompt|content|input|input_value|inputs|query|text|text_1|text_2|documents|document|instructions|arguments|"
    r"suffix|output|output_text|reasoning|reasoning_content|completion|generated_text|system_prompt|user_prompt)"
)

_VALUES = re.compile(
    r"(?<![\w-])(?P<key>%s[\"'\\]*\s*[:=]\s*)(?P<value>[bfru]?%s|\[\s*(?:%s|\d)[^\]]*(?:\]|\Z))"
    % (_KEYS, _QUOTED, _QUOTED),
    re.DOTALL,
)

#: The numbers of a prompt's tokens: whoever has the tokenizer reads them.
_TOKENS = re.compile(
    r"(?P<key>token_ids[\"'\\]*\s*[:=]\s*)"
    r"(?P<value>[\[(]\s*-?\d+(?:[\s,]+-?\d+)*[\s,]*(?:[\])]|\Z|\.\.\.))"
)


def replaced(text: str, name_of: Callable[[str], str]) -> str:
    """Return ``text`` without prompts and answers.

    Args:
        text: any text.
        name_of: gives what stands in the place of a prompt.
    """
    for pattern in (_VALUES, _TOKENS):
        text = pattern.sub(lambda match: _shown(match, name_of), text)
    return text


def _shown(match: re.Match, name_of: Callable[[str], str]) -> str:
    inside = match["value"].strip("[]()\"'\\bfru \n")
    if not inside or re.fullmatch(r"<[a-z0-9]+-\d+>", inside):
        return match[0]
    return match["key"] + name_of(match["value"])
