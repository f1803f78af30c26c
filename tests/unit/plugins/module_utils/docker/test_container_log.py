# SPDX-License-Identifier: GPL-3.0-or-later
"""A container's log piece by piece, of a stand-in docker that knows --since and --tail as the real one does."""

from __future__ import annotations

import sys
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log

#: `docker logs`: prints the file beside it from --since on (a moment itself is included), or its last --tail lines.
DOCKER = r"""
import pathlib, sys
lines = (pathlib.Path(__file__).parent / "log").read_bytes().splitlines(keepends=True)
options = dict(zip(sys.argv, sys.argv[1:]))
assert sys.argv[1:3] == ["logs", "--timestamps"] and sys.argv[-1] == "c", sys.argv
since = options.get("--since", "").encode()
lines = [line for line in lines if line.split(b" ")[0] >= since or not line[:4].isdigit()]
sys.stdout.buffer.write(b"".join(lines[-int(options.get("--tail", len(lines) or 1)):]))
"""
BEGIN = {"time": "2026-01-01T00:00:00.000000000Z"}


def stamp(moment: int) -> str:
    """A time stamp as Docker prints it."""
    return "2026-01-01T00:00:00.%09dZ" % moment


@pytest.fixture
def docker(tmp_path):
    """The stand-in; call it with (moment, text) pairs to add to the log, or with raw bytes."""
    script = tmp_path / "docker"
    script.write_text("#!%s\n%s" % (sys.executable, DOCKER), encoding="utf-8")
    script.chmod(0o755)
    log = tmp_path / "log"
    log.write_bytes(b"")

    def add(*lines: tuple[int, str] | bytes) -> str:
        with log.open("ab") as stream:
            for line in lines:
                stream.write(line if isinstance(line, bytes) else ("%s %s\n" % (stamp(line[0]), line[1])).encode())
        return str(script)

    return add


def texts(data: bytes) -> list[str]:
    """The lines without their time stamps."""
    return [line.partition(" ")[2] for line in data.decode().splitlines()]


def read_all(path: str, cursor: dict, max_bytes: int) -> tuple[list[str], dict, int]:
    """Everything that there is, the cursor, and in how many pieces it came."""
    found, pieces, more = [], 0, True
    while more:
        data, cursor, more = container_log.read(path, "c", cursor, max_bytes)
        found += texts(data)
        pieces += 1
    return found, cursor, pieces


def test_only_what_is_new(docker) -> None:
    """Each line comes once, also when several have the same time stamp and some of them come later."""
    path = docker((1, "a"), (2, "b"), (2, "c"))
    data, cursor, more = container_log.read(path, "c", BEGIN, 1000)
    assert (texts(data), more) == (["a", "b", "c"], False)
    assert cursor == {"time": stamp(2), "seen": 2}
    docker((2, "d"))
    data, cursor, _more = container_log.read(path, "c", cursor, 1000)
    assert (texts(data), cursor["seen"]) == (["d"], 3)
    assert container_log.read(path, "c", cursor, 1000) == (b"", cursor, False)
    docker((2, "e"), (3, "f"))
    data, cursor, _more = container_log.read(path, "c", cursor, 1000)
    assert texts(data) == ["e", "f"]
    assert cursor == {"time": stamp(3), "seen": 1}


@pytest.mark.parametrize("max_bytes", [1, 40, 100, 333, 100_000])
def test_in_pieces(max_bytes, docker) -> None:
    """However small the pieces: nothing twice, nothing left out."""
    lines = [(number // 7, "line %d" % number) for number in range(18)]
    path = docker(*lines)
    found, cursor, pieces = read_all(path, BEGIN, max_bytes)
    assert found == [text for _moment, text in lines]
    assert pieces == 1 if max_bytes == 100_000 else pieces > 1
    docker((9, "last"))
    assert read_all(path, cursor, max_bytes)[0] == ["last"]


def test_first_look_without_a_beginning(docker, monkeypatch) -> None:
    """The last lines of whatever there is."""
    monkeypatch.setattr(container_log, "TAIL", 3)
    path = docker(*[(number, "line %d" % number) for number in range(9)])
    data, cursor, _more = container_log.read(path, "c", {}, 1000)
    assert texts(data) == ["line 6", "line 7", "line 8"]
    assert cursor == {"time": stamp(8), "seen": 1}


def test_begin_in_seconds(docker) -> None:
    """The start of the container may stand there in seconds since 1970, as service_status_info writes it."""
    data, cursor, _more = container_log.read(docker((1, "a")), "c", {"time": "1767225600.000000000"}, 1000)
    assert (texts(data), cursor["time"]) == (["a"], stamp(1))


def test_nothing_yet(docker) -> None:
    """The cursor stays."""
    assert container_log.read(docker(), "c", BEGIN, 1000) == (b"", BEGIN, False)


def test_complaints_of_docker(docker) -> None:
    """What docker itself says is not the container's log, wherever it stands."""
    complaint = b"Error response from daemon: configured logging driver does not support reading\n"
    assert container_log.read(docker(complaint), "c", BEGIN, 1000) == (b"", BEGIN, False)
    path = docker((1, "a"), b"error from daemon in stream: Error grabbing logs: unexpected EOF\n")
    data, cursor, _more = container_log.read(path, "c", BEGIN, 1000)
    assert (texts(data), cursor) == (["a"], {"time": stamp(1), "seen": 1})


def test_unfinished_line(docker) -> None:
    """A line that the container has not ended yet (a bar, a piece of 16 KiB) comes whole, and once."""
    path = docker((1, "a"), ("%s half" % stamp(2)).encode())
    data, cursor, _more = container_log.read(path, "c", BEGIN, 1000)
    assert texts(data) == ["a"]
    docker(b" and the rest\n", (3, "b"))
    data, cursor, _more = container_log.read(path, "c", cursor, 1000)
    assert texts(data) == ["half and the rest", "b"]


def test_time_zone_of_the_host(docker) -> None:
    """The log driver `local` of older engines prints the host's own time zone."""
    path = docker(b"2026-01-01T02:00:00.000000001+02:00 a\n")
    data, cursor, _more = container_log.read(path, "c", BEGIN, 1000)
    assert (texts(data), cursor) == (["a"], {"time": "2026-01-01T02:00:00.000000001+02:00", "seen": 1})


def test_ends(docker, monkeypatch) -> None:
    """The whole of a short log; of a long one the ends, and how much is missing."""
    path = docker((1, "a"), (2, "b"))
    assert container_log.ends(path, "c") == "%s a\n%s b\n" % (stamp(1), stamp(2))
    docker(*[(3 + number, "x" * 60) for number in range(100)], (200, "the end"))
    monkeypatch.setattr(container_log, "END_BYTES", 300)
    text = container_log.ends(path, "c")
    lines = text.splitlines()
    assert lines[0].endswith(" a")
    assert lines[-1].endswith(" the end")
    assert len(text) < 1000
    left_out = next(int(line.split()[1]) for line in lines if line.startswith("..."))
    assert left_out + len(lines) - 1 == 103


def test_a_docker_that_hangs_is_ended(tmp_path, monkeypatch) -> None:
    """What came until then counts."""
    script = tmp_path / "docker"
    script.write_text("#!/bin/sh\necho '%s a'\nexec sleep 30\n" % stamp(1), encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(container_log, "LIMIT_S", 0.5)
    before = time.monotonic()
    data, _cursor, more = container_log.read(str(script), "c", BEGIN, 1000)
    assert (texts(data), more) == (["a"], False)
    assert time.monotonic() - before < 5


WINDOW = r"""
import sys
options = dict(zip(sys.argv, sys.argv[1:]))
lines = ["2026-01-01T00:00:0%d.000000000Z line %d %s\n" % (n, n, "x" * 50) for n in range(9)]
lines = [l for l in lines if options.get("--since", "") <= l.split(" ")[0] < options.get("--until", "3")]
sys.stdout.write("".join(lines[-int(options.get("--tail", 99)):]))
"""


@pytest.mark.parametrize(
    ("since", "until", "lines", "most", "numbers", "cut"),
    [
        ("", "", 3, 10_000, [6, 7, 8], False),
        ("2026-01-01T00:00:04", "", 99, 10_000, [4, 5, 6, 7, 8], False),
        # --tail would count from the end of the log
        ("", "2026-01-01T00:00:04", 2, 10_000, [2, 3], False),
        ("", "", 99, 200, [7, 8], True),
    ],
)
def test_window(since, until, lines, most, numbers, cut, tmp_path, monkeypatch) -> None:
    """The last lines of it, no more than asked for and no more than may travel."""
    monkeypatch.setattr(container_log, "END_BYTES", most)
    script = tmp_path / "docker"
    script.write_text("#!%s\n%s" % (sys.executable, WINDOW), encoding="utf-8")
    script.chmod(0o755)
    found, was_cut, _late = container_log.window(str(script), "c", since, until, lines)
    assert [int(line.split()[2]) for line in found.decode().splitlines()] == numbers
    assert was_cut is cut


def test_a_window_that_takes_too_long(tmp_path, monkeypatch) -> None:
    """What was read by then is given, and that its end lacks is told."""
    monkeypatch.setattr(container_log, "LIMIT_S", 0.5)
    script = tmp_path / "docker"
    script.write_text("#!/bin/sh\necho 2026-01-01T00:00:00.0Z first\nexec sleep 30\n", encoding="utf-8")
    script.chmod(0o755)
    found, _cut, late = container_log.window(str(script), "c", "", "1m", 10)
    assert (found, late) == (b"2026-01-01T00:00:00.0Z first\n", True)
    script.write_text("#!/bin/sh\necho 2026-01-01T00:00:00.0Z first\n", encoding="utf-8")
    assert container_log.window(str(script), "c", "", "1m", 10)[2] is False
