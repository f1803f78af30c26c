# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test sanity` on what is shipped, by each supported ansible-core. There are no ignore files.

It looks at the unpacked artefact: tests and tools are no part of it, and ruff looks at those.
"""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: What another ansible-core may judge differently. The one in .venv runs every test; pylint alone takes 35 seconds.
OF_THE_CORE = ("action-plugin-docs", "ansible-doc", "compile", "import", "runtime-metadata", "validate-modules")


@pytest.fixture
def home(core) -> pathlib.Path:
    """A home in which ansible-test keeps its environments: the user's own stays as it is.

    Each version has its own, since two that make the same environment at a time would destroy it.
    """
    folder = ROOT / ".cache" / "ansible-test" / core.name
    for place in (".config/pip", ".pip"):
        settings, link = pathlib.Path.home() / place, folder / place
        if settings.is_dir() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(settings)
    return folder


def bring_pip(core, home: pathlib.Path) -> None:
    """Lay get_pip.py where ansible-test looks for the program before it downloads one."""
    (file,) = core.bin.parent.glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py")
    versions = re.findall(r"\bpip='([\d.]+)'", file.read_text(encoding="utf-8"))
    assert versions, "ansible-test tells its version of pip in another way now: %s" % file
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in versions:
        shutil.copyfile(ROOT / "tests" / "gates" / "get_pip.py", cache / ("get_pip_%s.py" % version.replace(".", "_")))


def test_sanity(core, unpacked, home) -> None:
    """It has nothing to say."""
    bring_pip(core, home)
    # `make lint` runs antsibull-changelog, and here it would take an environment more
    options = ["--skip-test", "changelog"] if core.own else [word for name in OF_THE_CORE for word in ("--test", name)]
    done = subprocess.run(
        core.command("ansible-test", "sanity", "--python", core.python, *options),
        cwd=unpacked,
        env=core.environment(HOME=str(home)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("Running sanity test") >= (20 if core.own else len(OF_THE_CORE)), said
