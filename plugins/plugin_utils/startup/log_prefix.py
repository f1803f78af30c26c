# SPDX-License-Identifier: GPL-3.0-or-later
r"""Learn from a log itself what others wrote in front of its lines, and say where a line's own text begins.

Whoever carries a log (journald, a pod's collector, Ray, a terminal, a program that logs what another one prints) puts
something of its own before each line: no list of these can be complete. But some beginnings of lines are known, since
they are vLLM's, Python's or uvicorn's. What stands before one of them, numbers and names of months left open, is the
shape of a prefix; the lines that share it lose it, whatever they say.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

#: Shapes kept of one log, and the longest prefix in characters: the name of a pod has 63, the name of a job as many.
_SHAPES, _LONGEST = 24, 240

#: How often a shape must be seen before lines lose it that do not show where they begin.
_SHARED = 2

_LEVELS = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"

#: How lines begin: a process of vLLM, its head and uvicorn's, a rank of torch, a place in a traceback.
_BEGINNING = re.compile(
    r"\(?(?:APIServer|ApiServer|DPCoordinator|Engine\w*|RayWorker\w*|Vllm\w*|Worker[\w-]*)(?:[ \t]+\w+=[\w.:<>-]+,?)+\)"
    r"|(?<![\w(])(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)[ \t]\d\d-\d\d \d\d:\d\d:\d\d"
    r"|(?<![\w(])(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[ ]{4,}"
    r"|\[rank\d+\]:"
    r'|[ ]{2}File "[^"]+", line \d+'
)
#: These stand in sentences too, so that what is before them must look like a prefix.
_DOUBTFUL = re.compile(
    r"Traceback \(most recent call last\)|The above exception was the direct|During handling of the above"
    r"|(?:\w+\.)*[A-Z]\w*(?:Error|Exception)(?:\(\w+\))?: "
)
#: A prefix is made of these: something in brackets, something with a digit, separators, names of streams, levels and
#: months, and a logger's name, behind which a separator stands.
_PART = re.compile(rf"\S*\d\S*|[|>#:=,-]+|(?:std(?:out|err)|{_LEVELS}|[A-Z][a-z]{{2}})[|:-]*")
_SEPARATOR, _NAME, _ENDED = re.compile(r"[|-]"), re.compile(r"[\w.]+"), re.compile(r"[\w.]+(?:\.[\w.]+|[|])")
_BRACKETED = re.compile(r"[\[(<{][^\])>}]{1,80}[\])>}]")


#: What differs from line to line, and how it is left open.
_OPEN = (
    (re.compile(rf"\b{_LEVELS}\b"), _LEVELS),
    (
        re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b"),
        "[A-Z][a-z]{2}",
    ),
    (re.compile(r"[\w./-]+\.(?:py|cc|cpp|rs|go)\b"), r"[\w./-]+"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{7,}\b"), "[0-9a-f]+"),
    (re.compile(r"\d+"), r"\d+"),
    (re.compile(r"[ \t]+"), r"[ \t]+"),
)


def looks_like_prefix(text: str) -> bool:
    """Tell whether a text is made of stamps, names in brackets and separators, not of words."""
    # what stands in brackets may hold blanks
    words = _BRACKETED.sub(" [] ", text.replace("[]", " ")).split()
    if not words:
        return False
    followed = zip(words, [*words[1:], ""])
    return all(
        word == "[]" or _PART.fullmatch(word) or (_SEPARATOR.fullmatch(after) and _NAME.fullmatch(word))
        or _ENDED.fullmatch(word) for word, after in followed
    )  # fmt: skip


class Prefixes:
    """The prefixes of one log, as far as it was read."""

    def __init__(self) -> None:
        """Know of none."""
        self._seen: dict[str, int] = {}
        self._shapes: dict[str, re.Pattern] = {}
        self._levels: set[str] = set()

    def levels_differ(self, level: str) -> bool:
        """Take in the level of a line in a format that is not vLLM's; tell whether there were several so far."""
        if level:
            self._levels.add(level)
        return len(self._levels) > 1

    def length(self, text: str) -> int:
        """Return how many characters in front of a line are not its own, and learn from it.

        Args:
            text: a line, without colours.
        """
        found = _BEGINNING.search(text, 0, _LONGEST)
        if found:
            return self._learnt(text[: found.start()], sure=True)
        for shape in reversed(self._shapes.values()):
            match = shape.match(text)
            if match:
                return match.end()
        found = _DOUBTFUL.search(text, 0, _LONGEST)
        return self._learnt(text[: found.start()], sure=False) if found else 0

    def _learnt(self, prefix: str, sure: bool) -> int:
        """Keep the shape of a prefix; return its length, 0 when it may be a sentence."""
        if not prefix.strip():
            return 0
        shape, looks = _shape(prefix), looks_like_prefix(prefix)
        self._seen[shape] = self._seen.get(shape, 0) + 1
        shared = looks or (sure and self._seen[shape] >= _SHARED)
        if shared and shape not in self._shapes and len(self._shapes) < _SHAPES:
            self._shapes[shape] = re.compile(shape)
        if len(self._seen) > 4 * _SHAPES:
            self._seen.clear()
        return len(prefix) if sure or looks else 0


def _shape(prefix: str) -> str:
    """Return an expression for all prefixes that differ from this one in numbers, months and levels only."""
    rest = prefix.rstrip(" \t")
    blanks = prefix[len(rest) :]
    # the blanks behind it are its own; more of them indent the line, and a collector may cut them off an empty one
    return _opened(rest) + "(?:%s|[ \\t]*$)" % re.escape(blanks)


def _opened(text: str) -> str:
    for found, left_open in _OPEN:
        match = found.search(text)
        if match:
            return _opened(text[: match.start()]) + left_open + _opened(text[match.end() :])
    return re.escape(text)
