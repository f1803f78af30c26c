# SPDX-License-Identifier: GPL-3.0-or-later
"""Read from a host what the preflight checks need. Python standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import glob
import json
import os
import re
import ssl

#: Bytes in a GiB.
GIB = 1024**3


def os_release(text: str) -> dict[str, str]:
    """Return the keys of an ``os-release`` file."""
    values = {}
    for line in text.splitlines():
        key, sep, value = line.strip().partition("=")
        if sep and not key.startswith("#"):
            values[key] = value.strip().strip("\"'")
    return values


def listening_inodes(port: int, tables: list[str]) -> list[str]:
    """Return the socket inodes that listen on TCP ``port``.

    Args:
        port: the port.
        tables: texts of ``/proc/net/tcp`` and ``/proc/net/tcp6``; state 0A there is LISTEN.
    """
    inodes = []
    for table in tables:
        for line in table.splitlines()[1:]:
            cells = line.split()
            if len(cells) > 9 and cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                inodes.append(cells[9])
    return inodes


def owner_of(inodes: list[str]) -> dict:
    """Return ``{pid, command}`` of a process that holds one of the sockets; empty when nobody can be seen."""
    wanted = {"socket:[%s]" % inode for inode in inodes}
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(path) not in wanted:
                continue
            pid = path.split("/")[2]
            with open("/proc/%s/comm" % pid, encoding="utf-8", errors="replace") as handle:
                return {"pid": int(pid), "command": handle.read().strip()}
        except OSError:
            continue  # the process ended meanwhile, or is not ours to look at
    return {}


def free_gib(path: str) -> float | None:
    """Return the free space in GiB of the file system that holds ``path`` or its nearest existing parent."""
    try:
        stat = os.statvfs(_existing(path))
    except OSError:
        return None
    return round(stat.f_bavail * stat.f_frsize / GIB, 1)


def free_mib(folder: str) -> float | None:
    """Return the free MiB of the file system mounted at ``folder``; None when it is not there."""
    try:
        stat = os.statvfs(folder)
    except OSError:
        return None
    return round(stat.f_bavail * stat.f_frsize / 1024**2, 1)


def file_system(path: str) -> str:
    """Return a name of the file system that holds ``path`` or its nearest existing parent; the path when unknown."""
    try:
        return str(os.stat(_existing(path)).st_dev)
    except OSError:
        return path


def _existing(path: str) -> str:
    path = os.path.abspath(path)
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    return path


def containers_on_port(run, port: int) -> list[dict]:
    """Return ``{name, project}`` of each running container that publishes ``port`` on the host."""
    status, out, _err = run([
        "docker", "ps", "--filter", "publish=%d" % port,
        "--format", '{{.Names}}\t{{.Label "com.docker.compose.project"}}\t{{json .Ports}}',
    ])  # fmt: skip
    if status != 0:
        return []
    found = []
    for line in out.splitlines():
        name, project, ports = [*line.split("\t"), "", ""][:3]
        # the filter also matches container ports; only the host side of "addr:5002->5002/tcp" counts, where
        # neighbouring ports are joined: "addr:5000-5003->5000-5003/tcp"
        published = re.findall(r":(\d+)(?:-(\d+))?->[\d-]+/tcp", json.loads(ports) if ports else "")
        if any(int(first) <= port <= int(last or first) for first, last in published):
            found.append({"name": name, "project": project})
    return found


def container_named(run, name: str) -> dict | None:
    """Return ``{name, project}`` of the container of this name, running or not; None without one."""
    status, out, _err = run([
        "docker", "ps", "--all", "--filter", "name=^/%s$" % re.escape(name),
        "--format", '{{.Names}}\t{{.Label "com.docker.compose.project"}}',
    ])  # fmt: skip
    found = out.splitlines()[0] if status == 0 and out.strip() else ""
    return {"name": name, "project": found.partition("\t")[2]} if found else None


def tls_problem(certificate: str, key: str) -> str:
    """Return why Python's TLS, and so vLLM's, would not take a certificate with a key; empty where it would.

    A file that is not there is none of this function's concern.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:  # SSLError is an OSError
        return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return ""


def _no_password() -> bytes:
    # without it Python would ask on a terminal
    raise ValueError("the key needs a password")


def networks(run, names: list[str]) -> dict[str, str]:
    """Return the Compose project of each of the Docker networks that is there, by its name; empty for none."""
    status, out, _err = run([
        "docker", "network", "ls", "--format", '{{.Name}}\t{{.Label "com.docker.compose.project"}}',
    ])  # fmt: skip
    there = [line.partition("\t")[::2] for line in out.splitlines()] if status == 0 else []
    return {name: project for name, project in there if name in names}


def addresses(run) -> list[str]:
    """Return the addresses at which others may reach the host: none of loopback, of a link or of Docker's bridges."""
    status, out, _err = run(["ip", "-o", "addr", "show", "up", "scope", "global"])
    found = re.findall(r"^\d+:\s+(\S+)\s+inet6?\s+([0-9a-fA-F.:]+)", out if status == 0 else "", re.MULTILINE)
    return [address for device, address in found if not re.match(r"docker|br-|veth|virbr|cni|lo\Z", device)]


def own_containers(run, project: str) -> list[str]:
    """Return the names of all containers, running or not, of the Compose project."""
    status, out, _err = run([
        "docker", "ps", "--all", "--filter", "label=com.docker.compose.project=%s" % project, "--format", "{{.Names}}",
    ])  # fmt: skip
    return out.split() if status == 0 else []
