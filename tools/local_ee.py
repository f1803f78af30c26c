# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment of execution-environment.yml on a Debian base that needs no registry, for the tests.

``python`` and ``system``: the Python and the Debian packages that its build will install, one a line.
``create BASE FOLDER``: write the build context to FOLDER.

What differs from the shipped definition stands in ``local_definition``, and nowhere else: the base, its package
manager and Python, and where pip and ansible-galaxy look, since the build itself has no network. The collections that
galaxy.yml depends on are those of the Python package ``ansible`` in .venv, which PyPI has; Galaxy is not asked.
"""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "execution-environment.yml"

#: What ansible-builder 3.1's own steps install (ansible_builder/containerfile.py and its default ``container_init``).
BUILDER_REQUIREMENTS = ("bindep", "pyyaml", "packaging", "dumb-init==1.2.5")

#: Where the base image holds the wheels that ``python`` names.
WHEELS = "/opt/wheels"

BIN = pathlib.Path(sys.executable).parent


def introspect() -> tuple[list[str], str]:
    """Return what the collections want of the controller: pip's requirements, and the text of a bindep file."""
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        for name, folder in {"myia.vllm": ROOT, **{name: collection_folder(name) for name in collections()}}.items():
            link = here.joinpath("ansible_collections", *name.split("."))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder)
        subprocess.run(
            [
                BIN / "ansible-builder",
                "introspect",
                here,
                "--write-pip",
                here / "pip",
                "--write-bindep",
                here / "bindep",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        lines = [line.partition("#")[0].strip() for line in (here / "pip").read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line], (here / "bindep").read_text(encoding="utf-8")


def python_requirements() -> list[str]:
    """Return what pip is asked for during the build: by the definition, by the collections, and by ansible-builder."""
    dependencies = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["dependencies"]
    core, runner = (dependencies[name]["package_pip"] for name in ("ansible_core", "ansible_runner"))
    return [core, runner, *introspect()[0], *BUILDER_REQUIREMENTS]


def system_packages() -> list[str]:
    """Return the Debian packages that the collections want of the controller."""
    done = subprocess.run(
        [BIN / "bindep", "-l", "newline", "-f", "-"], input=introspect()[1], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def collections() -> list[str]:
    """Return the collections that galaxy.yml depends on, and those they depend on in turn, as ``namespace.name``."""
    names = list(yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"])
    found: list[str] = []
    while names:
        name = names.pop(0)
        if name not in found:
            found.append(name)
            manifest = yaml.safe_load((collection_folder(name) / "MANIFEST.json").read_text(encoding="utf-8"))
            names += manifest["collection_info"]["dependencies"]
    return found


def collection_folder(name: str) -> pathlib.Path:
    """Return the folder of a collection that the package ``ansible`` has brought."""
    spec = importlib.util.find_spec("ansible_collections")
    return pathlib.Path(next(iter(spec.submodule_search_locations)), *name.split("."))


def local_definition(base: str) -> dict:
    """Return the shipped definition with another base, and without the network."""
    ee = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    ee["images"]["base_image"]["name"] = base
    ee["dependencies"]["python_interpreter"] = {"python_path": "/usr/bin/python3"}
    # Debian has no ensurepip: the base has its package of pip
    ee["options"] = {"package_manager_path": "/usr/bin/apt-get", "skip_pip_install": True}
    ee["build_arg_defaults"] = {"ANSIBLE_GALAXY_CLI_COLLECTION_OPTS": "--offline"}
    for entry in ee["additional_build_files"]:
        entry["src"] = str(ROOT / entry["src"])
    for name in collections():
        folder = "collections/ansible_collections/%s" % name.replace(".", "/")
        ee["additional_build_files"].append({"src": str(collection_folder(name)), "dest": folder})
    ee["additional_build_steps"] = {
        "prepend_base": ["ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=%s" % WHEELS],
        "prepend_galaxy": ["COPY _build/collections /usr/share/ansible/collections"],
    }
    return ee


def create(base: str, folder: str) -> None:
    """Let ansible-builder write the build context (a Dockerfile and its files) of the local variant to ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch, "execution-environment.yml")
        path.write_text(yaml.safe_dump(local_definition(base), sort_keys=False), encoding="utf-8")
        words = ["create", "--output-filename", "Dockerfile", "--file", path, "--context", folder]
        subprocess.run([BIN / "ansible-builder", *words], check=True)
    # Python's own caches differ from run to run, and the context's hash tells whether to build
    for cache in sorted(pathlib.Path(folder).rglob("__pycache__"), reverse=True):
        for file in cache.iterdir():
            file.unlink()
        cache.rmdir()


if __name__ == "__main__":
    if sys.argv[1:] == ["python"]:
        print("\n".join(python_requirements()))
    elif sys.argv[1:] == ["system"]:
        print("\n".join(system_packages()))
    elif len(sys.argv) == 4 and sys.argv[1] == "create":
        create(*sys.argv[2:])
    else:
        sys.exit("usage: local_ee.py python | system | create BASE FOLDER")
