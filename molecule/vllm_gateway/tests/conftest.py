# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario share: the hosts, the gateway as clients see it, and the numbers for the table."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time

import pytest
import testinfra
from gateway_load import ALICE, ROOT, Gateway

SCENARIO = pathlib.Path(__file__).resolve().parent.parent

_ROWS: list[tuple[str, str]] = []


def machine(name: str) -> testinfra.host.Host:
    """A test host of this scenario."""
    return testinfra.get_host("docker://myia-vllm_gateway-" + name)


@pytest.fixture(scope="session")
def gateway_host():
    """The gateway."""
    return machine("gateway-1")


@pytest.fixture(scope="session")
def nodes():
    """The services' hosts by name."""
    return {name: machine(name) for name in ("node-1", "node-2")}


@pytest.fixture(scope="session")
def gateway() -> Gateway:
    """The gateway as clients see it, with a key that may use everything."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    words = ["docker", "inspect", "-f", form, "myia-vllm_gateway-gateway-1"]
    address = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return Gateway(address, key=ALICE)


@pytest.fixture
def state(gateway_host):
    """Return a function that tells the servers of the pool by name: admin, status and open requests."""

    def look() -> dict[str, dict]:
        text = gateway_host.check_output("echo 'show stat' | python3 -c %s" % json.dumps(_ASK))
        rows = [line.split(",") for line in text.splitlines() if line.startswith("vllm_medium,node-")]
        return {row[1]: {"status": row[17], "open": int(row[4] or 0)} for row in rows}

    return look


#: Asks the runtime socket; the host has no socat.
_ASK = (
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect('/run/haproxy/admin.sock');"
    "s.sendall(sys.stdin.read().encode());s.shutdown(1);"
    "print(''.join(iter(lambda:s.recv(65536).decode(),'')))"
)


@pytest.fixture
def until():
    """Return a function that waits until something is so, and tells after how many seconds."""

    def wait(done, timeout_s: float = 180, what: str = "") -> float:
        begin_s = time.monotonic()
        while not done():
            assert time.monotonic() - begin_s < timeout_s, "not within %.0f s: %s" % (timeout_s, what)
            time.sleep(0.25)
        return time.monotonic() - begin_s

    return wait


@pytest.fixture(scope="session")
def note():
    """Return a function that notes a number for the table."""

    def add(what: str, found: object) -> None:
        _ROWS.append((what, str(found)))

    return add


@pytest.fixture
def switch(play):
    """Return a function that drains or admits a host by the role's entry points, as a deployment does."""

    def run(verb: str, name: str) -> None:
        done = play("--limit", name, "-e", "verb=" + verb, playbook=str(SCENARIO / "drain.yml"))
        assert done.status == 0, done.output

    return run


@pytest.fixture
def deploy_gateway(play):
    """Return a function that runs deploy_gateway.yml with other variables."""

    def run(**variables):
        done = play("-e", json.dumps(variables), playbook=str(ROOT / "deploy_gateway.yml"))
        assert done.status == 0, done.output
        return done

    return run


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the numbers of this run."""
    if _ROWS:
        terminalreporter.section("gateway")
        width = max(len(row[0]) for row in _ROWS)
        for what, found in _ROWS:
            terminalreporter.write_line("%s  %s" % (what.ljust(width), found))
