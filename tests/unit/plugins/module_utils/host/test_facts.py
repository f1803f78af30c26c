# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a host, from samples of what hosts say and from a real socket of this process."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.myia.vllm.plugins.module_utils.host import facts as host_facts

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:138A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1111 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2222 1 0 100 0 0 10 0
   2: 0100007F:138A 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3333 1 0 20 4 30 10 -1
   3: 0100007F:C350 0100007F:138A 01 00000000:00000000 00:00000000 00000000     0        0 4444 1 0 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr inode
   0: 00000000000000000000000000000000:138A 00000000000000000000000000000000:0000 0A 0:0 00:0 0  0  0 5555 1 0 100 0
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('ID=debian\nVERSION_ID="12"\n', {"ID": "debian", "VERSION_ID": "12"}, id="debian"),
        pytest.param("ID='rocky'\nID_LIKE=\"rhel centos\"", {"ID": "rocky", "ID_LIKE": "rhel centos"}, id="rocky"),
        pytest.param("# a=b\n\n  X=1  \nbroken\n", {"X": "1"}, id="comments"),
        pytest.param("URL=https://x/?a=b\n", {"URL": "https://x/?a=b"}, id="equals-in-value"),
        pytest.param("", {}, id="empty"),
    ],
)
def test_os_release(text, expected) -> None:
    """Keys and values, quotes off."""
    assert host_facts.os_release(text) == expected


@pytest.mark.parametrize(
    ("port", "inodes"),
    [
        pytest.param(5002, ["1111", "5555"], id="both-families"),
        pytest.param(8080, ["2222"], id="one"),
        pytest.param(50000, [], id="client-side-of-a-connection"),
        pytest.param(1, [], id="nobody"),
    ],
)
def test_listening_inodes(port, inodes) -> None:
    """Only sockets in state LISTEN count, connections do not."""
    assert host_facts.listening_inodes(port, [TCP, TCP6, ""]) == inodes


def test_owner_of_a_real_socket() -> None:
    """The kernel's tables lead to this very process."""
    tables = [path.read_text() for path in map(pathlib.Path, ("/proc/net/tcp", "/proc/net/tcp6")) if path.exists()]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert host_facts.listening_inodes(port, tables) == []
        sock.listen()
        tables = [pathlib.Path("/proc/net/tcp").read_text()]
        inodes = host_facts.listening_inodes(port, tables)
        assert len(inodes) == 1
        owner = host_facts.owner_of(inodes)
    assert owner["pid"] == os.getpid()
    assert owner["command"] == pathlib.Path("/proc/self/comm").read_text().strip()


def test_owner_of_nobody() -> None:
    """A socket that no visible process holds has no owner."""
    assert host_facts.owner_of(["999999999999"]) == {}
    assert host_facts.owner_of([]) == {}


def test_free_gib(tmp_path) -> None:
    """A folder that does not exist yet counts as its nearest parent."""
    here = host_facts.free_gib(str(tmp_path))
    assert here is not None
    assert here == pytest.approx(host_facts.free_gib(str(tmp_path / "a" / "b" / "c")), abs=1)
    stat = os.statvfs(tmp_path)
    assert here == pytest.approx(stat.f_bavail * stat.f_frsize / 1024**3, abs=1)


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        pytest.param("127.0.0.1:5002->5002/tcp", True, id="one-address"),
        pytest.param("0.0.0.0:5002->8000/tcp, :::5002->8000/tcp", True, id="other-inside"),
        pytest.param("[::]:5002->8000/tcp", True, id="6-only"),
        pytest.param("0.0.0.0:8000->5002/tcp", False, id="inside-only"),
        pytest.param("5002/tcp", False, id="exposed-only"),
        pytest.param("0.0.0.0:15002->5002/tcp", False, id="longer-number"),
        pytest.param("0.0.0.0:5002->5002/udp", False, id="udp"),
        pytest.param("0.0.0.0:5000-5003->5000-5003/tcp", True, id="inside-a-range"),
        pytest.param("0.0.0.0:5000-5001->5000-5001/tcp", False, id="outside-a-range"),
        pytest.param("", False, id="none"),
    ],
)
def test_containers_on_port(ports, found) -> None:
    """Only the host side of a published TCP port counts; Docker joins neighbouring ports to a range."""
    line = 'name\tproject\t"%s"\n' % ports
    expected = [{"name": "name", "project": "project"}] if found else []
    assert host_facts.containers_on_port(lambda argv: (0, line, ""), 5002) == expected


def test_containers_without_project() -> None:
    """A container that Compose did not start has an empty project; a failing docker gives nothing."""
    line = 'web\t\t"0.0.0.0:5002->80/tcp"\n'
    assert host_facts.containers_on_port(lambda argv: (0, line, ""), 5002) == [{"name": "web", "project": ""}]
    assert host_facts.containers_on_port(lambda argv: (1, line, "boom"), 5002) == []


def test_container_named() -> None:
    """Only the whole name counts, whatever signs are in it."""
    asked = []

    def run(argv):
        asked.extend(argv)
        return 0, "a.b\tvllm-chat\n", ""

    assert host_facts.container_named(run, "a.b") == {"name": "a.b", "project": "vllm-chat"}
    assert "name=^/a\\.b$" in asked
    assert host_facts.container_named(lambda argv: (0, "x\t\n", ""), "x") == {"name": "x", "project": ""}
    assert host_facts.container_named(lambda argv: (0, "", ""), "x") is None
    assert host_facts.container_named(lambda argv: (1, "x", ""), "x") is None


def test_own_containers() -> None:
    """All containers of the project, running or not."""
    asked = []

    def run(argv):
        asked.extend(argv)
        return 0, "a\nb\n", ""

    assert host_facts.own_containers(run, "vllm-medium") == ["a", "b"]
    assert "label=com.docker.compose.project=vllm-medium" in asked
    assert "--all" in asked
    assert host_facts.own_containers(lambda argv: (1, "x", ""), "p") == []


def test_tls_problem(certificate, tmp_path) -> None:
    """What vLLM would die of minutes later is said now, without a question on a terminal."""
    other = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    plain, locked, text = (tmp_path / name for name in ("plain.key", "locked.key", "text"))
    plain.write_bytes(other.private_bytes(*form, serialization.NoEncryption()))
    locked.write_bytes(other.private_bytes(*form, serialization.BestAvailableEncryption(b"PLANTED")))
    text.write_text("no certificate")

    def problem(first: pathlib.Path, second: pathlib.Path) -> str:
        return host_facts.tls_problem(str(first), str(second))

    assert problem(certificate, certificate) == ""
    assert problem(certificate, tmp_path / "gone") == ""
    assert problem(certificate, plain) == "KEY_VALUES_MISMATCH"
    assert problem(certificate, locked) == "the key needs a password"
    assert problem(text, certificate)
    assert problem(tmp_path, certificate)


def test_addresses() -> None:
    """Those that others may reach: none of Docker's own networks, swarm's among them."""
    text = (
        "2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever\n"
        "2: eth0    inet6 2001:db8::1/64 scope global \\       valid_lft forever\n"
        "3: docker0    inet 172.17.0.1/16 scope global docker0\n"
        "5: docker_gwbridge    inet 172.19.0.1/16 scope global docker_gwbridge\n"
        "7: br-0123    inet 172.18.0.1/16 scope global br-0123\n"
    )
    assert host_facts.addresses(lambda _argv: (0, text, "")) == ["192.0.2.10", "2001:db8::1"]
    assert host_facts.addresses(lambda _argv: (127, "", "ip: not found")) == []
