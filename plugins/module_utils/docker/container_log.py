# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a container's log piece by piece. Python standard library only; runs on target hosts.

``docker logs`` is asked, not the engine's files: it knows every log driver and what was rotated.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import collections
import contextlib
import re
import subprocess
import threading
import time

#: Longest time that ``docker logs`` may take for one piece, in seconds.
LIMIT_S = 20.0

#: Bytes kept from the beginning and from the end of a log that is saved.
END_BYTES = 2 * 1024 * 1024

#: The log driver ``local`` of Docker before 25 writes the host's own time zone: daemon/logger/local/read.go.
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)(?=\s)")

#: What a diagnosis knows beside the log, as it words it.
_BESIDES = re.compile(r"exit code (?:-?\d+|unknown)|OOMKilled|a time limit ran out")

#: Lines from the end, when what came before is not asked for.
TAIL = 5000


def read(docker: str, container: str, cursor: dict, max_bytes: int) -> tuple[bytes, dict, bool]:
    """Return the lines that came since the last call.

    Args:
        docker: path of the docker command.
        container: id or name.
        cursor: ``{time, seen}`` of the last call. For a first call: ``{"time": start of the container}``, or ``{}`` for
            the last lines of whatever there is.
        max_bytes: most bytes to return; the rest comes with the next call.

    Returns:
        (lines, each with Docker's time stamp; the cursor for the next call; whether there is more already).
    """
    since = ["--since", cursor["time"]] if cursor.get("time") else ["--tail", str(TAIL)]
    # the lines of the cursor's own moment come again
    lines, size, more = [], 0, False
    skip = int(cursor.get("seen", 0))
    with _lines([docker, "logs", "--timestamps", *since, container]) as stream:
        for line in stream:
            stamp = _stamp(line)
            # docker's own complaint; a line that the container has not ended yet, which comes again as a whole
            if stamp is None or not line.endswith(b"\n"):
                continue
            if skip and stamp == cursor["time"]:
                skip -= 1
                continue
            lines.append(line)
            size += len(line)
            if size >= max_bytes:
                more = True
                break
    if not lines:
        return b"", cursor, False
    last = _stamp(lines[-1])
    seen = sum(1 for line in lines if _stamp(line) == last)
    if last == cursor.get("time"):
        seen += int(cursor.get("seen", 0))
    return b"".join(lines), {"time": last, "seen": seen}, more


def window(docker: str, container: str, since: str, until: str, lines: int) -> tuple[bytes, bool, bool]:
    """Return the last lines of a container's log between two times, each with Docker's time stamp.

    Args:
        docker: path of the docker command.
        container: id or name.
        since: a time, or how long ago (``10m``), as ``docker logs`` takes it; empty for the beginning.
        until: the same; empty for now.
        lines: most lines, counted from the end of the window.

    Returns:
        (the lines, whether the beginning was left out since they are more than ``END_BYTES``, whether the end was since
        ``LIMIT_S`` were over).
    """
    begin_s = time.monotonic()
    bounds = [*(["--since", since] if since else []), *(["--until", until] if until else [])]
    found, size, cut = collections.deque(maxlen=lines), 0, False
    # --tail counts from the end of the log, not of the window
    with _lines(
        [docker, "logs", "--timestamps", *bounds, *([] if until else ["--tail", str(lines)]), container]
    ) as stream:
        for line in stream:
            size += len(line) - (len(found[0]) if len(found) == lines else 0)
            found.append(line)
            while size > END_BYTES:
                size -= len(found.popleft())
                cut = True
    return b"".join(found), cut, time.monotonic() - begin_s >= LIMIT_S


def ends(docker: str, container: str) -> str:
    """Return the whole log of a container, of a very long one the first and the last ``END_BYTES``; empty without one.

    Lines of the middle that are left out are counted in a line of their own.
    """
    head, tail, head_size, tail_size, left_out = [], collections.deque(), 0, 0, 0
    with _lines([docker, "logs", "--timestamps", container]) as stream:
        for line in stream:
            if head_size < END_BYTES:
                head.append(line)
                head_size += len(line)
                continue
            tail.append(line)
            tail_size += len(line)
            while tail_size > END_BYTES:
                tail_size -= len(tail.popleft())
                left_out += 1
    between = [b"... %d lines left out ...\n" % left_out] if left_out else []
    return b"".join([*head, *between, *tail]).decode("utf-8", "replace")


def before(docker: str, container: str, until: str, most_bytes: int = END_BYTES) -> bytes:
    """Return the last ``most_bytes`` of what a container wrote before a time, as Docker writes it, in whole lines."""
    kept: collections.deque[bytes] = collections.deque()
    size = 0
    with _lines([docker, "logs", "--timestamps", "--until", until, container]) as stream:
        for line in stream:
            kept.append(line)
            size += len(line)
            while size > most_bytes:
                size -= len(kept.popleft())
    return b"".join(kept)


def seen_besides(evidence: list[str]) -> str:
    """Return the last line of a log that is saved: what Docker and the watch knew of the container's end beside it.

    Args:
        evidence: of a diagnosis, see plugin_utils/startup/diagnosis.py; lines of the log among it are left out.
    """
    known = [text for text in evidence if _BESIDES.fullmatch(text)]
    return "myia.vllm saw: %s\n" % "; ".join(known) if known else ""


@contextlib.contextmanager
def _lines(argv: list[str]):
    """Give the output of a command as it comes; it is killed when the caller has enough, or after ``LIMIT_S``."""
    # one pipe for both streams of the container, so that their lines keep the order
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    timer = threading.Timer(LIMIT_S, process.kill)
    timer.start()
    try:
        yield process.stdout
    finally:
        timer.cancel()
        process.kill()
        process.stdout.close()
        process.wait()


def _stamp(line: bytes) -> str | None:
    """Return Docker's time stamp of a line; None when it has none."""
    found = _STAMP.match(line)
    return found[0].decode("ascii") if found else None
