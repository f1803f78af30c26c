# SPDX-License-Identifier: GPL-3.0-or-later
"""The RPM half of build-repo: .rpm files of the stand-ins, and the metadata of their repository.

The packages require nothing but each other, so that they install into a root whose RPM database is empty. For that
reason their scripts are Lua, which rpm itself runs: a shell script would require /bin/sh.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

#: Runs a program: (words...) -> its output.
Call = Callable[..., bytes]

# Packages beside the four: (version, dependencies, files).
OTHER_PACKAGES: dict[str, tuple[str, list[str], dict[str, str]]] = {
    # For a root that has no RPM package at all, which no real system is: zypper stumbles over an empty database.
    "standin-release": ("1-1", [], {}),
    # What was installed before the toolkit had its present packages. nvidia-docker2 brought a daemon.json of its own,
    # marked as configuration: rpm takes it away together with the package.
    "nvidia-container-runtime": ("3.13.0-1", ["nvidia-container-toolkit >= 1.13.0"], {}),
    "nvidia-docker2": (
        "2.13.0-1",
        ["nvidia-container-toolkit >= 1.13.0"],
        {
            "etc/docker/daemon.json": '{\n    "runtimes": {\n        "nvidia": {\n'
            '            "path": "nvidia-container-runtime",\n            "runtimeArgs": []\n        }\n    }\n}\n'
        },
    ),
}

# Packages of Docker, empty but for a note: enough to see from which repository the role takes which. By folder of the
# repository; Docker signs its packages and not its metadata, so that the first are signed.
DOCKER_PACKAGES = {
    "docker/rhel/9/{arch}/stable": ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"),
    "docker/unsigned/rhel/9/{arch}/stable": ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"),
    "docker/suse": ("docker", "docker-compose"),
}


def lua(script: str, argument: str) -> str:
    """Return Lua that runs a maintainer script of the Debian package, with the argument dpkg would give it."""
    return 'rpm.execute("/bin/sh", "-c", [==[%s]==], "script", "%s")' % (script.replace("%", "%%"), argument)


def spec(name: str, version: str, arch: str, root: Path, requires: list[str], scripts: dict[str, str]) -> str:
    """Return the text of a .spec file that packs everything below ``root``.

    Args:
        name: name of the package.
        version: version and release, with a dash between them.
        arch: RPM's name of the architecture.
        root: folder that holds the files.
        requires: dependencies, as RPM writes them.
        scripts: maintainer scripts of the Debian package; ``postinst`` and ``prerm`` are taken.
    """
    upstream, _, release = version.rpartition("-")
    files = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        inside = "/%s" % path.relative_to(root)
        mark = "%config " if inside.startswith("/etc/docker/") else "%config(noreplace) " if "/etc/" in inside else ""
        files.append("%s%s" % (mark, inside))
    lines = [
        "Name: %s" % name,
        "Version: %s" % upstream,
        "Release: %s" % release,
        "BuildArch: %s" % arch,
        "Summary: STAND-IN for NVIDIA's %s" % name,
        "License: GPL-3.0-or-later",
        "AutoReqProv: no",
        *["Requires: %s" % entry for entry in requires],
        "%description",
        "Part of a test bed: it imitates the package of this name. It is not NVIDIA software and drives no hardware.",
        "%install",
        "cp --archive %s/. %%{buildroot}" % root,
        "%files",
        "%defattr(-,root,root)",
        *files,
    ]
    if "postinst" in scripts:
        lines += ["%post -p <lua>", lua(scripts["postinst"], "configure")]
    if "prerm" in scripts:
        # rpm says how many versions stay, and an upgrade leaves one
        lines += ["%preun -p <lua>", "if tonumber(arg[2]) == 0 then", lua(scripts["prerm"], "remove"), "end"]
    return "\n".join(lines) + "\n"


def build_rpm(text: str, work: Path, target: Path, epoch: int, call: Call) -> None:
    """Build one .rpm from the text of its .spec file and put it into ``target``."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "package.spec").write_text(text, encoding="utf-8")
    defines = {
        "_topdir": work,
        "_rpmdir": target,
        "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
        # no byte-compiling, stripping or shebang rewriting: the files go in as they are
        "__os_install_post": "%{nil}",
        "_build_id_links": "none",
        "debug_package": "%{nil}",
        "_buildhost": "localhost",
        "use_source_date_epoch_as_buildtime": 1,
        "clamp_mtime_to_source_date_epoch": 1,
        # gzip: every rpm reads it
        "_binary_payload": "w6.gzdio",
    }
    words = [word for name, value in defines.items() for word in ("--define", "%s %s" % (name, value))]
    call("rpmbuild", "-bb", "--quiet", *words, work / "package.spec", env={"SOURCE_DATE_EPOCH": str(epoch)})
    shutil.rmtree(work)


def sign_rpms(folder: Path, signer: str, env: dict[str, str], call: Call) -> None:
    """Sign the packages in a folder with the key of that fingerprint."""
    # Debian's rpm looks for gpg beside itself only
    defines = {"_gpg_name": signer, "_gpg_digest_algo": "sha512", "__gpg": shutil.which("gpg")}
    words = [word for name, value in defines.items() for word in ("--define", "%s %s" % (name, value))]
    call("rpmsign", *words, "--addsign", *sorted(folder.glob("*.rpm")), env=env)


def build_metadata(folder: Path, epoch: int, call: Call) -> Path:
    """Write repodata for all .rpm files in ``folder``; returns repomd.xml, which is what gets signed."""
    words = ["--quiet", "--no-database", "--revision", str(epoch), "--set-timestamp-to-revision"]
    call("createrepo_c", *words, folder)
    return folder / "repodata" / "repomd.xml"
