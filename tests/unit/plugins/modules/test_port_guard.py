# SPDX-License-Identifier: GPL-3.0-or-later
"""The module port_guard and the programs that it writes; the rules are tried in the scenario vllm_port_guard."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import port_guard

SOURCES = ["10.1.0.0/16", "192.0.2.7/32", "2001:db8:1::/48"]


@pytest.mark.parametrize("backend", port_guard.BACKENDS)
def test_program_is_sound(tmp_path, backend) -> None:
    """A shell reads it, and it knows its four words."""
    path = tmp_path / "guard"
    path.write_text(port_guard.program("vllm-medium", 5002, SOURCES, backend), encoding="utf-8")
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    done = subprocess.run(["sh", str(path), "nonsense"], check=False, capture_output=True, text=True)
    assert (done.returncode, "usage" in done.stderr) == (2, True)


def test_rules_of_iptables() -> None:
    """Each family has its own sources; what is not among them is dropped, the host itself is not."""
    text = port_guard.program("vllm-medium", 5002, SOURCES, "iptables")
    chain = port_guard.chain_prefix("vllm-medium") + "5002"
    assert len(chain) <= 28
    four, six = (text.split("%s '" % tool)[1].split("'")[0] for tool in ("iptables-restore", "ip6tables-restore"))
    lines = ["-A %s %s" % (chain, rule) for rule in ("-i lo -j RETURN", "-s 10.1.0.0/16 -j RETURN",
                                                     "-s 192.0.2.7/32 -j RETURN", "-j DROP")]  # fmt: skip
    assert four.splitlines() == ["*filter", ":%s - [0:0]" % chain, *lines, "COMMIT"]
    assert "-s 2001:db8:1::/48 -j RETURN" in six and "10.1.0.0" not in six
    assert "there iptables 4 && there ip6tables 3" in text


#: STAND-INS: they take every command, and as ip6tables of a kernel without IPv6 none.
TAKES = "cat >/dev/null </dev/stdin; case $* in *' -S '*) for rule in 1 2 3 4; do echo -A $rule; done;; esac"
REFUSES = 'echo "can\'t initialize ip6tables table: Address family not supported by protocol" >&2; exit 3'


@pytest.mark.parametrize(
    ("there", "six", "kernel", "status"),
    [
        (True, TAKES, True, 0),
        # booted with ipv6.disable=1: nothing comes in by it
        (True, REFUSES, False, 0),
        (True, REFUSES, True, 1),
        # nobody is kept out then, which must not look as if all were well
        (False, TAKES, True, 1),
        (True, None, True, 1),
    ],
)
def test_families_of_iptables(there, six, kernel, status, tmp_path, tools, bare_path) -> None:
    """What cannot be guarded is a failure, both when rules are set and when they are looked at."""
    folder = tmp_path / "bin"
    for name, script in (("iptables", TAKES if there else None), ("ip6tables", six)):
        for tool in (name, name + "-restore"):
            if script is not None:
                folder = tools(tool, script)
    sign = tmp_path / "if_inet6"
    if kernel:
        sign.touch()
    program = tmp_path / "guard"
    text = port_guard.program(
        "vllm-medium", 5002, ["192.0.2.0/24", "198.51.100.7", "2001:db8::/64", "fe80::1"], "iptables"
    )
    program.write_text(text.replace("/proc/net/if_inet6", str(sign)), encoding="utf-8")
    path = {"PATH": "%s:%s" % (folder, bare_path)}
    for word in ("up", "check"):
        done = subprocess.run(
            ["sh", str(program), word], check=False, capture_output=True, text=True, env=path, input=""
        )
        assert bool(done.returncode) is bool(status), (word, done.stderr)


def test_rules_of_nftables() -> None:
    text = port_guard.program("vllm-my-small", 5003, ["10.1.0.0/16"], "nftables")
    assert "table inet myia_vllm_my_small_5003 {" in text and "tcp dport != 5003 return" in text
    assert "ip saddr { 10.1.0.0/16 } return" in text and "ip6 saddr" not in text
    assert text.index("ip saddr") < text.index("        drop")


def test_services_have_chains_of_their_own() -> None:
    """The chains of one are not swept away by another whose name begins alike."""
    one, other = port_guard.chain_prefix("vllm-a"), port_guard.chain_prefix("vllm-ab")
    assert not one.startswith(other) and not other.startswith(one)


@pytest.mark.parametrize(
    ("info", "iptables", "backend"),
    [
        ((0, '{"ServerVersion":"26.1.5"}'), 0, "iptables"),
        ((0, '{"FirewallBackend":{"Driver":"iptables"}}'), 0, "iptables"),
        ((0, '{"FirewallBackend":{"Driver":"nftables"}}'), 0, "nftables"),
        ((127, ""), 127, "nftables"),
        ((1, ""), 0, "iptables"),
    ],
)
def test_backend(info, iptables, backend) -> None:
    """What Docker uses itself."""
    answers = {"docker": (*info, ""), "iptables": (iptables, "", "")}
    assert port_guard.backend_of(lambda argv: answers[argv[0]]) == backend


def test_unit_comes_before_docker() -> None:
    text = port_guard.unit("vllm-medium")
    assert "Before=docker.service" in text and "ExecStart=/usr/local/lib/myia-vllm/port-guard-vllm-medium up" in text
    # stopping it, as a restart of Docker does, must not open the port
    assert "ExecStop" not in text


def test_absent_where_nothing_is(run_module, documentation) -> None:
    """Nothing to take away is no change."""
    answer = run_module("port_guard", project="vllm-of-the-tests", state="absent")
    assert answer["changed"] is False
    assert set(answer) - {"changed", "diff", "invocation", "_output"} == set(documentation("port_guard", "RETURN"))


def test_check_mode_writes_nothing(run_module, tools, bare_path) -> None:
    path = tools("systemctl", "exit 1")
    answer = run_module("port_guard", check=True, project="vllm-of-the-tests", port=5002, sources=SOURCES,
                        backend="iptables", search="%s:%s" % (path, bare_path))  # fmt: skip
    assert (answer["changed"], answer["backend"]) == (True, "iptables")
    assert port_guard.written("vllm-of-the-tests") == ("", "")
