# SPDX-License-Identifier: GPL-3.0-or-later
"""One form for a container, whether Docker tells of it, a Compose file or a ``docker run``. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import size_bytes

#: Docker's own size of /dev/shm, in bytes (moby, daemon/config: DefaultShmSize).
DEFAULT_SHM_BYTES = 64 * 1024**2

#: Docker's own times of a health check, in seconds (moby, daemon/health.go).
_PROBE_S = {"Interval": 30, "Timeout": 30, "StartPeriod": 0}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}

#: Keys of Compose that a container has too and that have no variable, with their place in ``HostConfig``.
FURTHER = {
    "security_opt": "SecurityOpt",
    "cap_add": "CapAdd",
    "cap_drop": "CapDrop",
    "read_only": "ReadonlyRootfs",
    "pids_limit": "PidsLimit",
    "cpuset": "CpusetCpus",
    "cpu_shares": "CpuShares",
    "oom_score_adj": "OomScoreAdj",
    "group_add": "GroupAdd",
    "dns": "Dns",
    "dns_search": "DnsSearch",
    "dns_opt": "DnsOptions",
    "sysctls": "Sysctls",
    "init": "Init",
    "userns_mode": "UsernsMode",
    "cgroup_parent": "CgroupParent",
}


@dataclasses.dataclass
class View:
    """What a container is made of; empty where nothing is said."""

    #: Of the container, and of the service in its Compose file.
    name: str = ""
    service: str = ""
    project: str = ""
    container_id: str = ""
    #: Docker's word for its state; "" where there is no container.
    state: str = ""
    image: str = ""
    image_id: str = ""
    entrypoint: list[str] = dataclasses.field(default_factory=list)
    command: list[str] = dataclasses.field(default_factory=list)
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Each ``{type, source, target, writable}``; the source of a volume is its name.
    mounts: list[dict] = dataclasses.field(default_factory=list)
    #: Each ``{container, host, address, protocol}``; host is 0 for one that Docker chooses.
    ports: list[dict] = dataclasses.field(default_factory=list)
    ipc: str = ""
    shm_bytes: int = DEFAULT_SHM_BYTES
    runtime: str = ""
    #: Requests for GPUs as Docker has them: ``{Driver, Count, DeviceIDs}``.
    gpu_requests: list[dict] = dataclasses.field(default_factory=list)
    restart: str = "no"
    restart_tries: int = 0
    network_mode: str = ""
    #: Names other than its own by which others reach it, by network.
    networks: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    user: str = ""
    memory_bytes: int = 0
    cpus: float = 0.0
    ulimits: dict = dataclasses.field(default_factory=dict)
    log_driver: str = ""
    log_options: dict = dataclasses.field(default_factory=dict)
    labels: dict[str, str] = dataclasses.field(default_factory=dict)
    extra_hosts: dict[str, str] = dataclasses.field(default_factory=dict)
    #: ``{test, interval_s, timeout_s, retries, start_period_s}``; empty without one.
    health: dict = dataclasses.field(default_factory=dict)
    #: Other keys in Compose's words.
    further: dict = dataclasses.field(default_factory=dict)
    privileged: bool = False
    devices: list[str] = dataclasses.field(default_factory=list)
    auto_remove: bool = False
    #: Folder and files of the Compose project.
    directory: str = ""
    files: list[str] = dataclasses.field(default_factory=list)

    def argv(self) -> list[str]:
        """Return what the container was started with."""
        return [*self.entrypoint, *self.command]


def from_inspect(data: dict, image: dict) -> View:
    """Return the form of what ``docker inspect`` says.

    Args:
        data: of the container.
        image: of its image; empty where that is not known. What the image says itself is left out.
    """
    config, host = data.get("Config") or {}, data.get("HostConfig") or {}
    of_image = image.get("Config") or {}
    labels = dict(config.get("Labels") or {})
    image_env = pairs(of_image.get("Env"))
    image_labels = of_image.get("Labels") or {}
    policy = host.get("RestartPolicy") or {}
    log = host.get("LogConfig") or {}
    view = View(
        name=str(data.get("Name") or "").lstrip("/"),
        service=labels.get("com.docker.compose.service", ""),
        project=labels.get("com.docker.compose.project", ""),
        container_id=data.get("Id") or "",
        state=(data.get("State") or {}).get("Status") or "",
        image=config.get("Image") or "",
        image_id=data.get("Image") or "",
        entrypoint=list(config.get("Entrypoint") or []),
        command=list(config.get("Cmd") or []),
        env={k: v for k, v in pairs(config.get("Env")).items() if image_env.get(k) != v},
        mounts=_mounts(data.get("Mounts") or []),
        ports=_ports(host.get("PortBindings") or {}),
        ipc=host.get("IpcMode") or "",
        shm_bytes=host.get("ShmSize") or DEFAULT_SHM_BYTES,
        runtime=host.get("Runtime") or "",
        gpu_requests=list(host.get("DeviceRequests") or []),
        restart=policy.get("Name") or "no",
        restart_tries=policy.get("MaximumRetryCount") or 0,
        network_mode=host.get("NetworkMode") or "",
        user="" if (config.get("User") or "") == (of_image.get("User") or "") else config["User"],
        memory_bytes=host.get("Memory") or 0,
        cpus=_cpus(host),
        ulimits={item["Name"]: _ulimit(item) for item in host.get("Ulimits") or []},
        log_driver=log.get("Type") or "",
        log_options=dict(log.get("Config") or {}),
        labels={
            name: value
            for name, value in labels.items()
            if not name.startswith("com.docker.compose.") and image_labels.get(name) != value
        },
        extra_hosts=_hosts(host.get("ExtraHosts") or []),
        health=_health(config.get("Healthcheck") or {}, of_image.get("Healthcheck") or {}),
        further=_further(host, config, of_image),
        privileged=bool(host.get("Privileged")),
        devices=[item.get("PathOnHost", "") for item in host.get("Devices") or []],
        auto_remove=bool(host.get("AutoRemove")),
        directory=labels.get("com.docker.compose.project.working_dir", ""),
        files=[x for x in labels.get("com.docker.compose.project.config_files", "").split(",") if x],
    )
    own = {view.name, view.container_id[:12], str(config.get("Hostname") or "")}
    networks = ((data.get("NetworkSettings") or {}).get("Networks")) or {}
    view.networks = {
        name: [alias for alias in dict.fromkeys((facts or {}).get("Aliases") or []) if alias not in own]
        for name, facts in networks.items()
    }
    return view


def pairs(values: object) -> dict[str, str]:
    """Return variables of an environment given as a list of NAME=value, or as a dictionary."""
    if isinstance(values, dict):
        return {str(name): text(value) for name, value in values.items() if value is not None}
    return {str(item).partition("=")[0]: str(item).partition("=")[2] for item in values or []}


def text(value: object) -> str:
    """Return a value of YAML as Compose hands it to a container."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def duration_s(value: object) -> float:
    """Return the seconds of a duration as Compose writes it (``1m30s``); a number is nanoseconds, as in the API."""
    if isinstance(value, (int, float)):
        return value / 1e9
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(str(value)))


def size(value: object) -> int:
    """Return the bytes of a size as Docker reads it; 0 for none."""
    if isinstance(value, (int, float)):
        return int(value)
    found = re.match(r"^(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)i?[bB]?$", str(value or "").strip())
    if not found:
        return size_bytes(str(value or "")) or 0
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))


def _mounts(mounts: list[dict]) -> list[dict]:
    return [
        {
            "type": item.get("Type") or "bind",
            "source": item.get("Name") or "" if item.get("Type") == "volume" else item.get("Source") or "",
            # where Docker keeps a volume
            "path": item.get("Source") or "",
            "target": item.get("Destination") or "",
            "writable": item.get("RW", True) is not False,
        }
        for item in mounts
    ]


def _ports(bindings: dict) -> list[dict]:
    found = []
    for port, places in bindings.items():
        number, _slash, protocol = port.partition("/")
        for place in places or []:
            host = str(place.get("HostPort") or "0")
            found.append(
                {
                    "container": int(number),
                    "host": int(host) if host.isdigit() else 0,
                    "address": place.get("HostIp") or "",
                    "protocol": protocol or "tcp",
                }
            )
    return found


def _cpus(host: dict) -> float:
    if host.get("NanoCpus"):
        return host["NanoCpus"] / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return quota / period if quota > 0 else 0.0


def _ulimit(item: dict) -> object:
    soft, hard = item.get("Soft"), item.get("Hard")
    return soft if soft == hard else {"soft": soft, "hard": hard}


def _hosts(entries: list[str]) -> dict[str, str]:
    found = {}
    for entry in entries:
        name, _mark, address = re.sub(r"[=]", ":", str(entry), count=1).partition(":")
        found[name] = address.strip("[]")
    return found


def _health(given: dict, of_image: dict) -> dict:
    test = list(given.get("Test") or [])
    if not test or test == ["NONE"] or given == of_image:
        return {}
    times = {key: given.get(key) / 1e9 if given.get(key) else own for key, own in _PROBE_S.items()}
    return {
        "test": test,
        "interval_s": times["Interval"],
        "timeout_s": times["Timeout"],
        "start_period_s": times["StartPeriod"],
        "retries": given.get("Retries") or 3,
    }


def _further(host: dict, config: dict, of_image: dict) -> dict:
    found = {key: host[name] for key, name in FURTHER.items() if host.get(name) not in (None, "", 0, [], {}, False)}
    if found.get("pids_limit", 0) == -1:
        del found["pids_limit"]
    if host.get("Tmpfs"):
        found["tmpfs"] = [
            place + (":" + options if options else "") for place, options in sorted(host["Tmpfs"].items())
        ]
    # docker run -it leaves these behind; a server reads no terminal
    for key, name in (("tty", "Tty"), ("stdin_open", "OpenStdin")):
        if config.get(name):
            found[key] = True
    stop = config.get("StopSignal") or ""
    if stop and stop != (of_image.get("StopSignal") or ""):
        found["stop_signal"] = stop
    if config.get("StopTimeout"):
        found["stop_grace_period"] = "%ds" % config["StopTimeout"]
    if config.get("WorkingDir") and config["WorkingDir"] != of_image.get("WorkingDir", config["WorkingDir"]):
        found["working_dir"] = config["WorkingDir"]
    return found
