# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verify steps of all scenarios share: running playbooks again, and looking whether a host changed."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass
class Run:
    """One run of ansible-playbook."""

    status: int
    output: str

    @property
    def recap(self) -> dict[str, int]:
        """The counters of the recap, added up over the hosts (ok, changed, failed, unreachable)."""
        counters: dict[str, int] = {}
        for name, number in re.findall(r"\b(ok|changed|failed|unreachable)=(\d+)", self.output):
            counters[name] = counters.get(name, 0) + int(number)
        return counters

    @property
    def flat(self) -> str:
        """The output with all white space folded, so that wrapped messages can be searched."""
        return " ".join(self.output.split())


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "ANSIBLE_VAULT_IDENTITY_LIST": "medium@%s" % (ROOT / "molecule/resources/vault-password"),
    }


@pytest.fixture(scope="session")
def inventory() -> str:
    """Path of the scenario's inventory."""
    return os.environ["MOLECULE_INVENTORY_FILE"]


@pytest.fixture(scope="session")
def play(inventory: str):
    """Return a function that runs a playbook (or ad-hoc roles) against the scenario's hosts.

    In ``env`` None takes a variable away.
    """

    def run(
        *arguments: str, playbook: str | None = None, roles: list[str] | None = None, env: dict | None = None
    ) -> Run:
        scenario = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
        path = pathlib.Path(playbook) if playbook else scenario / "converge.yml"
        if roles:
            path = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "roles.yml"
            play = {"name": "Roles", "hosts": "all", "gather_facts": False, "become": True, "roles": roles}
            path.write_text(yaml.safe_dump([play]), encoding="utf-8")
        done = subprocess.run(
            [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, str(path), *arguments],
            cwd=ROOT,
            env={name: value for name, value in {**_environment(), **(env or {})}.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture
def unsupported_system(host):
    """Let the host call itself an operating system that nobody supports, for the time of one test."""
    before = host.file("/etc/os-release").content_string
    host.check_output("cp /etc/os-release /tmp/os-release")
    host.check_output("printf 'ID=plan9\\nPRETTY_NAME=\"Plan 9\"\\n' > /etc/os-release")
    yield
    host.check_output("cat /tmp/os-release > /etc/os-release")
    assert host.file("/etc/os-release").content_string == before


#: Folders whose changes count; what a mere look at a host writes (caches, logs, /tmp, /run, /proc) does not.
WATCHED = "/etc /opt /srv /usr /root /var/lib/docker/containers /var/lib/dpkg"


@pytest.fixture
def untouched(host):
    """Return a function that lists files of the host that changed since the fixture was set up."""
    host.check_output("rm -f /tmp/myia-mark; touch /tmp/myia-mark; sleep 1.1")

    def changed() -> list[str]:
        found = host.run(
            "find %s -newer /tmp/myia-mark ! -path '*/.ansible*' ! -name '*-json.log' ! -path '*/containers/*/*' "
            "-print 2>/dev/null" % WATCHED
        ).stdout.split()
        return [path for path in found if path not in ("/root",)]

    return changed
