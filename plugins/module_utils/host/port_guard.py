# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep others from a port that Docker publishes. Python standard library only; runs on target hosts.

Docker's own rules let everybody in before ufw or firewalld are asked. What is set here stands in front of them:

- with iptables, in DOCKER-USER (what Docker forwards to a container) and in INPUT (its proxy, which carries IPv6 where
  Docker has no rules for it, and a container in the host's network), for IPv4 and IPv6;
- with nftables, in a table of its own before the address is translated, so that nothing depends on Docker.

A program of the host holds the rules, and a systemd unit runs it before Docker starts, so that there is no moment
without them. Docker leaves DOCKER-USER as it finds it (moby, daemon/libnetwork/drivers/bridge: setupUserChain).

Private to this collection; may change at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil

from ansible_collections.myia.vllm.plugins.module_utils.common import files

#: Where program and unit lie.
PROGRAMS, UNITS = "/usr/local/lib/myia-vllm", "/etc/systemd/system"

BACKENDS = ("iptables", "nftables")

_UNIT = """\
# Written by the Ansible collection myia.vllm: vllm_allowed_sources of {project}.
[Unit]
Description=Keep others from the port of {project}
DefaultDependencies=no
After=sysinit.target firewalld.service ufw.service nftables.service netfilter-persistent.service
Before=docker.service
# what empties the host's rules is followed by this unit
PartOf=docker.service firewalld.service nftables.service netfilter-persistent.service
ReloadPropagatedFrom=firewalld.service nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} up
ExecReload={program} up

[Install]
WantedBy=multi-user.target docker.service
"""

_IPTABLES = """\
#!/bin/sh
# Written by the Ansible collection myia.vllm: vllm_allowed_sources of {project}. Usage: up, sweep (away with those of
# another port), down, check
set -u
prefix={prefix} chain={chain} port={port}

# a kernel without IPv6 (ipv6.disable=1) lets nothing in by it, and ip6tables fails there
has() {{
    [ "$1" = iptables ] || [ -e /proc/net/if_inet6 ]
}}

# one family: its command, its restore command, what is sent to it
family() {{
    has "$1" || return 0
    "$1" -w -N DOCKER-USER 2>/dev/null
    # in one step: the chain is never empty
    printf '%s' "$3" | "$2" -w --noflush || return 1
    jump "$1" DOCKER-USER -p tcp -m conntrack --ctstate DNAT --ctorigdstport "$port" --ctdir ORIGINAL -j "$chain" &&
        jump "$1" INPUT -p tcp --dport "$port" -j "$chain"
}}

jump() {{
    tool=$1 into=$2
    shift 2
    "$tool" -w -C "$into" "$@" 2>/dev/null || "$tool" -w -I "$into" 1 "$@"
}}

# take the rules of this service away, but those of the chain $2
away() {{
    has "$1" || return 0
    for into in DOCKER-USER INPUT; do
        "$1" -w -S "$into" 2>/dev/null | grep -e " -j $prefix" | grep -v -e " -j $2\\$" | while read -r _add rule; do
            # its words are the arguments
            "$1" -w -D $rule
        done
    done
    "$1" -w -S 2>/dev/null | grep -e "^-N $prefix" | grep -v -e " $2\\$" | while read -r _new name; do
        "$1" -w -F "$name" && "$1" -w -X "$name"
    done
    return 0
}}

there() {{
    has "$1" || return 0
    "$1" -w -C DOCKER-USER -p tcp -m conntrack --ctstate DNAT --ctorigdstport "$port" --ctdir ORIGINAL \\
        -j "$chain" 2>/dev/null &&
        "$1" -w -C INPUT -p tcp --dport "$port" -j "$chain" 2>/dev/null &&
        [ "$("$1" -w -S "$chain" 2>/dev/null | grep -c '^-A')" = "$2" ]
}}

case ${{1-}} in
up) family iptables iptables-restore '{rules4}' && family ip6tables ip6tables-restore '{rules6}' ;;
sweep) away iptables "$chain"; away ip6tables "$chain" ;;
down) away iptables none; away ip6tables none ;;
check) there iptables {count4} && there ip6tables {count6} ;;
*) echo "usage: $0 up|sweep|down|check" >&2; exit 2 ;;
esac
"""

_NFTABLES = """\
#!/bin/sh
# Written by the Ansible collection myia.vllm: vllm_allowed_sources of {project}. Usage: up, sweep (away with those of
# another port), down, check
set -u
away() {{
    nft list tables 2>/dev/null | grep -e " inet {prefix}[0-9]*\\$" | grep -v -e " $1\\$" |
        while read -r _table family name; do
            nft delete table "$family" "$name"
        done
}}
case ${{1-}} in
up) nft -f - <<'END'
{rules}END
    ;;
sweep) away {table} ;;
down) away none ;;
check) nft list table inet {table} >/dev/null 2>&1 ;;
*) echo "usage: $0 up|sweep|down|check" >&2; exit 2 ;;
esac
"""


def paths(project: str) -> tuple[str, str]:
    """Return where program and unit of a Compose project lie."""
    return os.path.join(PROGRAMS, "port-guard-%s" % project), os.path.join(UNITS, unit_name(project))


def unit_name(project: str) -> str:
    """Return the name of the systemd unit."""
    return "myia-vllm-port-guard-%s.service" % project


def unit(project: str) -> str:
    """Return the text of the systemd unit."""
    return _UNIT.format(project=project, program=paths(project)[0])


def program(project: str, port: int, sources: list[str], backend: str) -> str:
    """Return the program that sets the rules, looks at them and takes them away.

    Args:
        project: name of the Compose project.
        port: the published port.
        sources: networks that may reach it, of both families, as ``ipaddress`` writes them.
        backend: one of :data:`BACKENDS`.
    """
    families = ([s for s in sources if ":" not in s], [s for s in sources if ":" in s])
    if backend == "nftables":
        prefix = "myia_%s_" % re.sub(r"\W", "_", project)
        table = "%s%d" % (prefix, port)
        rules = _nft_rules(table, port, *families)
        return _NFTABLES.format(project=project, prefix=prefix, table=table, rules=rules)
    prefix = chain_prefix(project)
    chain = "%s%d" % (prefix, port)
    restores = []
    for own in families:
        lines = ["-i lo -j RETURN", *("-s %s -j RETURN" % source for source in own), "-j DROP"]
        restores.append("*filter\n:%s - [0:0]\n%sCOMMIT\n" % (chain, "".join("-A %s %s\n" % (chain, x) for x in lines)))
    return _IPTABLES.format(
        project=project,
        prefix=prefix,
        chain=chain,
        port=port,
        rules4=restores[0],
        rules6=restores[1],
        count4=len(families[0]) + 2,
        count6=len(families[1]) + 2,
    )


def chain_prefix(project: str) -> str:
    """Return the beginning of the names of the service's chains, before the port: iptables takes 28 signs."""
    return "MYIA-VLLM-%s-" % hashlib.sha256(project.encode()).hexdigest()[:8]


def _nft_rules(table: str, port: int, sources4: list[str], sources6: list[str]) -> str:
    sets = [("ip", sources4), ("ip6", sources6)]
    allowed = ["%s saddr { %s } return" % (family, ", ".join(own)) for family, own in sets if own]
    lines = [
        "table inet %s {}" % table,
        "delete table inet %s" % table,
        "table inet %s {" % table,
        "    chain guard {",
        # behind the tracking of connections, before Docker translates the address (priority dstnat, -100)
        "        type filter hook prerouting priority -150; policy accept;",
        "        tcp dport != %d return" % port,
        '        iifname "lo" return',
        # what this host only passes on to others is none of its business
        "        fib daddr type != local return",
        *("        " + line for line in allowed),
        "        drop",
        "    }",
        "}",
    ]
    return "".join(line + "\n" for line in lines)


def backend_of(run) -> str:
    """Return what sets the rules: nftables where Docker uses that itself, or where iptables is not there.

    Args:
        run: function of an argument list that returns (exit status, standard output, standard error).
    """
    status, out, _err = run(["docker", "info", "--format", "{{json .}}"])[:3]
    native = status == 0 and re.search(r'"FirewallBackend":\s*\{[^}]*"Driver":\s*"nftables', out)
    there = run(["iptables", "--version"])[0] == 0
    return "iptables" if there and not native else "nftables"


def is_nftables(text: str) -> bool:
    """Tell whether a program sets its rules with nftables."""
    return "nft -f" in text


def written(project: str) -> tuple[str, str]:
    """Return the texts of program and unit that are on the host; empty without them."""
    return tuple(files.read_text(path) for path in paths(project))  # type: ignore[return-value]


def write(project: str, texts: tuple[str, str]) -> None:
    """Write program and unit.

    Raises:
        OSError: one cannot be written.
    """
    os.makedirs(PROGRAMS, mode=0o755, exist_ok=True)
    for path, text, mode in zip(paths(project), texts, (0o755, 0o644)):
        files.write_atomically(path, text, mode)


def remove(project: str) -> None:
    """Delete program and unit, and the programs' folder when it is empty."""
    for path in paths(project):
        if os.path.exists(path):
            os.unlink(path)
    if os.path.isdir(PROGRAMS) and not os.listdir(PROGRAMS):
        shutil.rmtree(PROGRAMS)
