# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shipped: everything that is needed and nothing else, as Galaxy takes it, documented where it is installed."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent

#: What stands at the top of the artefact, and of the folders every file.
FILES = {
    ".env.example", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "MANIFEST.json",
    "README.md", "SECURITY.md",
}  # fmt: skip
FOLDERS = {"awx", "changelogs", "docs", "inventories", "meta", "playbooks", "plugins", "roles", "templates"}
#: Its password is known to everybody who runs the tests.
LEFT_OUT = {"inventories/medium/group_vars/medium/vault.yml"}

#: A private key, a token of Hugging Face, something vaulted: with what makes them more than their first words.
SECRETS = re.compile(
    rb"BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|\bhf_[A-Za-z0-9]{30,}|\$ANSIBLE_VAULT;[\w.;-]+\s+[0-9a-f]{40}"
)


def tracked() -> set[str]:
    """The files that git knows."""
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(out.strip("\0").split("\0"))


@pytest.fixture(scope="module")
def files(unpacked) -> set[str]:
    """The files of the artefact."""
    return {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if not path.is_dir()}


def test_nothing_else(files) -> None:
    """No tests, tools or settings of the development, and nothing that only lies about in this checkout."""
    assert {name for name in files if "/" not in name} == FILES
    assert {name.partition("/")[0] for name in files if "/" in name} == FOLDERS
    assert files - tracked() == {"FILES.json", "MANIFEST.json"}


def test_everything(files) -> None:
    """The folders are complete, but for what builds the documentation's site."""
    wanted = {name for name in tracked() if name.partition("/")[0] in FOLDERS and not name.startswith("docs/site/")}
    assert wanted - files == LEFT_OUT
    assert "meta/execution-environment.yml" in files


def test_no_secrets(files, unpacked) -> None:
    """Nothing that looks like a key or token, vaulted or not."""
    found = {name for name in files if SECRETS.search((unpacked / name).read_bytes())}
    assert found == set()


def test_links(files, unpacked) -> None:
    """What README and docs refer to has come with them."""
    for name in sorted(files):
        if not name.endswith(".md"):
            continue
        text = (unpacked / name).read_text(encoding="utf-8")
        # regular expressions in the documentation look alike, but have other characters
        for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", text):
            assert ((unpacked / name).parent / target).exists(), "%s refers to %s" % (name, target)


def test_dependencies() -> None:
    """Each collection that is used is a dependency, and each dependency is used."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    known = r"\b((?:community|ansible|awx|infra|containers|kubernetes)\.(?!builtin\b)[a-z_]+)\.[a-z0-9_]+:$"
    used = {
        name
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*.yml")
        for name in re.findall(known, path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    # the role for AWX asks for awx.awx itself; who has no AWX needs it not
    assert used - {"awx.awx"} == set(galaxy["dependencies"])


def test_requirements_of_the_checkout() -> None:
    """AWX installs the same dependencies for a project."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    text = (ROOT / "collections" / "requirements.yml").read_text(encoding="utf-8")
    wanted = {item["name"]: item["version"] for item in yaml.safe_load(text)["collections"]}
    assert wanted == galaxy["dependencies"]


def test_galaxy_importer(artefact, tmp_path) -> None:
    """The program by which Galaxy takes a collection has no complaint and finds everything."""
    done = subprocess.run(
        [sys.executable, "-m", "galaxy_importer.main", artefact],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": "%s:%s" % (BIN, os.environ["PATH"]),
            "GALAXY_IMPORTER_CONFIG": str(ROOT / "tests" / "gates" / "galaxy-importer.cfg"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Importer processing completed successfully" in said
    assert not re.search(r"warn|error|deprecat", said.replace("module_utils", ""), re.IGNORECASE), said
    result = json.loads((tmp_path / "importer_result.json").read_text(encoding="utf-8"))
    found = {(item["content_type"], item["name"]) for item in result["contents"]}
    wanted = {("module", path.stem) for path in (ROOT / "plugins" / "modules").glob("*.py")}
    wanted |= {("role", path.name) for path in (ROOT / "roles").iterdir()}
    wanted |= {("playbook", path.name) for path in (ROOT / "playbooks").glob("*.yml")}
    assert wanted <= found


#: What ansible-doc has to show of each type.
DOCUMENTED = {
    "role": "roles/*",
    "module": "plugins/modules/*.py",
    "lookup": "plugins/lookup/*.py",
    "filter": "plugins/filter/*.py",
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_documentation(kind, installed) -> None:
    """ansible-doc shows every role and plugin where it was installed."""
    names = ["myia.vllm." + path.stem for path in sorted(ROOT.glob(DOCUMENTED[kind]))]
    assert names
    done = subprocess.run(
        [BIN / "ansible-doc", "--json", "-t", kind, *names],
        cwd=installed,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_HOME": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not re.search("warning|error", done.stderr, re.IGNORECASE), done.stderr
    shown = json.loads(done.stdout)
    assert set(shown) == set(names)
    assert all(shown.values())
