# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a folder cannot be made or written, in words, without writing anything."""

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import folders


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: None, "", id="not-there"),
        pytest.param(lambda path: path.mkdir(), "", id="there"),
        pytest.param(lambda path: (path.parent / "x").mkdir() or path.symlink_to("x"), "", id="link-to-a-folder"),
        pytest.param(lambda path: path.write_text(""), "is no folder but a file; it belongs to ", id="file"),
        pytest.param(os.mkfifo, "is no folder but something else", id="fifo"),
        pytest.param(lambda path: path.symlink_to(path), "is a loop of symbolic links (to ", id="loop"),
        pytest.param(lambda path: path.symlink_to("/nowhere/x"), "is a link to /nowhere/x, which is", id="dead-link"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("below", ["", "a/b"])
def test_what_is_in_the_way(make, words, below, tmp_path) -> None:
    """At the folder itself or on the way to it."""
    make(tmp_path / "opt")
    before = sorted(os.listdir(tmp_path))
    found = folders.problem(str(tmp_path / "opt" / below))
    assert bool(found) is bool(words)
    assert words in found.get("text", "")
    assert not words or found["fix"]
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device (/x). Free space or inodes there"),
        (errno.EIO, "Input/output error (/x). Mend that and run again."),
        (errno.EISDIR, "Is a directory (/x). %s/opt is no folder but a file"),
    ],
)
def test_an_error_while_writing(number, words, tmp_path) -> None:
    """What the system said, and what helps: space, or what is in the way."""
    if "%s" in words:
        (tmp_path / "opt").write_text("")
        words %= tmp_path
    text = folders.failed(str(tmp_path / "opt"), OSError(number, os.strerror(number), "/x"))
    assert text.startswith(words)
    assert "Errno" not in text


def test_parts(tmp_path) -> None:
    """What must be a folder where it exists."""
    (tmp_path / "releases").write_text("")
    assert folders.problem(str(tmp_path)) == {}
    assert "releases is no folder but a file" in folders.problem(str(tmp_path), ("releases",))["text"]
    assert folders.problem(str(tmp_path / "none"), ("releases",)) == {}


def test_read_only(tmp_path, mounted) -> None:
    """The file system and whose folder it is are named."""
    mounted(tmp_path, "ro,mode=0750")
    found = folders.problem(str(tmp_path / "vllm"))
    words = "%s lies on a file system that is mounted read-only (disk at %s); it belongs to root, mode 0750."
    assert found["text"] == words % (tmp_path, tmp_path)
    assert "/etc/fstab" in found["fix"]


def test_not_ours(tmp_path, monkeypatch) -> None:
    """Without the right to write, root by an immutable attribute too, the owner is named."""
    monkeypatch.setattr(folders.os, "access", lambda _path, _mode: False)
    os.chmod(tmp_path, 0o555)
    found = folders.problem(str(tmp_path / "vllm"))
    assert found["text"].startswith("%s cannot be written by user id %d; it belongs to " % (tmp_path, os.geteuid()))
    assert found["text"].endswith("mode 0555.")
    assert "chattr -i" in found["fix"]


def test_unknown_owner(tmp_path) -> None:
    """A user id that has no name is named as such."""
    if os.geteuid():
        # the kernel's rule; the tests run as root wherever `make test` does
        pytest.skip("only root gives files away")
    os.chown(tmp_path, 54321, -1)
    assert folders.owner(str(tmp_path)).startswith("it belongs to user id 54321, mode ")
    assert folders.owner(str(tmp_path / "none")) == "its owner is not known"
