# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the controller that Git must not track and that not everybody may read."""

from __future__ import annotations

import functools
import subprocess

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import controller


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that everybody may enter, with a repository in it; those around it are closed, and do not count."""
    tmp_path.chmod(0o755)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(controller, "readable_by_all", functools.partial(controller.readable_by_all, root=tmp_path))
    return tmp_path


def write(place, name: str, mode: int):
    """Make a file, and a folder for one whose name ends in a slash."""
    path = place / name.rstrip("/")
    if name.endswith("/"):
        path.mkdir()
        (path / "index.html").write_text("x")
    else:
        path.write_text("secret")
    path.chmod(mode)
    return path


def test_closed_files_are_fine(place) -> None:
    password, env, reports = write(place, "pass", 0o600), write(place, ".env", 0o640), write(place, "reports/", 0o750)
    found = controller.check([str(password)], [str(env)], str(reports))
    assert (found["id"], found["ok"], found["found"]) == ("controller_files", True, "3 files on the controller")


@pytest.mark.parametrize(("name", "mode"), [("pass", 0o644), (".env", 0o604), ("reports/", 0o755)])
def test_what_everybody_may_read_is_named(place, name, mode) -> None:
    path = write(place, name, mode)
    found = controller.check([], [str(path)], "/nowhere")
    assert (found["ok"], found["severity"]) == (False, "warning")
    assert found["found"] == "%s is readable by everybody" % path
    assert "chmod -R o-rwx %s" % path in found["fix"] and "git" not in found["fix"]


@pytest.mark.parametrize("name", [".env", "reports/"])
def test_what_git_tracks_is_named(place, name) -> None:
    path = write(place, name, 0o700)
    assert not controller.in_git(str(path))
    subprocess.run(["git", "-C", str(place), "add", "-f", str(path)], check=True)
    found = controller.check([], [], str(path))
    assert found["found"] == "%s is tracked by Git" % path
    assert "git rm -r --cached" in found["fix"]


def test_nothing_there_is_no_finding() -> None:
    assert controller.check([], ["/nowhere/.env"], "/nowhere/reports") is None


def test_a_closed_folder_hides_what_is_in_it(place) -> None:
    """As the folder of reports does, whose files have the modes of any file."""
    page = write(place, "reports/", 0o755) / "index.html"
    page.chmod(0o644)
    assert controller.readable_by_all(str(page))
    page.parent.chmod(0o750)
    assert not controller.readable_by_all(str(page))


def test_vault_files(tmp_path) -> None:
    """Files only: a prompt has none, and a program gives the password from elsewhere."""
    password, program = tmp_path / "pass", tmp_path / "client.py"
    password.write_text("x")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    given = ["medium@%s" % password, "prompt", "prod@prompt", "medium@%s" % program, "x@/nowhere"]
    assert controller.vault_files(given, [str(password), ""]) == [str(password)]
