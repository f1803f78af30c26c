# SPDX-License-Identifier: GPL-3.0-or-later
"""The module text_file_info: whole small files, the two ends of large ones."""

from __future__ import annotations

import base64
import gzip

import pytest


def unpacked(answer: dict) -> bytes:
    """What was read."""
    return gzip.decompress(base64.b64decode(answer["content_gz"]))


@pytest.mark.parametrize(
    ("content", "max_bytes", "expected", "left_out"),
    [
        (b"", 10, b"", 0),
        (b"0123456789", 10, b"0123456789", 0),
        (b"0123456789ab", 10, b"01234\n... 2 bytes left out ...\n789ab", 2),
        (b"\xff\xfe", 10, b"\xff\xfe", 0),
    ],
    ids=str,
)
def test_ends(content, max_bytes, expected, left_out, run_module, tmp_path) -> None:
    """Up to the limit all of it, above it the first and the last half, and how much is missing."""
    path = tmp_path / "file"
    path.write_bytes(content)
    answer = run_module("text_file_info", path=str(path), max_bytes=max_bytes)
    assert (unpacked(answer), answer["size"], answer["left_out"]) == (expected, len(content), left_out)
    assert answer["changed"] is False


def test_no_file(run_module, tmp_path) -> None:
    """It says which file, why, and what to do."""
    answer = run_module("text_file_info", path=str(tmp_path / "none"))
    assert answer["msg"] == (
        "Cannot read %s/none: No such file or directory. Give the path of a text file on this host." % tmp_path
    )
