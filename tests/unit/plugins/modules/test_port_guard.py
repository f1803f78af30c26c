# SPDX-License-Identifier: GPL-3.0-or-later
"""The module port_guard and the programs that it writes; the rules are tried in the scenario vllm_port_guard."""

from __future__ import annotations

import shutil
import subprocess
import types

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import port_guard
from ansible_collections.myia.vllm.plugins.modules import port_guard as module

SOURCES = ["10.1.0.0/16", "192.0.2.7/32", "2001:db8:1::/48"]


@pytest.mark.parametrize("backend", port_guard.BACKENDS)
def test_program_is_sound(tmp_path, backend) -> None:
    """A shell reads it, and it knows its four words."""
    path = tmp_path / "guard"
    path.write_text(port_guard.program("vllm-medium", [5002], SOURCES, backend), encoding="utf-8")
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    done = subprocess.run(["sh", str(path), "nonsense"], check=False, capture_output=True, text=True)
    assert (done.returncode, "usage" in done.stderr) == (2, True)


def test_rules_of_iptables() -> None:
    """Each family has its own sources; what is not among them is dropped, the host itself is not."""
    text = port_guard.program("vllm-medium", [5002], SOURCES, "iptables")
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
        "vllm-medium", [5002], ["192.0.2.0/24", "198.51.100.7", "2001:db8::/64", "fe80::1"], "iptables"
    )
    program.write_text(text.replace("/proc/net/if_inet6", str(sign)), encoding="utf-8")
    path = {"PATH": "%s:%s" % (folder, bare_path)}
    for word in ("up", "check"):
        done = subprocess.run(
            ["sh", str(program), word], check=False, capture_output=True, text=True, env=path, input=""
        )
        assert bool(done.returncode) is bool(status), (word, done.stderr)


def in_a_network_of_its_own() -> bool:
    """Tell whether rules can be set for real without being this machine's."""
    if not shutil.which("unshare") or not shutil.which("iptables"):
        return False
    return subprocess.run(["unshare", "-n", "iptables", "-S"], check=False, capture_output=True).returncode == 0


def lived(tmp_path, script: str, **programs: str) -> list[str]:
    """Run a script in a network of its own, where the programs are its functions; return its lines."""
    lines = ["set -e"]
    for name, body in programs.items():
        path = tmp_path / name
        path.write_text(body, encoding="utf-8")
        lines.append('%s() { sh %s "$@"; }' % (name, path))
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", "\n".join([*lines, script])], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# `make test` runs as root on machines that have both; the containers of other cores lack iptables
real = pytest.mark.skipif(not in_a_network_of_its_own(), reason="needs root, unshare and iptables")


#: Says how many rules lead to the chain of each port, of both families.
SEEN = """
seen() {
    for port in 5002 5003; do { iptables -S; ip6tables -S; } | grep -c -e "-j %s$port" || true; done | tr '\\n' ' '
    echo
}
""" % port_guard.chain_prefix("p")


@real
def test_the_port_that_is_left_stays_guarded(tmp_path) -> None:
    """Both are, after a reboot too; sweeping takes the old one away and down all of it."""
    old, both, new = (port_guard.program("p", ports, SOURCES, "iptables") for ports in ([5002], [5003, 5002], [5003]))
    steps = [
        "old up; old check; seen",
        "both up; both check; seen",
        "both up; seen",
        "new sweep; new check; seen",
        "if old check; then exit 1; fi",
        "new down; seen",
        "if { iptables -S; ip6tables -S; } | grep -i myia; then exit 1; fi",
        "both up; both check; seen",
    ]
    seen = lived(tmp_path, SEEN + "\n".join(steps), old=old, both=both, new=new)
    # in DOCKER-USER and in INPUT, of IPv4 and IPv6
    assert [line.strip() for line in seen] == ["4 0", "4 4", "4 4", "0 4", "0 0", "4 4"]


@real
def test_a_kernel_without_ipv6(tmp_path) -> None:
    """There ip6tables only fails, and there is nobody to keep out."""
    text = port_guard.program("p", [5002], SOURCES, "iptables")
    without = text.replace("/proc/net/if_inet6", str(tmp_path / "no-such-file"))
    for guard, rules in ((without, ["2", "0"]), (text, ["2", "2"])):
        steps = (
            "guard up; guard check; for tool in iptables ip6tables; do $tool -S | grep -c -e '-j MYIA' || true; done"
        )
        assert lived(tmp_path, steps, guard=guard) == rules


def test_ports_of_a_program() -> None:
    """It is what tells a later run which port was left."""
    for backend in port_guard.BACKENDS:
        assert port_guard.ports_of(port_guard.program("p", [5003, 5002], SOURCES, backend)) == [5003, 5002]
    assert port_guard.ports_of("") == []


@pytest.mark.parametrize(("sweep", "ports"), [(False, [5002, 5003]), (True, [5003])])
def test_a_port_is_left_when_it_is_swept(monkeypatch, sweep, ports) -> None:
    """Not before: a deployment that fails goes back to it."""
    before = (port_guard.program("p", [5002], SOURCES, "iptables"), port_guard.unit("p"))
    monkeypatch.setattr(module, "run", lambda _argv: (0, "", "", False))
    asked = {"port": 5003, "sources": SOURCES, "backend": "iptables", "sweep": sweep}
    answer = module.present(types.SimpleNamespace(params=asked, check_mode=True), "p", before)
    assert (answer["changed"], answer["ports"]) == (True, ports)
    done = (port_guard.program("p", ports, SOURCES, "iptables"), port_guard.unit("p"))
    again = module.present(types.SimpleNamespace(params=asked, check_mode=True), "p", done)
    assert (again["changed"], again["ports"]) == (False, ports)


def test_tables_of_both_ports() -> None:
    text = port_guard.program("p", [5003, 5002], SOURCES, "nftables")
    assert "table inet myia_p_5003 {" in text and "table inet myia_p_5002 {" in text
    assert "tcp dport != 5003 return" in text and "tcp dport != 5002 return" in text


def test_rules_of_nftables() -> None:
    text = port_guard.program("vllm-my-small", [5003], ["10.1.0.0/16"], "nftables")
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
