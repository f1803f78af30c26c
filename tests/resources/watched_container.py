# SPDX-License-Identifier: GPL-3.0-or-later
"""A container that is being watched: recorded starts cut anywhere, and what service_status_info sees of it."""

from __future__ import annotations

import base64
import datetime
import gzip
import pathlib
import re

from startup_lines import CATALOGUE

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.watcher import StartWatch

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "unit" / "data" / "startup_logs"

#: When the container is started, in seconds since 1970.
T0 = 1_780_000_000.0
STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ")


def iso(seconds: float) -> str:
    """A time as Docker writes it; never for 0."""
    if not seconds:
        return "0001-01-01T00:00:00Z"
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%09dZ" % (moment.microsecond * 1000)


def packed(text: str) -> str:
    """A log as service_status_info returns it."""
    return base64.b64encode(gzip.compress(text.encode())).decode() if text else ""


def recording(name: str) -> list[str]:
    """The lines of a recorded start, without time stamps of their own; bars keep their carriage returns."""
    text = (FOLDER / (name + ".log")).read_bytes().decode("utf-8")
    return [STAMP.sub("", line) for line in text.split("\n") if line]


class Container:
    """A container that says its lines ``gap_s`` apart, and what service_status_info sees of it."""

    def __init__(self, lines: list[str], gap_s: float = 1.0, started_s: float = T0, identity: str = "a" * 64) -> None:
        self.lines = [(started_s + (number + 1) * gap_s, line) for number, line in enumerate(lines)]
        self.started_s, self.id = started_s, identity
        self.read = 0

    @property
    def end_s(self) -> float:
        """When it has said all."""
        return self.lines[-1][0]

    def text(self, now_s: float) -> str:
        """What it said since the last look."""
        new = [(moment, line) for moment, line in self.lines[self.read :] if moment <= now_s]
        self.read += len(new)
        return "".join("%s %s\n" % (iso(moment), line) for moment, line in new)

    def inspect(self, now_s: float, **changes: object) -> dict:
        """One look."""
        look = {
            "healthy": False, "ended": False, "state": "running", "exit_code": 0, "oom_killed": False,
            "restart_count": 0, "restart_policy": "no", "started_at": iso(self.started_s), "started_s": self.started_s,
            "http_status": 0, "error": "", "docker_error": "", "id": self.id, "finished_at": iso(0), "finished_s": 0.0,
            "now_s": now_s, "log_gz": packed(self.text(now_s)), "log_cursor": {}, "log_more": False,
            "lock_problem": "", "download_bytes": 0,
        }  # fmt: skip
        assert set(changes) <= {*look, "starts", "lock"}, changes
        return {**look, **changes}

    def exited(self, now_s: float, exit_code: int = 1, **changes: object) -> dict:
        """One look after its end, a moment after its last line."""
        finished_s = (self.end_s if self.lines else self.started_s) + 0.1
        changes = {"finished_s": finished_s, "finished_at": iso(finished_s), **changes}
        return self.inspect(now_s, **{"state": "exited", "ended": True, "exit_code": exit_code, **changes})


def missing(now_s: float) -> dict:
    """A look at no container."""
    look = Container([], started_s=0).inspect(now_s, state="missing", ended=True, error="No such container: c")
    return {**look, "id": "", "started_at": ""}


def silent(now_s: float) -> dict:
    """A look at a host whose engine does not answer."""
    return {**missing(now_s), "state": "unknown", "ended": False, "error": "Cannot connect to the Docker daemon"}


def limited(**limits: float) -> StartWatch:
    """A watch with limits."""
    return StartWatch(CATALOGUE, limits, [], 0)


def follow(watch: StartWatch, container: Container, until_s: float, step_s: float = 1.0) -> list[tuple]:
    """Take looks until the watch is sure, or the time is over; return the lines that it would print."""
    lines, now_s = [], container.started_s
    while now_s <= until_s and not watch.failed:
        watch.take(container.inspect(now_s))
        lines.append(watch.line())
        now_s += step_s
    return lines
