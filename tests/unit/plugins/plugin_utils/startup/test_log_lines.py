# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines are found whatever wrote them and however they arrive."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import log_lines
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import LineReader, parse

STAMP = "2026-11-24T10:00:01.500000000Z "
SECONDS = 1795514401.5


@pytest.mark.parametrize(
    ("text", "process", "level", "rest"),
    [
        ("plain", "", "", "plain"),
        ("(APIServer pid=1) INFO 11-24 10:00:00 [model.py:1] Resolved", "APIServer pid=1", "INFO", "Resolved"),
        ("(EngineCore_DP0 pid=26) ERROR 11-24 10:00:00 [core.py:7]   File", "EngineCore_DP0 pid=26", "ERROR", "  File"),
        ("(Worker_TP0 pid=39) x", "Worker_TP0 pid=39", "", "x"),
        ("(Worker_TP0_EP0 pid=39) x", "Worker_TP0_EP0 pid=39", "", "x"),
        ("(VllmWorker-0 pid=39) x", "VllmWorker-0 pid=39", "", "x"),
        ("(VllmWorker rank=1 pid=39) x", "VllmWorker rank=1 pid=39", "", "x"),
        ("(RayWorkerWrapper pid=9, ip=192.0.2.1) x", "RayWorkerWrapper pid=9, ip=192.0.2.1", "", "x"),
        ("\x1b[1;36m(APIServer pid=1)\x1b[0;0m x", "APIServer pid=1", "", "x"),
        ("[1;36m(APIServer pid=1)[0;0m x", "APIServer pid=1", "", "x"),
        ("[rank1]: RuntimeError: x", "rank1", "", "RuntimeError: x"),
        ("vllm-1  | (APIServer pid=1) x", "APIServer pid=1", "", "x"),
        ("[rank0]: vllm-1  | " + STAMP + "(APIServer pid=1) x", "APIServer pid=1", "", "x"),
        (STAMP + "stderr F (APIServer pid=1) x", "APIServer pid=1", "", "x"),
        ("Nov 24 10:00:00 gpu-host-1 dockerd[77]: (APIServer pid=1) x", "APIServer pid=1", "", "x"),
        ("ERROR 06-25 15:28:30 worker_base.py:148] boom", "", "ERROR", "boom"),
        ("WARNING 11-24 10:00:00.123 [a.py:1] w", "", "WARNING", "w"),
        ("INFO:     Application startup complete.", "", "INFO", "Application startup complete."),
        ("ERROR:    [Errno 98] x", "", "ERROR", "[Errno 98] x"),
        ("(see the docs) x", "", "", "(see the docs) x"),
        ("    |  indented table", "", "", "    |  indented table"),
    ],
    ids=str,
)
def test_parse(text, process, level, rest) -> None:
    """What stands in front of a line goes, and what it says is kept."""
    line = parse(text)
    assert (line.process, line.level, line.text) == (process, level, rest)


def test_times() -> None:
    """Docker's stamp is the time since 1970; vLLM's has no year, and an impossible one is none."""
    line = parse(STAMP + "(APIServer pid=1) INFO 11-24 10:00:02 [a.py:1] x")
    assert line.time_s == SECONDS
    assert line.log_time_s is not None
    assert parse("INFO 11-24 10:00:05 [a.py:1] y").log_time_s - line.log_time_s == 3
    assert parse("INFO 13-45 10:00:05 [a.py:1] y").log_time_s is None
    assert parse("2026-11-24T11:00:01.5+01:00 x").time_s == SECONDS


def texts(reader: LineReader, *pieces: str) -> list[str]:
    """The lines that come out, the unfinished last one too."""
    found = [line.text for piece in pieces for line in reader.feed(piece)]
    return found + [line.text for line in reader.close()]


@pytest.mark.parametrize(
    "pieces",
    [["one\ntwo\nthree"], ["on", "e\nt", "wo\n", "three"], list("one\ntwo\nthree"), ["one\r\ntwo\r\nthree\r\n"]],
    ids=str,
)
def test_pieces(pieces) -> None:
    """It does not matter where the text is cut."""
    assert texts(LineReader(), *pieces) == ["one", "two", "three"]


def test_progress_bar() -> None:
    """Each state of a bar is a line, before the bar ends."""
    reader = LineReader()
    assert [line.text for line in reader.feed("bar 1/3\rbar 2/3\rba")] == ["bar 1/3", "bar 2/3"]
    assert texts(reader, "r 3/3\n") == ["bar 3/3"]


def test_json_file() -> None:
    """Lines of Docker's json-file driver, which holds bars as one line; what only looks like it is a line itself."""
    reader = LineReader()
    log = '{"log":"(APIServer pid=1) a\\rb\\n","stream":"stderr","time":"2026-11-24T10:00:01.5Z"}\n{"log": broken\n'
    lines = list(reader.feed(log))
    assert [(line.text, line.process) for line in lines] == [
        ("a", "APIServer pid=1"),
        ("b", ""),
        ('{"log": broken', ""),
    ]
    assert lines[0].time_s == SECONDS


def test_endless_line() -> None:
    """A line without end does not fill the memory."""
    reader = LineReader()
    for _ in range(10):
        for line in reader.feed("x" * log_lines.MAX_LINE):
            assert len(line.text) <= log_lines.MAX_LINE
    assert len(reader._rest) <= log_lines.MAX_LINE


def test_shown() -> None:
    """An operator sees who said what."""
    assert parse("(Worker pid=2) ERROR 11-24 10:00:00 [a.py:1]   boom").shown() == "(Worker pid=2) boom"
    assert parse(" boom").shown() == "boom"
