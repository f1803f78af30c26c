# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of containers in another host's files, as docs/monitoring.md has it."""

from __future__ import annotations

import base64
import pathlib
import re
import time

import pytest

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "monitoring.md"
IMAGE, CONF = "myia-vllm-cpu:0.32.0", "/etc/rsyslog.d/60-vllm.conf"

#: Longest wait for a line, in seconds: an action that was refused is tried again after 30.
_WAIT_S = 90


@pytest.fixture
def central(node, monitoring):
    """Install rsyslog on both hosts with what the page says; everything is gone afterwards."""
    text = DOCS.read_text(encoding="utf-8")
    sender, receiver = re.search(
        r"^# \S+ on the service host\n(.*?)\n\n# \S+ on the receiver[^\n]*\n(.*?)\n```", text, re.DOTALL | re.MULTILINE
    ).groups()
    address = monitoring.check_output("hostname -I").split()[0]
    for host, conf in ((monitoring, receiver), (node, sender)):
        host.check_output("apt-get -qq install -y --no-install-recommends rsyslog")
        conf = base64.b64encode((conf.replace("192.0.2.20", address) + "\n").encode()).decode()
        host.check_output("echo %s | base64 -d > %s && rsyslogd -N1 && systemctl restart rsyslog" % (conf, CONF))
    yield monitoring
    for host in (node, monitoring):
        host.run("apt-get -qq purge -y rsyslog; rm -rf %s /var/log/vllm /var/lib/rsyslog /var/spool/rsyslog" % CONF)


def speak(node, name: str, words: str) -> None:
    """Have a container say something into the journal."""
    run = "docker run --rm --log-driver journald --name %s --entrypoint echo %s %s"
    node.check_output(run % (name, IMAGE, words))


def heard(host, words: str) -> bool:
    """Whether the other host has the words in its file."""
    return host.run("grep -rq %s /var/log/vllm" % words).rc == 0


def wait(host, words: str) -> None:
    """Wait for words."""
    end = time.monotonic() + _WAIT_S
    while not heard(host, words):
        assert time.monotonic() < end, host.run("ls -R /var/log/vllm; journalctl -u rsyslog -n 20").stdout
        time.sleep(1)


@pytest.mark.full
def test_lines_reach_another_host(node, central) -> None:
    """Those of our containers, and none of others; what is said while the other side is down comes later."""
    speak(node, "neighbour", "not-for-you")
    speak(node, "vllm-spoken", "first-words")
    wait(central, "first-words")
    assert not heard(central, "not-for-you")
    central.check_output("systemctl stop rsyslog.service syslog.socket; systemctl mask --now rsyslog")
    try:
        speak(node, "vllm-spoken", "later-words")
        time.sleep(5)
    finally:
        central.check_output("systemctl unmask rsyslog && systemctl start rsyslog")
    speak(node, "vllm-spoken", "last-words")
    wait(central, "last-words")
    wait(central, "later-words")
