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


#: Makes an image of the host's own `sleep`, since none can be pulled.
SLEEPER_IMAGE = (
    "docker image inspect standin-sleeper >/dev/null 2>&1 || tar -C / -c bin lib lib64 usr/bin/sleep "
    "usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib64 2>/dev/null "
    "| docker import - standin-sleeper >/dev/null"
)


@pytest.fixture
def sleeper(host):
    """Run a container for the time of one test; returns a function that tells its id, start time and state."""
    host.run(SLEEPER_IMAGE)
    host.check_output(
        "docker rm -f sleeper 2>/dev/null; "
        "docker run -d --stop-timeout=1 --name sleeper standin-sleeper /usr/bin/sleep 900"
    )
    yield lambda: host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}} {{.State.Status}}' sleeper")
    host.run("docker rm -f sleeper")


@pytest.fixture
def daemon_json(host):
    """Return functions to read and write the engine's configuration, which is put back after the test."""
    path = "/etc/docker/daemon.json"
    files = "%s %s.myia-vllm" % (path, path)
    host.run("mkdir -p /tmp/daemon-json && rm -f /tmp/daemon-json/* && cp -a %s /tmp/daemon-json/ 2>/dev/null" % files)

    class File:
        """The file on the host."""

        def text(self) -> str | None:
            """Its content; None when it is not there."""
            return host.file(path).content_string if host.file(path).exists else None

        def write(self, text: str | None, then: str = "") -> None:
            """Replace it (None: remove it) and run a command."""
            if text is None:
                host.check_output("rm -f %s" % path)
            else:
                host.check_output("printf '%%s' '%s' > %s" % (text.replace("'", "'\\''"), path))
            if then:
                host.check_output(then)

        def forget(self) -> None:
            """Forget what stood there before, as on a host that the role has never seen."""
            host.check_output("rm -f %s.myia-vllm" % path)

    yield File()
    host.check_output(
        "rm -f %s; cp -a /tmp/daemon-json/. /etc/docker/; systemctl reset-failed docker.service || true; "
        "systemctl restart docker" % files
    )


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
