# SPDX-License-Identifier: GPL-3.0-or-later
r"""Cut the text of a container's log into lines and take off what others wrote in front of them.

A line may come with colours, a time stamp of Docker, containerd or journald, the container's name as Compose prints it,
the process it is from (``(Worker_TP0 pid=123)``, ``[rank0]:``) and vLLM's own head (level, time, file), or one of
another format; what else its carriers wrote in front is learned from the log (``log_prefix``). It may be JSON: of
Docker's json-file driver, of journald, or of a formatter. A progress bar overwrites itself by ``\r``: each state is a
line.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterator

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_prefix import Prefixes, looks_like_prefix

#: Longest line kept, in characters; what is longer is cut. vLLM's own longest, its configuration, has about 4000.
MAX_LINE = 20_000

# some collectors drop the ESC character and leave the rest
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-B0-2]|(?:ESC)?\[\d{1,2}(?:;\d{1,3})*m")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)[ \t](?:[ \t]*std(?:out|err)[ \t]+[FP][ \t]?)?"
)
_JOURNAL = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.+-]+) [\w.-]+ [\w@./:-]+(?:\[\d+\])?: "
)
_COMPOSE = re.compile(r"[A-Za-z0-9][\w.-]*[ \t]*\|(?:[ \t]|$)")
# the other processes are Ray's: whatever name a task or an actor has, its pid stands behind it
_PROCESS = re.compile(r"\(?((?:APIServer|ApiServer|DPCoordinator|Engine|RayWorker|Vllm|Worker)"
                      r"[\w-]*(?:[ \t]+\w+=[\w.:<>-]+,?)+)\)[ \t]?"
                      r"|\(([A-Za-z_][\w.:-]*,?[ \t]+pid=\d+(?:,[ \t]*\w+=[\w.:-]+)*)\)[ \t]?")  # fmt: skip
_RANK = re.compile(r"\[(rank\d+)\]:[ \t]?")
_HEAD = re.compile(
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)[ \t](\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)?[ \t]+(?:\[[^\]]*\]|\S+\])[ \t]?"
)
_UVICORN = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):[ \t]+")
#: How far from a line's beginning a level may stand, in characters.
_HEAD_WITHIN = 160

#: Heads of other formats: stamps, a logger's name and separators before the level. glog and torch write
#: a letter for it.
_OTHER_HEAD = re.compile(
    r"[\[(<]?\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)"
    r"(?:[\])>][ \t:|-]*|[ \t]*[:|-]+[ \t]*|[ \t]+(?=\S))"
)
_LETTER = re.compile(r"\[?([IWEF])(?:\d{3,4}[ \t]+\d\d:\d\d:\d\d\S*[ \t][^\]]*|[ \t]\S+\.(?:cc|cpp):\d+)\][ \t]?")
_LOGFMT = re.compile(r'(?=\w+=).{0,200}?\blevel="?(\w+)"?[ \t].{0,400}?\bmsg=(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_SAME_LEVELS = {"TRACE": "DEBUG", "NOTICE": "INFO", "WARN": "WARNING", "FATAL": "CRITICAL", "ERR": "ERROR",
                "I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL"}  # fmt: skip
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
#: Nobody says this at INFO: the level is of whoever carried the line.
_NOT_ORDINARY = re.compile(
    r'Traceback \(most recent call last\)|^\s*File "[^"]+", line \d|\b[A-Z]\w*(?:Error|Exception): '
)
#: How formatters of JSON call the message, the level and the text of an exception; what else shows that it is a log's.
_MESSAGES = ("message", "msg", "MESSAGE", "log", "text", "event")
_JSON_LEVELS = ("level", "levelname", "severity", "log.level", "lvl")
_JSON_TRACEBACKS = (
    "exc_info",
    "exc_text",
    "exception",
    "stack_info",
    "stack",
    "stack_trace",
    "traceback",
    "error.stack_trace",
)
_JSON_SIGNS = (*_JSON_LEVELS, "time", "timestamp", "@timestamp", "asctime", "ts", "__REALTIME_TIMESTAMP")


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


def parse(text: str, prefixes: Prefixes | None = None) -> Line:
    """Return one line of a log without what others wrote in front of it.

    Args:
        text: the line.
        prefixes: what the log's lines were seen to share so far; without it only the usual ones are known.
    """
    text = _ANSI.sub("", text[:MAX_LINE]).rstrip()
    line = Line(text)
    for _round in range(5):
        before = text
        text = _without_usual(line, text)
        if text == before and prefixes and not _HEAD.match(text):
            text = text[prefixes.length(text) :]
        if text == before:
            break
    line.level, line.log_time_s, line.text = _head(text, prefixes)
    return line


def _without_usual(line: Line, text: str) -> str:
    """Take the usual prefixes off ``text``; note in ``line`` what they say."""
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
            line.process = next(group for group in match.groups() if group)
            text = text.lstrip()[match.end() :]
    return text


def _head(text: str, prefixes: Prefixes | None) -> tuple[str, float | None, str]:
    """Return level, vLLM's own time and the text behind its head."""
    match = _HEAD.match(text)
    if match:
        return match[1], _log_seconds(match[2]), text[match.end() :]
    match = _UVICORN.match(text)
    if match:
        return match[1], None, text[match.end() :]
    match = _LETTER.match(text)
    if match:
        return _SAME_LEVELS[match[1]], None, text
    match = _OTHER_HEAD.search(text, 0, _HEAD_WITHIN)
    if match and (match.start() == 0 or looks_like_prefix(text[: match.start()])):
        level = _own_level(match[1], text[match.end() :])
        # who carries lines writes all of them at one level, which says nothing about them
        says = prefixes is None or prefixes.levels_differ(level) or level not in ("DEBUG", "INFO")
        return level if says else "", None, text[match.end() :]
    match = _LOGFMT.match(text)
    if match and (match[2] or match[3]):
        said = (match[2] or match[3]).replace('\\"', '"').replace("\\\\", "\\")
        return _own_level(match[1], said), None, said
    return "", None, text


def _own_level(name: str, text: str) -> str:
    """Return the level that another format gives a text; empty when it can only be the level of who carried it."""
    name = name.upper()
    level = _SAME_LEVELS.get(name, name) if len(name) > 1 else ""
    if level not in _LEVELS or (level in ("DEBUG", "INFO") and _NOT_ORDINARY.search(text)):
        return ""
    return level


class LineReader:
    """Cut text that arrives in pieces into lines; it keeps no more than one unfinished line."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._rest = ""
        self._prefixes = Prefixes()

    def feed(self, text: str) -> Iterator[Line]:
        r"""Yield the lines that ``text`` completes; a state of a progress bar is complete at its ``\r``."""
        pieces = (self._rest + text).split("\n")
        self._rest = pieces.pop()
        for piece in pieces:
            yield from self._physical(piece)
        if len(self._rest) > MAX_LINE or ("\r" in self._rest and not self._rest.startswith("{")):
            done, _cr, self._rest = self._rest.rpartition("\r")
            if not done:
                done, self._rest = self._rest, ""
            yield from self._physical(done)

    def close(self) -> Iterator[Line]:
        """Yield the last line when it had no end."""
        rest, self._rest = self._rest, ""
        if rest:
            yield from self._physical(rest)

    def _physical(self, text: str) -> Iterator[Line]:
        for stamp, level, part in _unpacked(text):
            for state in part.split("\r"):
                if state:
                    line = parse(stamp + state, self._prefixes)
                    line.level = line.level or level
                    yield line


def _unpacked(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield stamp, level and text of each line that a line of JSON holds; of any other line itself."""
    start = text.find("{", 0, 200)
    record = None
    if start >= 0 and text.rstrip().endswith("}"):
        try:
            record = json.loads(text[start:])
        except ValueError:
            record = None
    if not isinstance(record, dict):
        yield "", "", text
        return
    said = next((record[key] for key in _MESSAGES if isinstance(record.get(key), str)), None)
    docker = isinstance(record.get("log"), str) and "stream" in record
    if said is None or not (docker or any(key in record for key in _JSON_SIGNS)):
        yield "", "", text
        return
    stamp = str(record.get("time", "")) + " " if docker else ""
    named = next((str(record[key]) for key in _JSON_LEVELS if record.get(key)), "")
    for part in said.rstrip("\n").split("\n"):
        level = "" if docker else _own_level(named, part)
        yield from ((stamp, level or inner, text) for _s, inner, text in _unpacked(part))
    for key in _JSON_TRACEBACKS:
        if isinstance(record.get(key), str):
            yield from ((stamp, "", part) for part in record[key].split("\n"))
