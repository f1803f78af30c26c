# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files: what is not there or no text gives nothing, and nobody sees half of one."""

from __future__ import annotations

import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.common import files


def test_read_text(tmp_path) -> None:
    """Line ends as everywhere in Python, or as they are; what is no UTF-8 does no harm."""
    path = tmp_path / "f"
    path.write_bytes(b"a\r\nb\xff\n")
    assert files.read_text(str(path)) == "a\nb\ufffd\n"
    assert files.read_text(str(path), newline="") == "a\r\nb\ufffd\n"
    assert files.read_text(str(tmp_path / "none")) == ""
    assert files.read_text(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"a": 1}', {"a": 1}), ('{"a": Infinity}', {"a": float("inf")}), ("[1]", {}), ("{", {}), ("", {})],
)
def test_read_json(text, found, tmp_path) -> None:
    """An object, or nothing."""
    (tmp_path / "f").write_text(text, encoding="utf-8")
    assert files.read_json(str(tmp_path / "f")) == found
    assert files.read_json(str(tmp_path / "none")) == {}


def test_write_atomically(tmp_path, monkeypatch) -> None:
    """The mode holds whatever the umask says, from before anything is in the file; line ends stay."""
    path = str(tmp_path / "f")
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (seen.append(os.stat(old).st_mode & 0o777), replace(old, new)))
    before = os.umask(0o077)
    try:
        files.write_atomically(path, "a\r\n\u00e4", 0o640)
        assert os.stat(path).st_mode & 0o777 == 0o640
        files.write_atomically(path, "b", 0o600)
    finally:
        os.umask(before)
    assert seen == [0o640, 0o600]
    assert (os.stat(path).st_mode & 0o777, files.read_text(path)) == (0o600, "b")
    assert os.listdir(tmp_path) == ["f"]


def test_write_fails(tmp_path) -> None:
    """What was there stays, and nothing else is left."""
    path = tmp_path / "f"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        files.write_atomically(str(path), "\udcff", 0o600)
    assert (path.read_text(encoding="utf-8"), os.listdir(tmp_path)) == ("old", ["f"])
