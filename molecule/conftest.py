# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verify steps of all scenarios share: running playbooks again, and looking whether a host changed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

import core_tests
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark of what takes long."""
    core_tests.register(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With MYIA_TESTS=core, leave that out."""
    core_tests.leave_out(config, items, core_tests.core_only)


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
        # every task: tests look at more than an operator does
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
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


#: Makes an image of the host's own Python, since none can be pulled.
WEB_IMAGE = (
    "docker image inspect standin-web:0.32.0 >/dev/null 2>&1 || tar -C / -c bin lib lib64 usr/bin usr/lib/python3 "
    "usr/lib/python3.13 usr/lib/x86_64-linux-gnu usr/lib64 2>/dev/null | docker import - standin-web:0.32.0 >/dev/null"
)

#: Makes an image of the host's own `sleep`, since none can be pulled.
SLEEPER_IMAGE = (
    "docker image inspect standin-sleeper >/dev/null 2>&1 || tar -C / -c bin lib lib64 usr/bin/sleep "
    "usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib64 2>/dev/null "
    "| docker import - standin-sleeper >/dev/null"
)


@pytest.fixture(scope="session")
def web_image() -> str:
    """The command that makes an image in which the host's own Python runs."""
    return WEB_IMAGE


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


#: Secrets that every failing deployment of the tests has, and that must turn up nowhere but in .env.
PLANTED = {"vllm_api_key": "PLANTED-api-key-4f1d0c", "vllm_hf_token": "hf_PLANTEDtoken4f1d0c"}

#: Where they are looked for on a host: all that a deployment may write, except the .env files.
SEARCHED = "/opt/vllm /etc/docker /root /tmp /var/log /var/lib/docker/containers"

_ROWS: list[tuple[str, ...]] = []


@dataclasses.dataclass
class Outcome:
    """What came of a deployment that had to fail."""

    run: Run
    failure: dict
    log: str


@pytest.fixture
def fault(host, play):
    """Return a function that deploys something that cannot start, looks what became of it, and notes it for the table.

    The arguments: what the fault is, who brings it about, the expected ids, and the variables of the deployment.
    ``kept`` tells that the service must not have been stopped at all; ``act`` runs while the deployment does.
    """

    def deploy(what: str, by: str, ids: str | tuple, variables: dict, kept: bool = False, act=None) -> Outcome:
        name = "myia-vllm-medium-qwen3"
        before = host.check_output("readlink /opt/vllm/medium/current")
        container = host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % name)
        thread = threading.Thread(target=act) if act else None
        if thread:
            thread.start()
        run = play("-e", json.dumps({**PLANTED, **variables}))
        if thread:
            thread.join()
        assert run.status != 0, run.output
        assert host.check_output("readlink /opt/vllm/medium/current") == before, run.output
        assert host.check_output("curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:5002/health") == "200"
        assert host.check_output("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' %s" % name) == "unless-stopped"
        after = host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % name)
        failure, log = {}, ""
        if kept:
            assert after == container, "the service was stopped"
            named = re.search(r"\b([a-z0-9]+(?:-[a-z0-9]+)+|unknown)(?: \(\w+\))?, in the phase", run.output)
            failure = {"id": named[1] if named else ""}
        else:
            assert "serves again" in run.flat, run.output
            name = re.search(r"Release (\S+) of medium does not serve", run.flat)[1]
            folder = "/opt/vllm/medium/releases/%s" % name
            failure = json.loads(host.file(folder + "/release.json").content_string)["failures"][-1]
            log = host.file(folder + "/failed-start.log").content_string
            assert not host.file("/opt/vllm/medium/deployment.lock").exists
        for secret in PLANTED.values():
            assert secret not in run.output
            found = host.run("grep -rlF -e %s %s 2>/dev/null" % (secret, SEARCHED)).stdout.split()
            # the engine keeps a container's environment in its own files, and the host's own record of commands is ours
            assert [path for path in found if not path.endswith(("/.env", "/config.v2.json"))] == []
        took = re.search(r"serves again after ((?:\d+ min )?\d+ s)", run.flat)
        took_text = "not stopped" if kept else took[1] if took else "?"
        wanted = (ids,) if isinstance(ids, str) else ids
        right = "yes" if failure["id"] in wanted else "NO: %s" % failure["id"]
        seconds = failure.get("verdict_s")
        _ROWS.append((what, by, wanted[0], right, "-" if seconds is None else "%.1f" % seconds, took_text, "none"))
        assert failure["id"] in wanted, run.output
        return Outcome(run, failure, log)

    return deploy


def pytest_terminal_summary(terminalreporter) -> None:
    """Print what the faults of this scenario led to."""
    if not _ROWS:
        return
    head = ("fault", "by", "id", "named right", "verdict s", "service back after", "secrets seen")
    widths = [max(len(row[i]) for row in (head, *_ROWS)) for i in range(len(head))]
    terminalreporter.section("faults")
    for row in (head, tuple("-" * width for width in widths), *_ROWS):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


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
