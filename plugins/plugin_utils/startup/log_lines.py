# SPDX-License-Identifier: GPL-3.0-or-later
r"""Cut the text of a container's log into lines and take off what others wrote in front of them.

A line may come with colours, a time stamp of Docker, containerd or journald, the container's name as Compose prints it,
the process it is from (``(Worker_TP0 pid=123)``, ``[rank0]:``) and vLLM's own head (level, time, file); it may be JSON
of Docker's json-file driver. A progress bar overwrites itself by ``\r``: each state is a line.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterator

#: Longest line kept, in characters; what is longer is cut. vLLM's own longest, its configuration, has about 4000.
MAX_LINE = 20_000

# some collectors drop the ESC character and leave the rest
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-B0-2]|(?:ESC)?\[\d{1,2}(?:;\d{1,3})*m")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)[ \t]+(?:std(?:out|err)[ \t]+[FP][ \t]?)?"
)
_JOURNAL = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.+-]+) [\w.-]+ [\w@./:-]+(?:\[\d+\])?: "
)
_COMPOSE = re.compile(r"[A-Za-z0-9][\w.-]*[ \t]*\|(?:[ \t]|$)")
_PROCESS = re.compile(r"\(?((?:APIServer|ApiServer|DPCoordinator|Engine|RayWorker|Vllm|Worker)"
                      r"[\w-]*(?:[ \t]+\w+=[\w.:<>-]+,?)+)\)[ \t]?")  # fmt: skip
_RANK = re.compile(r"\[(rank\d+)\]:[ \t]?")
_HEAD = re.compile(
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)[ \t](\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)?[ \t]+(?:\[[^\]]*\]|\S+\])[ \t]?"
)
_UVICORN = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):[ \t]+")


@dataclasses.dataclass
class Line:
    """One line, without anything in front.

    Attributes:
        text: what is left.
        process: the process that wrote it, for example ``Worker_TP0 pid=123``; empty when it does not say.
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL; empty when it does not say.
        time_s: Docker's time stamp as seconds since 1970; None without one.
        log_time_s: vLLM's own time stamp in seconds, of a year that it does not say; None without one.
    """

    text: str
    process: str = ""
    level: str = ""
    time_s: float | None = None
    log_time_s: float | None = None

    def shown(self) -> str:
        """Return the line as an operator should see it: the process and the text."""
        return "(%s) %s" % (self.process, self.text.strip()) if self.process else self.text.strip()


def _iso_seconds(match: re.Match) -> float:
    zone = match[3].replace("Z", "+00:00")
    moment = datetime.datetime.fromisoformat(match[1].replace(" ", "T") + zone)
    return moment.timestamp() + float(match[2] or 0)


def _log_seconds(text: str) -> float | None:
    try:
        # a leap year, so that 29 February can be read
        moment = datetime.datetime.strptime("2000-" + text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def parse(text: str) -> Line:
    """Return one line of a log without what others wrote in front of it."""
    text = _ANSI.sub("", text[:MAX_LINE]).rstrip()
    line = Line(text)
    for _round in range(4):
        before = text
        match = _ISO.match(text)
        if match:
            line.time_s = _iso_seconds(match)
            text = text[match.end() :]
        for pattern in (_JOURNAL, _COMPOSE):
            match = pattern.match(text)
            text = text[match.end() :] if match else text
        for pattern in (_PROCESS, _RANK):
            match = pattern.match(text.lstrip()) if text[:40].strip() else None
            if match:
                line.process = match[1]
                text = text.lstrip()[match.end() :]
        if text == before:
            break
    match = _HEAD.match(text)
    if match:
        line.level, line.log_time_s = match[1], _log_seconds(match[2])
        text = text[match.end() :]
    else:
        match = _UVICORN.match(text)
        if match:
            line.level, text = match[1], text[match.end() :]
    line.text = text
    return line


class LineReader:
    """Cut text that arrives in pieces into lines; it keeps no more than one unfinished line."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._rest = ""

    def feed(self, text: str) -> Iterator[Line]:
        r"""Yield the lines that ``text`` completes; a state of a progress bar is complete at its ``\r``."""
        pieces = (self._rest + text).split("\n")
        self._rest = pieces.pop()
        for piece in pieces:
            yield from self._physical(piece)
        if len(self._rest) > MAX_LINE or ("\r" in self._rest and not self._rest.startswith('{"log"')):
            done, _cr, self._rest = self._rest.rpartition("\r")
            if not done:
                done, self._rest = self._rest, ""
            yield from self._physical(done)

    def close(self) -> Iterator[Line]:
        """Yield the last line when it had no end."""
        rest, self._rest = self._rest, ""
        if rest:
            yield from self._physical(rest)

    @staticmethod
    def _physical(text: str) -> Iterator[Line]:
        stamp = ""
        if text.startswith('{"log":'):
            try:
                record = json.loads(text)
                text, stamp = str(record["log"]).rstrip("\n"), str(record.get("time", "")) + " "
            except (ValueError, KeyError):
                stamp = ""
        for part in text.split("\r"):
            if part:
                yield parse(stamp + part)
