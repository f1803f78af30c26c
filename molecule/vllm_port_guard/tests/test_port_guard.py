# SPDX-License-Identifier: GPL-3.0-or-later
"""The role vllm_port_guard: another machine reaches the published port only where it may, by IPv4 and IPv6."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest
import testinfra

INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
testinfra_hosts = ["ansible://guard-1"]
NODE, CLIENT = "myia-vllm_port_guard-guard-1", "myia-vllm_port_guard-client-1"
NODE6, CLIENT6 = "fd00:6d79::1", "fd00:6d79::2"
PORT = 5002


@pytest.fixture(scope="module")
def client():
    """The other machine."""
    return testinfra.get_host("ansible://client-1?ansible_inventory=%s" % INVENTORY)


@pytest.fixture(scope="module")
def node(web_image):
    """The host, whose port a container holds: IPv4 by Docker's rules, IPv6 by its proxy."""
    found = testinfra.get_host("ansible://guard-1?ansible_inventory=%s" % INVENTORY)
    found.run(web_image)
    serve(found)
    return found


def serve(host, *flags: str) -> None:
    """Start the container, and give both machines their IPv6 addresses."""
    for name, address in ((NODE, NODE6), (CLIENT, CLIENT6)):
        subprocess.run(
            ["docker", "exec", name, "sh", "-c",
             "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0; "
             "ip -6 addr replace %s/64 dev eth0 nodad" % address],
            check=True, capture_output=True,
        )  # fmt: skip
    published = " ".join(flags) or "-p %d:8000" % PORT
    port = 8000 if not flags else PORT
    host.check_output(
        "docker rm -f web 2>/dev/null; "
        "docker run -d --name web %s standin-web:0.32.0 /usr/bin/python3 -m http.server %d --bind ::"
        % (published, port)
    )
    # by both families, or it would show nothing that the other machine does not reach it
    deadline = time.monotonic() + 30
    while True:
        silent = [
            place
            for place in ("127.0.0.1", "[::1]")
            if host.run("curl -sf -o /dev/null http://%s:%d/" % (place, PORT)).rc != 0
        ]
        if not silent:
            return
        assert time.monotonic() < deadline, (silent, host.run("docker ps -a; docker logs web; ss -ltn").stdout)
        time.sleep(0.5)


def address(name: str) -> str:
    """IPv4 address of a machine."""
    seen = json.loads(subprocess.run(["docker", "inspect", name], check=True, capture_output=True, text=True).stdout)
    return next(iter(seen[0]["NetworkSettings"]["Networks"].values()))["IPAddress"]


def reached(host) -> dict[str, bool]:
    """Tell by which family a machine reaches the port."""
    places = {"4": address(NODE), "6": "[%s]" % NODE6}
    return {
        family: host.run("curl -s -o /dev/null -m 3 http://%s:%d/" % (place, PORT)).rc == 0
        for family, place in places.items()
    }


BOTH, NONE = {"4": True, "6": True}, {"4": False, "6": False}


def allow(play, *sources: str) -> None:
    """Say who may reach the port."""
    done = play("-e", json.dumps({"vllm_allowed_sources": list(sources)}))
    assert done.status == 0, done.output


def test_others_are_kept_out_and_the_host_is_not(node, client) -> None:
    """As converge has left it; without the rules the port would be open, as the last test shows."""
    assert reached(client) == NONE
    assert reached(node) == BOTH
    assert node.run("curl -sf -o /dev/null http://127.0.0.1:%d/" % PORT).rc == 0


def test_who_may_is_let_in(play, node, client) -> None:
    """Each family by itself."""
    allow(play, address(CLIENT))
    assert reached(client) == {"4": True, "6": False}
    allow(play, CLIENT6, "203.0.113.0/24")
    assert reached(client) == {"4": False, "6": True}
    allow(play, "203.0.113.0/24")
    assert reached(client) == NONE


def test_a_restart_of_docker_opens_nothing(node, client) -> None:
    """Docker writes its own rules anew."""
    node.check_output("systemctl restart docker")
    serve(node)
    assert reached(client) == NONE


def test_a_reboot_opens_nothing(play, node, client) -> None:
    """The unit sets the rules before Docker starts."""
    subprocess.run(["docker", "restart", NODE], check=True, capture_output=True)
    deadline = time.monotonic() + 60
    while node.run("docker info").rc != 0:
        assert time.monotonic() < deadline
        time.sleep(1)
    started = {
        unit: int(node.check_output("systemctl show -p ActiveEnterTimestampMonotonic --value %s" % unit))
        for unit in ("docker.service", "myia-vllm-port-guard-vllm-medium.service")
    }
    assert started["myia-vllm-port-guard-vllm-medium.service"] < started["docker.service"]
    serve(node)
    assert reached(client) == NONE
    assert play().recap["changed"] == 0


def test_the_host_network(node, client) -> None:
    """Docker publishes nothing then; the rules in INPUT stand before the program itself."""
    serve(node, "--network", "host")
    assert reached(client) == NONE
    serve(node)


def test_rules_that_somebody_took_away_are_set_again(play, node, client) -> None:
    node.check_output("iptables -w -F DOCKER-USER")
    assert reached(client)["4"]
    done = play()
    assert done.status == 0 and done.recap["changed"] == 1, done.output
    assert reached(client) == NONE


def test_removal_takes_everything_away(play, node, client) -> None:
    """By remove_medium.yml; the port is open then, which shows that it was the rules that kept others out."""
    root = pathlib.Path(__file__).resolve().parents[3]
    done = play(playbook=str(root / "remove_medium.yml"))
    assert done.status == 0, done.output
    serve(node)
    # the other machine may have to look for its neighbour's address again
    deadline = time.monotonic() + 30
    while reached(client) != BOTH and time.monotonic() < deadline:
        time.sleep(1)
    assert reached(client) == BOTH
    left = "iptables -S; ip6tables -S; ls /usr/local/lib /etc/systemd/system; systemctl list-unit-files"
    assert "myia" not in node.check_output(left).lower()
