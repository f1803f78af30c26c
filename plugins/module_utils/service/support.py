# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather on a host what helps to find out why its service misbehaves. Python standard library only; runs on hosts.

Values of ``.env`` are never taken, those that are secrets are masked wherever else they stand.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os
import re

from ansible_collections.myia.vllm.plugins.module_utils.common import disguises, files
from ansible_collections.myia.vllm.plugins.module_utils.docker import container_log
from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv, releases, service_http
from ansible_collections.myia.vllm.plugins.module_utils.service import secrets as service_secrets

#: Most characters of one part; of a longer one the end is kept.
PART_CHARS = 2_000_000

#: Most bytes of /metrics that are read.
_METRICS_BYTES = 4_000_000

#: Lines of the kernel that are about memory, GPUs and their links.
_KERNEL = re.compile(
    r"NVRM|Xid|nvidia|oom-kill|oom_reaper|Out of memory|Killed process|Memory cgroup|invoked oom|AER:|pcieport|"
    r"EXT4-fs error|I/O error|XFS|No space left|segfault|hung_task|blocked for more than",
    re.IGNORECASE,
)

#: Logs of failed starts that are taken, the newest.
_FAILED_LOGS = 2

_MASK = "***"


def parts(container: str, url: str, folder: str, timeout_s: float) -> dict[str, str]:
    """Return the texts by the names that they get in the archive.

    Args:
        container: name of the service's container.
        url: address of the service.
        folder: the service's folder.
        timeout_s: longest time for each answer, in seconds.
    """

    def said(*argv: str) -> str:
        status, out, err, _late = host_command.run(list(argv), timeout_s)
        if status in (126, 127):
            return ""
        return out if status == 0 else "%s%s\n(exit status %d)\n" % (out, err, status)

    found = {
        "host/system.txt": _system(said),
        "host/kernel.log": _kernel(said),
        "host/nvidia-smi.txt": said("nvidia-smi") + said("nvidia-smi", "topo", "-m"),
        "host/gpu-errors.txt": said("nvidia-smi", "-q", "-d", "ECC,PAGE_RETIREMENT,ROW_REMAPPER,PERFORMANCE"),
        "host/docker.txt": said("docker", "version") + said("docker", "info") + said("docker", "ps", "--all"),
        "host/daemon.json": files.read_text("/etc/docker/daemon.json"),
        "service/inspect.json": said("docker", "container", "inspect", container),
        "service/memory.txt": said("docker", "stats", "--no-stream", container),
        "service/log.txt": _log(container),
        "service/metrics.txt": _metrics(container, url, timeout_s),
        **_releases(folder),
    }
    secrets = service_secrets.values(folder)
    # masked before it is cut: half of a secret at the cut would not be known for one
    return {
        name: disguises.replaced(text, secrets, lambda _secret: _MASK)[-PART_CHARS:]
        for name, text in found.items()
        if text.strip()
    }


def names(timeout_s: float) -> list[str]:
    """Return what the host is called: short name, full name, aliases in /etc/hosts."""
    found = [os.uname().nodename]
    for argv in (["hostname", "-f"], ["hostname", "-A"], ["hostname", "-d"]):
        status, out, _err, _late = host_command.run(argv, timeout_s)
        found += out.split() if status == 0 else []
    for line in files.read_text("/etc/hosts").splitlines():
        found += line.partition("#")[0].split()[1:]
    return sorted({name for name in found if name and not re.fullmatch(r"[\d.:]+|\(none\)", name)})


def _system(said) -> str:
    sections = [
        ("uname", said("uname", "-srvm")),
        ("os-release", files.read_text("/etc/os-release")),
        ("uptime", said("uptime")),
        ("meminfo", "\n".join(files.read_text("/proc/meminfo").splitlines()[:8]) + "\n"),
        ("df", said("df", "-h", "-x", "overlay", "-x", "tmpfs")),
        ("lscpu", said("lscpu")),
        ("listening", said("ss", "-H", "-l", "-t", "-n")),
    ]
    return "".join("== %s\n%s\n" % (title, text) for title, text in sections if text.strip())


def _kernel(said) -> str:
    """Return the lines of the kernel's log that matter, with their own time."""
    text = said("journalctl", "-k", "-b", "--no-pager", "-o", "short-iso", "-n", "20000")
    if not text.strip() or "(exit status" in text:
        text = said("dmesg", "--time-format", "iso")
    return "".join(line + "\n" for line in text.splitlines() if _KERNEL.search(line))


def _log(container: str) -> str:
    docker = host_command.which("docker")
    return container_log.ends(docker, container) if docker and container else ""


def _metrics(container: str, url: str, timeout_s: float) -> str:
    seen = service_http.seen_from_host(url + "/metrics", container, lambda argv: host_command.run(argv, timeout_s))
    status, body, _wrong = service_http.query(seen, timeout_s, most_bytes=_METRICS_BYTES)
    if status != 200:
        return ""
    lines = body.decode("utf-8", "replace").splitlines()
    # Python's own counters say nothing of the service
    return "".join(line + "\n" for line in lines if not re.match(r"(# (HELP|TYPE) )?python_", line))


def _releases(folder: str) -> dict[str, str]:
    service = releases.Service(folder)
    current, about, found = service.current(), [], {}
    for name in service.names():
        about.append({**service.about(name), "current": name == current})
    if about:
        found["service/releases.json"] = json.dumps(about, indent=2, sort_keys=True) + "\n"
    if current:
        found["service/compose.yml"] = service.read(current, releases.COMPOSE)
        names_set = dotenv.names(service.read(current, releases.ENV))
        found["service/env-names.txt"] = "".join(name + "\n" for name in names_set)
    failed = [name for name in reversed(service.names()) if service.read(name, releases.FAILED_LOG)]
    for name in failed[:_FAILED_LOGS]:
        found["service/failed-start-%s.log" % name] = service.read(name, releases.FAILED_LOG)
    return found
