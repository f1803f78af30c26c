# SPDX-License-Identifier: GPL-3.0-or-later
"""The module config_archive, run as a program with a STAND-IN for docker that knows no container."""

from __future__ import annotations

import pytest


@pytest.fixture
def archive(run_module, tools, bare_path):
    """Run the module."""
    folder = tools("docker", "exit 0")

    def call(state: str, check: bool = False, **more) -> dict:
        return run_module("config_archive", state=state, check=check, search="%s:%s" % (folder, bare_path), **more)

    return call


@pytest.fixture
def files(tmp_path, archive):
    """An old Compose file, as it was listed."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "compose.yml").write_text("services: {}\n", encoding="utf-8")
    return archive("listed", folders=[str(tmp_path / "old")], patterns=["compose.yml"])["files"]


def test_there_and_back(tmp_path, archive, files) -> None:
    """Predicted, done, predicted, given back; what is done already is no change."""
    path, base = tmp_path / "old" / "compose.yml", str(tmp_path / "archived")
    assert archive("archived", check=True, base=base, files=files)["changed"] is True and path.exists()
    assert archive("archived", base=base, files=files)["changed"] is True and not path.exists()
    assert archive("restored", check=True, base=base)["changed"] is True and not path.exists()
    assert archive("restored", base=base)["changed"] is True and path.exists()
    assert archive("restored", base=base)["changed"] is False


def test_what_cannot_be_written(tmp_path, archive, files) -> None:
    """Said in a sentence, and nothing is moved."""
    (tmp_path / "archived").write_text("a file", encoding="utf-8")
    answer = archive("archived", base=str(tmp_path / "archived"), files=files)
    assert answer["failed"] and answer["msg"].startswith("Not a directory (")
    assert answer["msg"].endswith(" Nothing was moved.")
    assert (tmp_path / "old" / "compose.yml").exists()


def test_what_cannot_be_given_back(tmp_path, archive, files) -> None:
    """The archive stays whole for the next run."""
    base = str(tmp_path / "archived")
    folder = archive("archived", base=base, files=files)["archive"]
    (tmp_path / "old").rmdir()
    (tmp_path / "old").write_text("a file", encoding="utf-8")
    answer = archive("restored", base=base)
    assert answer["failed"] and "run the playbook again" in answer["msg"] and "Nothing was moved" not in answer["msg"]
    (tmp_path / "old").unlink()
    again = archive("restored", archive=folder)
    assert again["changed"] and (tmp_path / "old" / "compose.yml").exists()


def test_docker_does_not_answer(tmp_path, archive, tools, files) -> None:
    """Nothing can be called unused then."""
    tools("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    answer = archive("archived", base=str(tmp_path / "archived"), files=files)
    assert answer["failed"] and "Cannot connect to the Docker daemon. Nothing was moved." in answer["msg"]
