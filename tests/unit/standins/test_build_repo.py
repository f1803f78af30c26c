# SPDX-License-Identifier: GPL-3.0-or-later
"""build-repo: packages, indexes and signature of the stand-in repository."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import installed
import pytest

TOOLS = ("dpkg", "dpkg-deb", "apt-ftparchive", "gpg", "gpgv", "rpmbuild", "createrepo_c")
# of the packages dpkg, apt-utils, gnupg, gpgv, rpm and createrepo-c
pytestmark = installed.needs(*TOOLS)
NAMES = (
    "libnvidia-container-tools",
    "libnvidia-container1",
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
)
VERSIONS = ("1.18.2-1", "1.19.1-1", "1.20.1-1")


def build(standins: Path, output: Path, *args: str) -> str:
    """Run build-repo and return its last line."""
    command = [sys.executable, standins / "build-repo", *args, output]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def repo(standins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, built once for all tests."""
    output = tmp_path_factory.mktemp("repo") / "standin-repo"
    assert build(standins, output) == f"built {output}"
    return output


@pytest.fixture(scope="module")
def flat(repo: Path) -> Path:
    """The flat repository in it."""
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    return repo / "stable" / "deb" / arch


@pytest.fixture(scope="module")
def rpms(repo: Path) -> Path:
    """The RPM repository in it."""
    return next((repo / "stable" / "rpm").iterdir())


def verify(key: Path, *signed: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Check a clear-signed file, or a signature and its file, with one armoured key and nothing else."""
    ring = home / "ring.gpg"
    env = {**os.environ, "GNUPGHOME": str(home)}
    subprocess.run(["gpg", "--batch", "--yes", "--dearmor", "-o", ring, key], env=env, check=True, capture_output=True)
    command = ["gpgv", "--status-fd", "1", "--keyring", ring, *signed]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_signature(repo: Path, flat: Path, tmp_path: Path) -> None:
    """InRelease verifies with gpgkey, and the fingerprint file names that key."""
    done = verify(repo / "gpgkey", flat / "InRelease", home=tmp_path)
    fingerprint = (repo / "fingerprint").read_text(encoding="utf-8").strip()
    assert done.returncode == 0
    assert re.fullmatch(r"[0-9A-F]{40}", fingerprint)
    assert f"VALIDSIG {fingerprint}" in done.stdout


def test_wrong_key(repo: Path, flat: Path, tmp_path: Path) -> None:
    """The second key is a real one, and does not verify the repository."""
    assert verify(repo / "wrong.gpgkey", flat / "InRelease", home=tmp_path).returncode != 0
    fingerprints = [(repo / name).read_text(encoding="utf-8") for name in ("fingerprint", "wrong.fingerprint")]
    assert fingerprints[0] != fingerprints[1]


def test_indexes(flat: Path) -> None:
    """Release lists the indexes with their hashes, Packages lists each package file with its own."""
    packages = (flat / "Packages").read_bytes()
    assert gzip.decompress((flat / "Packages.gz").read_bytes()) == packages
    release = (flat / "Release").read_text(encoding="utf-8")
    for name in ("Packages", "Packages.gz"):
        digest = hashlib.sha256((flat / name).read_bytes()).hexdigest()
        assert re.search(rf"^ {digest} +\d+ {re.escape(name)}$", release, re.MULTILINE)
    assert release.strip() in (flat / "InRelease").read_text(encoding="utf-8")
    found = set()
    for paragraph in packages.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if not line.startswith(" "))
        content = (flat / fields["Filename"]).read_bytes()
        assert fields["SHA256"] == hashlib.sha256(content).hexdigest()
        assert "STAND-IN" in fields["Description"]
        found.add((fields["Package"], fields["Version"]))
    wanted = {(name, version) for name in NAMES for version in (*VERSIONS, "1.20.0-1")}
    assert found == wanted - {("libnvidia-container1", "1.20.0-1")}


@pytest.mark.parametrize("version", VERSIONS)
def test_dependencies(flat: Path, version: str) -> None:
    """The packages demand each other in exactly their own version."""
    depends = {}
    for name in NAMES:
        deb = flat / f"{name}_{version}_{flat.name}.deb"
        text = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
        depends[name] = set(re.findall(rf"([\w-]+) \(= {re.escape(version)}\)", text))
    assert depends == {
        "nvidia-container-toolkit": {"nvidia-container-toolkit-base", "libnvidia-container-tools"},
        "nvidia-container-toolkit-base": set(),
        "libnvidia-container-tools": {"libnvidia-container1"},
        "libnvidia-container1": set(),
    }


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "nvidia-container-toolkit-base",
            {
                "./usr/bin/nvidia-ctk",
                "./usr/bin/nvidia-container-runtime",
                "./usr/bin/nvidia-cdi-hook",
                "./etc/nvidia-container-toolkit/nvidia-cdi-refresh.env",
                "./usr/lib/systemd/system/nvidia-cdi-refresh.service",
                "./usr/lib/systemd/system/nvidia-cdi-refresh.path",
            },
        ),
        ("nvidia-container-toolkit", {"./usr/bin/nvidia-container-runtime-hook"}),
        ("libnvidia-container-tools", {"./usr/bin/nvidia-container-cli"}),
        ("libnvidia-container1", set()),
    ],
)
def test_contents(flat: Path, tmp_path: Path, name: str, files: set[str]) -> None:
    """Each file is in the package that really has it, and programs say the package's version."""
    deb = flat / f"{name}_1.19.1-1_{flat.name}.deb"
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    found = {f"./{path.relative_to(tmp_path)}" for path in tmp_path.rglob("*") if path.is_file()}
    assert found == files | {f"./usr/share/doc/{name}/README.stand-in"}
    for path in (tmp_path / "usr").rglob("bin/*"):
        assert os.access(path, os.X_OK)
        assert '\nVERSION = "1.19.1"\n' in path.read_text(encoding="utf-8")


def rpm(package: Path, *words: str) -> list[str]:
    """Ask rpm for something of a package file."""
    done = subprocess.run(["rpm", "--query", "--package", *words, package], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_rpm_signature(repo: Path, rpms: Path, tmp_path: Path) -> None:
    """The metadata verifies with gpgkey and not with the other key."""
    signed = (rpms / "repodata/repomd.xml.asc", rpms / "repodata/repomd.xml")
    assert verify(repo / "gpgkey", *signed, home=tmp_path).returncode == 0
    assert verify(repo / "wrong.gpgkey", *signed, home=tmp_path).returncode != 0


def test_rpm_metadata(rpms: Path) -> None:
    """The metadata lists the four in every version, one version without one of them, and each with its checksum."""
    text = gzip.decompress(next((rpms / "repodata").glob("*-primary.xml.gz")).read_bytes()).decode()
    found = {}
    for entry in re.findall(r'<package type="rpm">.*?</package>', text, re.DOTALL):
        name, version, release = re.search(r'<name>(.*?)</name>.*? ver="(.*?)" rel="(.*?)"', entry, re.DOTALL).groups()
        digest, path = re.search(r'pkgid="YES">(\w+)<.*?<location href="(.*?)"', entry, re.DOTALL).groups()
        assert digest == hashlib.sha256((rpms / path).read_bytes()).hexdigest()
        found[name, f"{version}-{release}"] = entry
    four = {key for key in found if key[0] in NAMES}
    incomplete = {(name, "1.20.0-1") for name in NAMES} - {("libnvidia-container1", "1.20.0-1")}
    assert four == {(name, version) for name in NAMES for version in VERSIONS} | incomplete
    assert {name for name, _version in found} - set(NAMES) == {
        "nvidia-container-runtime",
        "nvidia-docker2",
        "standin-release",
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_rpm_dependencies(rpms: Path, version: str) -> None:
    """The packages demand each other in exactly their own version and nothing else that a bare root lacks."""
    requires = {
        name: {
            line
            for line in rpm(rpms / f"{name}-{version}.{rpms.name}.rpm", "--requires")
            if not line.startswith("rpmlib(")
        }
        for name in NAMES
    }
    assert requires == {
        "nvidia-container-toolkit": {
            f"nvidia-container-toolkit-base = {version}",
            f"libnvidia-container-tools = {version}",
        },
        "nvidia-container-toolkit-base": set(),
        "libnvidia-container-tools": {f"libnvidia-container1 = {version}"},
        "libnvidia-container1": set(),
    }


@pytest.mark.parametrize("name", NAMES)
def test_rpm_contents(flat: Path, rpms: Path, name: str) -> None:
    """A package holds what the Debian package of its name holds, with the same bytes and modes."""
    query = "[%{FILENAMES} %{FILEMODES:perms} %{FILEDIGESTS}\n]"
    found = set(rpm(rpms / f"{name}-1.19.1-1.{rpms.name}.rpm", "--queryformat", query))
    deb = flat / f"{name}_1.19.1-1_{flat.name}.deb"
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True)
    expected = set()
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            if member.isfile():
                digest = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
                expected.add(f"{member.name[1:]} {stat.filemode(stat.S_IFREG | member.mode)} {digest}")
    assert found == expected


def test_rpm_package_signatures(repo: Path, rpms: Path) -> None:
    """NVIDIA's packages are not signed, Docker's are, and the repository of unsigned ones holds none that is."""
    query = ("--nosignature", "--queryformat", "%{RSAHEADER:pgpsig}")
    folders = {"signed": repo / "docker/rhel", "not": repo / "docker/unsigned", "nvidia": rpms}
    signed = {
        key: {rpm(path, *query) != ["(none)"] for path in folder.rglob("*.rpm")} for key, folder in folders.items()
    }
    assert signed == {"signed": {True}, "not": {False}, "nvidia": {False}}


def test_archive(repo: Path) -> None:
    """The archive holds everything a host needs, owned by root, and nothing outside its folder."""
    with tarfile.open(repo / "standin-repo.tar") as archive:
        members = archive.getmembers()
    names = {member.name for member in members}
    assert {"gpgkey", "fingerprint", "wrong.gpgkey", "wrong.fingerprint", "myia_standin.fact"} <= names
    assert not any(name.startswith(("/", "..")) for name in names)
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}
    assert all(member.mode == (0o755 if member.isdir() else 0o644) for member in members)


def test_local_facts(repo: Path, flat: Path) -> None:
    """The facts for the host agree with the files."""
    facts = json.loads((repo / "myia_standin.fact").read_text(encoding="utf-8"))
    assert facts["repo_url"].endswith(f"/stable/deb/{flat.name}")
    assert facts["fingerprint"] == (repo / "fingerprint").read_text(encoding="utf-8").strip()
    assert facts["wrong_fingerprint"] == (repo / "wrong.fingerprint").read_text(encoding="utf-8").strip()


def test_rebuild(standins: Path, tmp_path: Path) -> None:
    """Nothing is built twice from the same inputs; a build can be forced and leaves nothing else behind."""
    output = tmp_path / "standin-repo"
    assert build(standins, output) == f"built {output}"
    first = (output / "fingerprint").read_text(encoding="utf-8")
    assert build(standins, output) == f"unchanged {output}"
    assert (output / "fingerprint").read_text(encoding="utf-8") == first
    assert build(standins, output, "--force") == f"built {output}"
    assert (output / "fingerprint").read_text(encoding="utf-8") != first
    assert sorted(path.name for path in tmp_path.iterdir()) == [".standin-repo.lock", "standin-repo"]


def test_foreign_folder_is_left_alone(standins: Path, tmp_path: Path) -> None:
    """A folder that build-repo did not make is never replaced."""
    (tmp_path / "precious").touch()
    command = [sys.executable, standins / "build-repo", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (tmp_path / "precious").exists()
