# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gates share: the built artefact, unpacked and installed, and the supported versions of ansible-core."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent


class Core:
    """A supported version of ansible-core and where its programs are."""

    def __init__(self, version: str) -> None:
        """Find the environment that tools/bootstrap has made."""
        self.name = version.rpartition(".")[0]
        requirements = (ROOT / "requirements-test.txt").read_text(encoding="utf-8")
        self.own = "ansible-core==%s\n" % version in requirements
        folder = ROOT / ".cache" / "cores" / self.name
        self.bin = BIN if self.own else folder / "bin"
        # where this machine's own Python is too old, its programs run in a container
        self._inside = [folder / "inside"] if (folder / "inside").exists() else []

    def command(self, program: str, *argv: str | os.PathLike) -> list[str | os.PathLike]:
        """The command that runs a program of it."""
        return [*self._inside, self.bin / program, *argv]

    @property
    def python(self) -> str:
        """The version of the Python it runs on: 3.11."""
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        return subprocess.check_output(self.command("python", "-c", code), text=True).strip()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment in which its programs find each other."""
        return {**os.environ, "PATH": "%s:%s" % (self.bin, os.environ["PATH"]), "ANSIBLE_NOCOLOR": "1", **more}


def cores() -> list[Core]:
    """The versions in cores.txt; only the one that MYIA_CORE names, when it does."""
    only = os.environ.get("MYIA_CORE")
    text = (ROOT / "tests" / "gates" / "cores.txt").read_text(encoding="utf-8")
    found = [Core(version) for version in re.findall(r"^(\d\S+) ", text, re.MULTILINE)]
    chosen = [core for core in found if only in (None, core.name)]
    assert chosen, "MYIA_CORE is %s, which cores.txt does not have" % only
    return chosen


def params() -> list[object]:
    """Each of them; `make test` takes the oldest and the newest, `make gates` and `make test-full` all."""
    found = cores()
    ends = (found[0], found[-1])
    return [pytest.param(core, id=core.name, marks=() if core in ends else pytest.mark.full) for core in found]


@pytest.fixture(params=params())
def core(request: pytest.FixtureRequest) -> Core:
    """Each of them."""
    if not (request.param.bin / "ansible-test").exists():
        pytest.fail("no ansible-core %s here: `tools/bootstrap cores` makes it, or says why not" % request.param.name)
    return request.param


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The collection, built from this checkout."""
    folder = tmp_path_factory.mktemp("artefact")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (found,) = folder.glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def installed(artefact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of collections into which the artefact was installed, as an operator does it."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "install", artefact, "-p", folder, "--no-deps", "--offline"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


@pytest.fixture(scope="session")
def unpacked(artefact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files of the artefact in the place that ansible-test insists on, of their own."""
    folder = tmp_path_factory.mktemp("unpacked") / "ansible_collections" / "myia" / "vllm"
    folder.mkdir(parents=True)
    with tarfile.open(artefact) as archive:
        # Debian 12's own Python knows no filter yet; the archive was built a moment ago
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return folder
