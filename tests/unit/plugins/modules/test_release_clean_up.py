# SPDX-License-Identifier: GPL-3.0-or-later
"""The module release, run as a program: what is kept and what goes; neither strangers nor a full disk fail it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import time

import pytest


@pytest.fixture
def run(run_release):
    """Short for the module release."""
    return run_release


def mode(path: pathlib.Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


def deploy(run, number: int, **good: object) -> str:
    """Stage a release, switch to it, and mark it good when ``good`` says anything; return its name."""
    name = run("staged", env="N='%d'\n" % number)["release"]["name"]
    run("current", name=name)
    if good:
        run("good", **good)
        time.sleep(1.1)  # marks are kept in whole seconds
    return name


def test_failed_releases_evict_no_good_one(run, service) -> None:
    """Failed ones have a number of their own, and lose their secrets at once; good ones are counted by themselves."""
    good = [deploy(run, number, keep=3) for number in range(3)]
    failed = []
    for number in range(3, 7):
        failed.append(deploy(run, number))
        run("failed", name=failed[-1])
        time.sleep(1.1)  # so is this time
        run("current", name=good[2])
        answer = run("pruned", keep=3, keep_failed=2)
        assert failed[-1] + ": .env deleted" in answer["summary"]
    assert sorted(os.listdir(service / "releases")) == sorted([*good, *failed[2:]])
    assert (answer["kept"], answer["kept_failed"], answer["changed"]) == (3, 2, True)
    left = [name for name in (*good, *failed[2:]) if (service / "releases" / name / ".env").exists()]
    assert left == good
    assert run("pruned", keep=3, keep_failed=2)["changed"] is False
    assert sorted(run("good", keep=1, keep_failed=1)["summary"]) == sorted(
        "%s: deleted" % name for name in (*good[:2], failed[2])
    )


def test_failed_release_is_staged_again(run, service) -> None:
    """The same content is the same release, with its failures; its .env comes back."""
    deploy(run, 1, keep=3)
    name = deploy(run, 2)
    run("failed", name=name, diagnosis={"id": "x", "class": "configuration", "certain": True})
    run("none")
    run("pruned")
    assert not (service / "releases" / name / ".env").exists()
    predicted = run("staged", env="N='2'\n", check=True)
    answer = run("staged", env="N='2'\n")
    assert predicted["summary"] == answer["summary"] == [name + ": .env, which was deleted when the release failed"]
    assert (predicted["release"]["staged"], answer["release"]["staged"]) == (False, True)
    assert (answer["release"]["name"], answer["release"]["same_failures"], answer["changed"]) == (name, 1, True)
    assert mode(service / "releases" / name / ".env") == 0o600
    assert run("staged", env="N='2'\n")["changed"] is False


def test_release_that_is_only_staged_keeps_its_env(run, service) -> None:
    """Another run may be about to switch to it."""
    deploy(run, 1, keep=3)
    name = run("staged", env="N='2'\n")["release"]["name"]
    assert run("pruned")["summary"] == []
    assert (service / "releases" / name / ".env").exists()


@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.parametrize("option", ["keep", "keep_failed"])
def test_numbers_below_one(option, number, run, service) -> None:
    """Refused before anything is looked at."""
    answer = run("good", **{option: number})
    assert answer["failed"] is True
    assert answer["msg"] == "%s: found %d, expected 1 or more." % (option, number)


def test_strange_things_are_left_alone(run, service) -> None:
    """A link, a file and a folder named like releases: warned of, and the release that serves is good."""
    name = deploy(run, 1)
    folder = service / "releases"
    (folder / "20260101T000000Z-0123456789ab").symlink_to("/etc")
    (folder / "20260102T000000Z-0123456789ab").write_text("x")
    (folder / "20260103T000000Z-0123456789ab").mkdir()
    before = sorted(os.listdir(folder))
    answer = run("good", keep=1, keep_failed=1)
    assert (answer.get("failed", False), answer["release"]["good"]) == (False, True)
    assert sorted(os.listdir(folder)) == before
    warned = " ".join(str(item) for item in answer["warnings"])
    assert all("2026010%dT000000Z-0123456789ab" % day in warned for day in (1, 2, 3))
    assert name not in warned


def test_release_that_cannot_be_deleted(run, service, mounted) -> None:
    """Its secrets go, the rest is warned of; the release that serves is good."""
    old = deploy(run, 1, keep=3)
    new = deploy(run, 2)
    # as an immutable file would: root deletes everything but what is in use
    busy = service / "releases" / old / "busy"
    busy.mkdir()
    mounted(busy, "mode=0755")
    answer = run("good", keep=1)
    assert (answer.get("failed", False), answer["release"]["name"], answer["release"]["good"]) == (False, new, True)
    assert "cannot be deleted and is left: Device or resource busy" in str(answer["warnings"])
    assert not (service / "releases" / old / ".env").exists()


def test_current_that_is_a_folder(run, service) -> None:
    """Moved aside, and said."""
    name = run("staged")["release"]["name"]
    (service / "current").mkdir()
    answer = run("current", name=name)
    assert (answer["changed"], answer["release"]["current"]) == (True, True)
    assert "current.moved now" in str(answer["warnings"])
    assert os.readlink(service / "current") == "releases/" + name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: path.write_text("x"), "is no folder but a file; it belongs to", id="file"),
        pytest.param(lambda path: path.symlink_to(path), "is a loop of symbolic links", id="loop"),
        pytest.param(lambda path: path.symlink_to("/nowhere/x"), "is a link to /nowhere/x, which is not th", id="dead"),
        pytest.param(
            lambda path: (path.mkdir(), (path / "releases").write_text("x")), "releases is no folder but a", id="in"
        ),
    ],
)  # fmt: skip
def test_folder_that_cannot_be_one(make, words, run, service) -> None:
    """No bare error of the system: what is in the way, whose it is, and what to do."""
    service.parent.mkdir()
    make(service)
    answer = run("staged")
    assert answer["failed"] is True
    assert words in answer["msg"]
    assert "Errno" not in answer["_output"]
    assert "Traceback" not in answer["_output"]


@pytest.fixture
def small_disk(service, mounted):
    """A file system for the service that is nearly full; call it to fill it up, and with False to make room again."""
    service.mkdir(parents=True)
    mounted(service, "size=64k")
    filler = service / "filler"

    def fill(full: bool = True) -> None:
        filler.unlink(missing_ok=True)
        if full:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as handle:
                while handle.write(b"x" * 4096):
                    pass

    return fill


def test_full_disk(run, service, small_disk) -> None:
    """Staging says so and leaves nothing; a release that serves is not failed for a note that cannot be written."""
    first = deploy(run, 1, keep=3)
    name = run("staged", env="N='2'\n")["release"]["name"]
    small_disk()
    answer = run("staged", env="N='3'\n")
    assert answer["failed"] is True
    assert "No space left on device" in answer["msg"]
    assert "Free space or inodes there" in answer["msg"]
    assert sorted(os.listdir(service / "releases")) == sorted([first, name])
    assert run("current", name=name)["release"]["current"] is True
    answer = run("good", keep=3)
    assert answer.get("failed", False) is False
    assert "serves, and that cannot be noted: No space left on device" in str(answer["warnings"])
    small_disk(False)
    assert run("good", keep=3)["release"]["good"] is True


def test_full_disk_makes_room(run, service, small_disk) -> None:
    """What was to be deleted anyhow goes first, and the note fits."""
    deploy(run, 1, keep=3)
    new = deploy(run, 2)
    small_disk()
    answer = run("good", keep=1)
    assert (answer["release"]["name"], answer["release"]["good"]) == (new, True)
    assert answer.get("warnings", []) == []
