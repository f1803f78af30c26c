# SPDX-License-Identifier: GPL-3.0-or-later
"""What those who carry a log write in front of its lines: for each of them, the prefix of the n-th line."""

from __future__ import annotations

import datetime

_BEGIN = datetime.datetime(2026, 11, 24, 10, 0, 0, tzinfo=datetime.timezone.utc)


def _at(number: int) -> datetime.datetime:
    return _BEGIN + datetime.timedelta(milliseconds=137 * number)


def _stamp(form: str):
    """A prefix that differs by its time; MS stands for milliseconds."""
    return lambda n: _at(n).strftime(form.replace("MS", "%03d" % (_at(n).microsecond // 1000)))


def _same(text: str):
    return lambda _number: text


PREFIXES = {
    "Compose": _same("vllm-1  | "),
    "Compose v1": _same("vllm_1       | "),
    "Docker Desktop": _stamp("%Y-%m-%d %H:%M:%S.MS | "),
    "journald": _stamp("Nov %d %H:%M:%S gpu-host-1 vllm[77]: "),
    "journald, microseconds": _stamp("Nov %d %H:%M:%S.%f gpu-host-1 docker[77]: "),
    "journald, ISO": _stamp("%Y-%m-%dT%H:%M:%S+0100 gpu-host-1 vllm[77]: "),
    "Docker's time stamps": _stamp("%Y-%m-%dT%H:%M:%S.%f000Z "),
    "ISO with a zone": _stamp("%Y-%m-%dT%H:%M:%S+01:00 "),
    "ISO without a zone": _stamp("%Y-%m-%dT%H:%M:%S.%f "),
    "a date with a comma": _stamp("%Y-%m-%d %H:%M:%S,MS "),
    "kubectl": _same("[pod/vllm-7d9f5c6b8-x2x7k/vllm] "),
    "a task": _same("(task, pid=1) "),
    "a stream": _same("stderr: "),
    "a date in brackets": _stamp("[%Y-%m-%d %H:%M:%S] "),
    "ctime in brackets": _stamp("[%a %b %d %H:%M:%S %Y] "),
    "Ray's own": _same("(raylet) "),
    "Ray's actor": _same("(ServeReplica:vllm:LLM pid=812, ip=192.0.2.7) "),
    "Python's logging": _stamp("%Y-%m-%d %H:%M:%S,MS - INFO - [container] "),
    "a supervisor": _stamp("%Y/%m/%d %H:%M:%S [vllm] stderr | "),
    "syslog": _stamp("<30>1 %Y-%m-%dT%H:%M:%S.%fZ gpu-host-1 vllm 77 - - "),
    "numbered lines": lambda n: "%d: " % (n + 1),
    "a clock": _stamp("%H:%M:%S "),
    "seconds since the boot": lambda n: "[%12.6f] " % (n * 0.137),
    "loguru": lambda n: _stamp("%Y-%m-%d %H:%M:%S.%f | INFO     | launcher:pump:")(n) + "%d - " % (40 + n % 3),
    "three of them": _stamp("vllm-1  | %Y-%m-%dT%H:%M:%S.%fZ stderr: "),
    "a quoted mail": _same("> "),
    "a job's step": _stamp("serve\tRun vLLM\t%Y-%m-%dT%H:%M:%S.%f0Z "),
}


def carried(log: str, name: str) -> str:
    """The log with that prefix before each line; whoever carries lines makes one of each state of a bar."""
    lines = log.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    return "".join("%s%s\n" % (PREFIXES[name](number), line) for number, line in enumerate(lines))
