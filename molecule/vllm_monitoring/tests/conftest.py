# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of this scenario share: both hosts, what the loopback receiver was told, and the table of faults."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.parse

import pytest
import testinfra
from monitoring_bed import HERE, PASSWORD, TOLD, now

_ROWS: list[tuple[str, ...]] = []


def _host(name: str):
    return testinfra.get_host("ansible://%s" % name, ansible_inventory=os.environ["MOLECULE_INVENTORY_FILE"])


@pytest.fixture(scope="session")
def node():
    """The host of the service."""
    return _host("node-1")


@pytest.fixture(scope="session")
def monitoring():
    """The host that monitors."""
    return _host("monitoring-1")


class Prometheus:
    """Prometheus on the monitoring host, asked there: it listens on loopback."""

    def __init__(self, host) -> None:
        self.host = host

    def get(self, path: str, port: int = 9090, **parameters) -> dict:
        """Return what an address of its API answers."""
        query = urllib.parse.urlencode(parameters)
        text = self.host.check_output(
            "curl -sS -u vllm:%s '127.0.0.1:%d%s%s'" % (PASSWORD, port, path, "?" + query if query else "")
        )
        return json.loads(text)

    def value(self, expr: str) -> list[dict]:
        """Return the samples of an expression now."""
        found = self.get("/api/v1/query", query=expr)
        assert found["status"] == "success", found
        return found["data"]["result"]

    def wait(self, expr: str, seconds: float = 60) -> list[dict]:
        """Return the samples of an expression once it has some."""
        end = time.monotonic() + seconds
        while not (found := self.value(expr)):
            assert time.monotonic() < end, "%s has no sample after %d s" % (expr, seconds)
            time.sleep(1)
        return found


@pytest.fixture(scope="session")
def prometheus(monitoring):
    """Prometheus' API."""
    return Prometheus(monitoring)


@pytest.fixture(scope="session", autouse=True)
def receiver(monitoring):
    """Run the loopback receiver; returns a function that lists what it was told."""
    text = base64.b64encode((HERE / "receiver.py").read_bytes()).decode()
    monitoring.check_output("echo %s | base64 -d > /var/tmp/receiver.py" % text)
    monitoring.check_output(
        "systemctl is-active -q receiver || systemd-run --unit=receiver python3 /var/tmp/receiver.py 9099 %s" % TOLD
    )

    def told(since: float = 0) -> list[dict]:
        lines = monitoring.run("cat %s 2>/dev/null" % TOLD).stdout.splitlines()
        return [alert for alert in map(json.loads, lines) if alert["at"] >= since]

    return told


@pytest.fixture
def provoked(monitoring, prometheus, receiver):
    """Return a function that brings a fault about and notes after how many seconds which alerts were told.

    The arguments: what the fault is, the expected alerts, what brings it about, and what ends it. It returns the first
    telling of each alert, by name.
    """

    def provoke(what: str, alerts: tuple[str, ...], begin, end=None, seconds: float = 150) -> dict[str, dict]:
        start = now(monitoring)
        begin()
        try:
            until = time.monotonic() + seconds
            while True:
                found: dict[str, dict] = {}
                for one in receiver(start):
                    if one["status"] == "firing":
                        found.setdefault(one["alertname"], one)
                if set(alerts) <= set(found):
                    break
                assert time.monotonic() < until, "%s not told within %d s of %s; told: %s" % (
                    ", ".join(sorted(set(alerts) - set(found))), seconds, what, ", ".join(sorted(found)),
                )  # fmt: skip
                time.sleep(1)
        finally:
            if end:
                end()
        others = ", ".join(sorted({one["alertname"] for one in receiver(start)} - set(alerts))) or "-"
        for alert in alerts:
            _ROWS.append((what, alert, found[alert]["severity"], "%.0f" % (found[alert]["at"] - start), others))
        return {alert: found[alert] for alert in alerts}

    return provoke


def pytest_terminal_summary(terminalreporter) -> None:
    """Print after how many seconds each fault was told."""
    if not _ROWS:
        return
    head = ("fault", "alert", "severity", "seconds to the notification", "told with it")
    terminalreporter.section("alerts")
    for row in (head, tuple("---" for _ in head), *_ROWS):
        terminalreporter.write_line("| %s |" % " | ".join(row))
