# SPDX-License-Identifier: GPL-3.0-or-later
"""The linters, each as one test, so that `make test` has one summary."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent

LINTERS = {
    "ansible-lint": ["ansible-lint", "--offline", "--nocolor", "-q"],
    "yamllint": ["yamllint", "--strict", "."],
    "ruff": ["ruff", "check", "."],
    "actionlint": ["actionlint"],
    "changelog": ["antsibull-changelog", "lint"],
    "role-docs": ["python", "tools/role_docs.py", "--check"],
    "failure-docs": ["python", "tools/failure_docs.py", "--check"],
    "alert-docs": ["python", "tools/alert_docs.py", "--check"],
    "hardware-docs": ["python", "tools/hardware_docs.py", "--check"],
    "variables-schema": ["python", "tools/variables_schema.py", "--check"],
    # bash looks at one file only
    "shell": [
        "sh",
        "-c",
        "for f in tools/bootstrap tools/images tools/images.d/* tools/demo .ci/run; do bash -n $f || exit; done",
    ],
}


@pytest.mark.parametrize("linter", LINTERS)
def test_lint(linter: str) -> None:
    """The linter has nothing to say."""
    command = LINTERS[linter]
    program = BIN / command[0]
    argv = [str(program) if program.exists() else command[0], *command[1:]]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def git_grep(pattern: str, *paths: str) -> str:
    """Return what `git grep` finds."""
    return subprocess.run(
        ["git", "grep", "-nE", pattern, "--", *paths], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout


def test_nothing_hides_failures() -> None:
    """No task ignores its errors."""
    assert git_grep(r"^\s*ignore_errors:\s*(true|yes)", "*.yml") == ""


def test_lint_exceptions_have_a_reason() -> None:
    """A `noqa` stands beside the reason for it."""
    for line in git_grep(r"#\s*noqa", "*.yml", "*.py").splitlines():
        if line.startswith("tests/lint/"):
            continue
        assert len(line.partition("noqa")[2].split()) > 3, "a lint exception without a reason: " + line
