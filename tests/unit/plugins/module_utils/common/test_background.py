# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that goes on by itself: how it begins, that there is one of it, and what is left of one that was killed."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.common import background
from ansible_collections.myia.vllm.plugins.module_utils.common.background import Background

#: What stands in for a file of the collection: its ``main`` takes the lock, says so and ends with its third argument.
JOB = """
import subprocess, sys, time
from ansible_collections.myia.vllm.plugins.module_utils.common.background import Background

def main():
    folder, child, wait_s = sys.argv[1:]
    job = Background(folder, "job")
    job.hold()
    if child:
        subprocess.Popen(["sleep", child], close_fds=False)
    job.write({"begun": True})
    time.sleep(float(wait_s))
"""


@pytest.fixture
def start(tmp_path):
    """Begin the job in a folder, as a file that the process finds."""
    (tmp_path / "job_of_a_test.py").write_text(JOB, encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def call(folder: str, child: str = "", wait_s: float = 0.0, module: str = "job_of_a_test") -> bool:
        return Background(folder, "job").start(module, [folder, child, str(wait_s)], environ, bool)

    return call


def pid_of(job: Background) -> int:
    """The process that holds the lock."""
    inode = os.stat(job.lock_path).st_ino
    with open("/proc/locks", encoding="ascii") as handle:
        return next(int(line.split()[4]) for line in handle if line.split()[5].endswith(":%d" % inode))


def wait_dead(job: Background) -> None:
    """Wait for its end."""
    end = time.monotonic() + 5
    while job.is_alive():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_from_start_to_end(start, tmp_path) -> None:
    """It lives, is alone, is of its owner only, and its state stays when it is over."""
    job = Background(str(tmp_path / "f"), "job")
    assert (job.is_alive(), job.state()) == (False, {})
    assert start(job.folder, wait_s=60)
    assert (job.is_alive(), job.state()) == (True, {"begun": True})
    modes = [os.stat(path).st_mode & 0o777 for path in (job.folder, job.state_path, job.lock_path)]
    assert modes == [0o700, 0o600, 0o600]
    assert os.getsid(pid_of(job)) != os.getsid(0)
    os.unlink(job.state_path)
    assert not start(job.folder)  # another one lives
    os.kill(pid_of(job), signal.SIGTERM)
    wait_dead(job)
    (tmp_path / "f" / "more").touch()
    job.forget("more", "none")
    assert os.listdir(job.folder) == ["job.lock"]


def test_killed_with_a_child(start, tmp_path) -> None:
    """What it started does not keep its lock."""
    job = Background(str(tmp_path), "job")
    assert start(job.folder, child="3", wait_s=60)
    os.kill(pid_of(job), signal.SIGKILL)
    began = time.monotonic()
    wait_dead(job)
    assert time.monotonic() - began < 2


def test_does_not_start(start, tmp_path) -> None:
    """One that dies at once is an error that names it."""
    with pytest.raises(OSError, match="the process that runs the job did not start"):
        start(str(tmp_path), module="no_such_module")


def test_a_look_is_no_other_process(tmp_path) -> None:
    """Whoever looks holds the lock for a moment; it is not taken for a second process."""
    job = Background(str(tmp_path), "job")
    with open(job.lock_path, "wb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        timer = threading.Timer(0.2, fcntl.flock, (looker, fcntl.LOCK_UN))
        timer.start()
        job.hold()
        timer.join()
    assert job.is_alive()


def test_another_one(start, tmp_path, monkeypatch) -> None:
    """It ends with an exit code of its own."""
    monkeypatch.setattr(background, "FREE_S", 0.1)
    job = Background(str(tmp_path), "job")
    assert start(job.folder, wait_s=60)
    with pytest.raises(SystemExit) as ended:
        job.hold()
    assert ended.value.code == background.TAKEN
    os.kill(pid_of(job), signal.SIGKILL)


def archive_in(folder: pathlib.Path) -> pathlib.Path:
    """The files as Ansible packs them for a host."""
    inside = pathlib.PurePosixPath("ansible_collections/myia/vllm/plugins/module_utils")
    sources = pathlib.Path(background.__file__).resolve().parents[1]
    target = folder / "archive.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in [*sources.glob("common/*.py"), *sources.glob("prefetch/*.py")]:
            archive.write(path, str(inside / path.relative_to(sources)))
        for package in (inside / "common", inside / "prefetch", inside, *inside.parents[:-1]):
            archive.writestr(str(package / "__init__.py"), "")
    return target


def test_needs_nothing_of_the_starter(tmp_path) -> None:
    """The process finds the collection by the place of this file, as in the archive of a module."""
    program = (
        "import sys; sys.path.insert(0, %r)\n"
        "from ansible_collections.myia.vllm.plugins.module_utils.prefetch import image_pull\n"
        "image_pull.start(%r, 'i', '', {'PATH': %r})" % (str(archive_in(tmp_path)), str(tmp_path / "f"), str(tmp_path))
    )
    (tmp_path / "docker").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd="/")
    assert done.stderr == ""
    (tmp_path / "archive.zip").unlink()
    job = Background(str(tmp_path / "f"), "pull")
    wait_dead(job)
    assert job.state()["exit_code"] == 0
