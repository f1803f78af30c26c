# SPDX-License-Identifier: GPL-3.0-or-later
"""`make acceptance` on a real GPU host: everything that it tries has to be so."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def accepted() -> dict:
    """Run it, and return what it wrote down."""
    # where it is kept: Molecule's own folder is emptied at the end
    written = ROOT / "reports" / "acceptance" / "acceptance.json"
    written.unlink(missing_ok=True)
    options = shlex.split(os.environ.get("MYIA_GPU_OPTIONS", ""))
    argv = [sys.executable, str(ROOT / "tools" / "acceptance.py"), "--inventory", os.environ["MYIA_GPU_INVENTORY"]]
    subprocess.run([*argv, *options], cwd=ROOT, check=False)
    return json.loads(written.read_text(encoding="utf-8"))


def test_everything_is_so(accepted) -> None:
    """All of it ran, without a stand-in, and each check passed."""
    assert (accepted["complete"], accepted["standins"]) == (True, False)
    assert [item for item in accepted["checks"] if not item["ok"]] == []
