# SPDX-License-Identifier: GPL-3.0-or-later
"""Test hosts for a measurement: those of the Molecule scenarios, with an engine of their own each."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import docker
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
RECORDINGS = ROOT / "tests" / "unit" / "data" / "startup_logs"
STARTED = time.monotonic()


def say(text: str) -> None:
    """Print what is going on."""
    print("[bench %5.0fs] %s" % (time.monotonic() - STARTED, text), flush=True)


class Bed:
    """Test hosts for the time of a measurement.

    Args:
        hosts: the platforms, as ``molecule/resources/playbooks/create.yml`` takes them.
        variables: host variables of all of them.
        group_vars: a folder of group variables to use, or None.
    """

    def __init__(self, hosts: list[dict], variables: dict, group_vars: pathlib.Path | None = None) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="myia-bench-")) / "bench"
        self.folder.mkdir()
        self.engine = docker.from_env()
        self.hosts = hosts
        self.inventory = self.folder / "hosts.yml"
        entries = {
            host["name"]: {
                "ansible_connection": "community.docker.docker",
                "ansible_host": self.container(host["name"]),
                "ansible_user": "root",
                "ansible_python_interpreter": "/usr/bin/python3",
                **variables,
            }
            for host in hosts
        }
        tree = {"all": {"children": {"medium": {"hosts": entries}}}}
        self.inventory.write_text(yaml.safe_dump(tree), encoding="utf-8")
        if group_vars:
            (self.folder / "group_vars").symlink_to(group_vars)
        self.environment = {
            **os.environ,
            "PATH": "%s:%s" % (BIN, os.environ["PATH"]),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_VAULT_IDENTITY_LIST": "medium@%s" % (ROOT / "molecule/resources/vault-password"),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(self.folder),
        }

    @staticmethod
    def container(name: str) -> str:
        """Return the container that is a test host."""
        return "myia-bench-%s" % name

    def play(self, playbook: str, *arguments: str, check: bool = True) -> tuple[float, str]:
        """Run a playbook; return seconds and output."""
        begun = time.monotonic()
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "-i", str(self.inventory), playbook, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            sys.exit("%s failed:\n%s%s" % (playbook, done.stdout[-6000:], done.stderr[-2000:]))
        return time.monotonic() - begun, done.stdout + done.stderr

    def resource(self, name: str) -> None:
        """Run a playbook of Molecule's resources."""
        about = {
            "molecule_yml": {"platforms": self.hosts},
            "molecule_scenario_directory": str(self.folder),
            "molecule_instance_config": str(self.folder / "instance_config.yml"),
        }
        self.play("molecule/resources/playbooks/%s.yml" % name, "-f", "4", "-e", json.dumps(about))

    def shell(self, command: str, host: str = "", check: bool = True) -> str:
        """Run a command on a host, as the playbooks reach it; return what it printed."""
        container = self.engine.containers.get(self.container(host or self.hosts[0]["name"]))
        status, (out, err) = container.exec_run(["bash", "-c", command], demux=True)
        if check and status:
            sys.exit("on the host, %s failed: %s" % (command, (err or b"").decode()))
        return (out or b"").decode().strip()

    def standin(self, host: str = "") -> None:
        """Put the STAND-IN for vLLM on a host, with the logs that it replays."""
        host = host or self.hosts[0]["name"]
        self.shell("mkdir -p /srv/standin", host)
        recording = (RECORDINGS / "healthy-tensor-parallel-2.log").read_text(encoding="utf-8").splitlines(keepends=True)
        until = next(number for number, line in enumerate(recording) if "world_size=2 rank=0" in line)
        (self.folder / "standing.log").write_text("".join(recording[: until + 1]), encoding="utf-8")
        sources = {
            ROOT / "molecule/resources/standins/bin/vllm": "vllm",
            RECORDINGS / "healthy-eager.log": "healthy.log",
            self.folder / "standing.log": "standing.log",
        }
        for source, name in sources.items():
            subprocess.run(
                ["docker", "cp", "-q", str(source), "%s:/srv/standin/%s" % (self.container(host), name)], check=True
            )

    def __enter__(self) -> Bed:
        say("making %d test host(s)" % len(self.hosts))
        self.resource("destroy")
        self.resource("create")
        say("preparing them")
        self.resource("prepare")
        return self

    def __exit__(self, *_: object) -> None:
        self.resource("destroy")
        shutil.rmtree(self.folder.parent)
