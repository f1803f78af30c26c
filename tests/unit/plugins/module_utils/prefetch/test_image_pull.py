# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker pull says, and the process that listens to it: real output of Docker, a stand-in docker command."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.prefetch import image_pull

DATA = pathlib.Path(__file__).resolve().parents[3] / "data" / "docker_pull"


def read(text: str, step: int = 0) -> image_pull.Pull:
    """A pull after this output, handed in by pieces of ``step`` characters."""
    pull = image_pull.Pull()
    for begin in range(0, len(text), step or len(text)):
        pull.feed(text[begin : begin + (step or len(text))])
    return pull


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize(("name", "count"), [("20.10-terminal.txt", 90_030_000), ("20.10-plain.txt", 0)])
def test_recorded_pull(name, count, step) -> None:
    """A whole pull of two layers, cut anywhere; bytes are said to terminals only."""
    pull = read((DATA / name).read_bytes().decode(), step)
    pull.close()
    assert pull.progress() == {"x": count, "y": count, "layers": 2, "layers_done": 2}
    assert pull.lines[0] == "1: Pulling from pf/test"
    assert pull.lines[-1] == "127.0.0.1:5055/pf/test:1"
    assert len(pull.lines) == 4


def test_on_the_way() -> None:
    """Bytes of the whole are known when every layer has begun; what is there already is no download."""
    pull = read("0a1b2c3d4e5f: Already exists\n111111111111: Pulling fs layer\n222222222222: Waiting\n")
    assert pull.progress() == {"x": 0, "y": 0, "layers": 3, "layers_done": 1}
    pull.feed("111111111111: Downloading [====>      ]  1.5MB/3GB\r")
    assert pull.progress() == {"x": 1_500_000, "y": 0, "layers": 3, "layers_done": 1}
    pull.feed("222222222222: Downloading  10kB/20kB\r111111111111: Extracting [>   ]  32.77kB/3GB\r")
    assert pull.progress() == {"x": 3_000_010_000, "y": 3_000_020_000, "layers": 3, "layers_done": 1}


def test_lines_are_bounded() -> None:
    """Whatever Docker says, little is kept: the last lines, each once."""
    pull = read("".join("line %d\nsame\n" % number for number in range(500)) + "x" * 50_000)
    pull.close()
    assert len(pull.lines) == image_pull.LINES
    assert pull.lines[-2] == "line 499"
    assert max(map(len, pull.lines)) == image_pull.LINE_CHARS


@pytest.mark.parametrize(
    ("text", "count"), [("0B", 0), ("553kB", 553_000), ("60.02MB", 60_020_000), ("1.5 GB", 1_500_000_000)]
)
def test_sizes(text, count) -> None:
    """Docker counts in steps of 1000."""
    assert image_pull.size_of(text) == count


@pytest.fixture
def pull(tmp_path, tools):
    """Start a pull by a stand-in docker, a shell script."""
    folder = str(tmp_path / "state")

    def call(script: str) -> str:
        path = "%s:%s" % (tools("docker", script), os.environ["PATH"])
        image_pull.start(folder, "own/image:1", "sha256:old", {**os.environ, "PATH": path})
        return folder

    return call


def until_ended(folder: str, limit_s: float = 10) -> dict:
    """The state of a pull when it does not run any more."""
    end = time.monotonic() + limit_s
    while (found := image_pull.inspect(folder))["state"] == "running":
        assert time.monotonic() < end, "the pull does not end"
        time.sleep(0.02)
    return found


def test_from_start_to_end(pull) -> None:
    """It runs in the background with a terminal; state, exit status and words are kept."""
    folder = pull(
        'echo "$@"; test -t 1 && echo terminal; printf "0a1b2c3d4e5f: Downloading  1MB/2MB\\r"; sleep 1.5\n'
        'printf "0a1b2c3d4e5f: Pull complete\\n"; exit 3'
    )
    time.sleep(1.2)
    found = image_pull.inspect(folder)
    assert (found["state"], found["exit_code"], found["died"]) == ("running", None, False)
    found = until_ended(folder)
    assert (found["image"], found["before"]) == ("own/image:1", "sha256:old")
    assert (found["state"], found["exit_code"], found["died"]) == ("ended", 3, False)
    assert found["lines"] == ["pull own/image:1", "terminal"]
    assert (found["x"], found["layers_done"]) == (2_000_000, 1)
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_killed_runner(pull) -> None:
    """A process that was killed is not taken for one that runs, and says so."""
    folder = pull("sleep 5")
    (pid,) = [int(name) for name in os.listdir("/proc") if name.isdigit() and _command(name).count(folder)]
    os.kill(pid, signal.SIGKILL)
    found = until_ended(folder)
    assert (found["exit_code"], found["died"]) == (None, True)


def _command(pid: str) -> str:
    try:
        with open("/proc/%s/cmdline" % pid, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def test_no_docker(tmp_path) -> None:
    """Without docker the runner does not start, and that is said."""
    with pytest.raises(OSError, match="did not start"):
        image_pull.start(str(tmp_path / "state"), "i", "", {"PATH": str(tmp_path)})


def test_absent_and_forgotten(tmp_path, pull) -> None:
    """Nothing there, and nothing left."""
    assert image_pull.inspect(str(tmp_path / "nothing"))["state"] == "absent"
    folder = pull("true")
    until_ended(folder)
    image_pull.forget(folder)
    assert image_pull.inspect(folder)["state"] == "absent"
    assert os.listdir(folder) == []
