# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/rekey_vault.py: all files or none, the same content, nothing decrypted left behind."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "tools" / "rekey_vault.py"
VAULT = str(pathlib.Path(sys.executable).parent / "ansible-vault")
TEXT = "vllm_api_key: PLANTED-key-1\n"


@pytest.fixture
def place(tmp_path):
    """An inventory with two vaulted files, and the passwords."""
    for name in ("old", "new", "other"):
        (tmp_path / name).write_text("password-%s\n" % name)
    for folder in ("a", "b"):
        path = tmp_path / "inventory" / folder / "vault.yml"
        path.parent.mkdir(parents=True)
        path.write_text(TEXT)
        encrypt(path, tmp_path / "old")
        path.chmod(0o640)
    (tmp_path / "inventory" / "plain.yml").write_text("x: 1\n")
    return tmp_path


def encrypt(path, password) -> None:
    argv = [VAULT, "encrypt", "--vault-password-file", str(password), str(path)]
    subprocess.run(argv, check=True, capture_output=True)


def view(path, password) -> str:
    argv = [VAULT, "view", "--vault-password-file", str(password), str(path)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, env={"PAGER": "cat"}).stdout


def run(place, *more: str) -> subprocess.CompletedProcess:
    argv = [sys.executable, str(PROGRAM), str(place / "inventory"), "--old", str(place / "old")]
    argv += ["--new", str(place / "new"), *more]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_all_files_have_the_new_password(place) -> None:
    done = run(place, "--id", "medium")
    assert done.returncode == 0, done.stderr
    for folder in ("a", "b"):
        path = place / "inventory" / folder / "vault.yml"
        assert view(path, place / "new").strip() == TEXT.strip()
        assert view(path, place / "old") == ""
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;medium\n")
    assert (place / "inventory" / "plain.yml").read_text() == "x: 1\n"
    assert not list((place / "inventory").rglob(".rekey*"))
    assert "PLANTED" not in done.stdout + done.stderr


def test_one_that_does_not_open_stops_all(place) -> None:
    """Half of an inventory with another password would open with neither."""
    path = place / "inventory" / "c.yml"
    path.write_text(TEXT)
    encrypt(path, place / "other")
    before = {item: item.read_bytes() for item in (place / "inventory").rglob("*.yml")}
    done = run(place)
    assert done.returncode == 1 and str(path) in done.stderr
    assert {item: item.read_bytes() for item in (place / "inventory").rglob("*.yml")} == before


def test_a_run_that_was_interrupted_is_ended_by_the_next(place) -> None:
    """What it had done already opens with the new password alone."""
    done = place / "inventory" / "a" / "vault.yml"
    done.write_text(TEXT)
    encrypt(done, place / "new")
    before = done.read_bytes()
    assert run(place).returncode == 0
    assert done.read_bytes() == before
    assert view(place / "inventory" / "b" / "vault.yml", place / "new").strip() == TEXT.strip()
