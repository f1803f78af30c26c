# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a service of somebody's Compose file, or a ``docker run``, into the form of a container. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re
import shlex

from ansible_collections.myia.vllm.plugins.plugin_utils.adopt import compose_files, interpolation, view
from ansible_collections.myia.vllm.plugins.plugin_utils.adopt.compose_files import Project


def of_service(project: Project, name: str, home: str) -> view.View:
    """Return the container that Compose would make of a service."""
    service = project.services[name]
    volumes = project.top.get("volumes") or {}
    limits = compose_files.inner(service, "deploy", "resources", "limits")
    log = service.get("logging") or {}
    network_mode = str(service.get("network_mode") or "")
    return view.View(
        name=str(service.get("container_name") or "%s-%s-1" % (project.name, name)),
        service=name,
        project=project.name,
        image=str(service.get("image") or "%s-%s" % (project.name, name)),
        entrypoint=compose_files.words(service.get("entrypoint")),
        command=compose_files.words(service.get("command")),
        env=dict(service.get("environment") or {}),
        mounts=[
            compose_files.mount(item, project.directory, home, volumes, project.name)
            for item in service.get("volumes") or []
        ],
        ports=[port for item in service.get("ports") or [] for port in ports(item)],
        ipc=str(service.get("ipc") or ""),
        shm_bytes=view.size(service.get("shm_size")) or view.DEFAULT_SHM_BYTES,
        runtime=str(service.get("runtime") or ""),
        gpu_requests=_requests(service),
        restart=_restart(service)[0],
        restart_tries=_restart(service)[1],
        network_mode=network_mode,
        networks={} if network_mode else _networks(project, service, name),
        user=str(service.get("user") or ""),
        memory_bytes=view.size(service.get("mem_limit") or limits.get("memory")),
        cpus=_number(service.get("cpus") or limits.get("cpus")),
        ulimits=dict(service.get("ulimits") or {}),
        log_driver=str(log.get("driver") or ""),
        log_options={str(key): view.text(value) for key, value in (log.get("options") or {}).items()},
        labels=view.pairs(service.get("labels")),
        extra_hosts=_hosts(service.get("extra_hosts")),
        health=_health(service.get("healthcheck") or {}),
        further={key: service[key] for key in (*view.FURTHER, "tmpfs", "working_dir") if service.get(key)},
        privileged=bool(service.get("privileged")),
        devices=[str(item).partition(":")[0] for item in service.get("devices") or [] if isinstance(item, str)],
        directory=project.directory,
    )


def ports(item: object) -> list[dict]:
    """Return the ports of an entry, short (``"127.0.0.1:9100-9101:8000-8001/tcp"``) or long."""
    if isinstance(item, dict):
        host = str(item.get("published") or "0")
        address = str(item.get("host_ip") or "")
        return [_port(int(item["target"]), int(host) if host.isdigit() else 0, address, item.get("protocol"))]
    text, _slash, protocol = str(item).partition("/")
    address = ""
    if text.startswith("["):
        address, _bracket, text = text[1:].partition("]")
        text = text.lstrip(":")
    elif text.count(":") == 2:
        address, _colon, text = text.partition(":")
    outside, _colon, inside = text.rpartition(":")
    inner, outer = _range(inside), _range(outside)
    return [_port(port, outer[i] if i < len(outer) else 0, address, protocol) for i, port in enumerate(inner)]


def _range(text: str) -> list[int]:
    first, _dash, last = text.partition("-")
    if not first.isdigit():
        return []
    return list(range(int(first), (int(last) if last.isdigit() else int(first)) + 1))


def _port(inside: int, outside: int, address: str, protocol: object) -> dict:
    return {"container": inside, "host": outside, "address": address, "protocol": str(protocol or "tcp")}


def _requests(service: dict) -> list[dict]:
    """Return the GPUs that a service reserves, in Docker's words."""
    found = []
    reserved = compose_files.inner(service, "deploy", "resources", "reservations").get("devices")
    gpus = service.get("gpus")
    if gpus == "all":
        found.append(_request("", "all", None))
    for items in (reserved, gpus):
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict):
                found.append(_request(item.get("driver"), item.get("count"), item.get("device_ids")))
    return found


def _number(value: object) -> float:
    """Return a number of a file; 0 for none."""
    try:
        return float(str(value or 0))
    except ValueError:
        return 0.0


def _request(driver: object, count: object, ids: object) -> dict:
    number = 0 if ids else -1 if count in (None, "all", "") else int(str(count)) if str(count).isdigit() else -1
    return {"Driver": str(driver or ""), "Count": number, "DeviceIDs": [str(i) for i in ids] if ids else None}


def _restart(service: dict) -> tuple[str, int]:
    given = service.get("restart")
    if given is None:
        policy = compose_files.inner(service, "deploy", "restart_policy")
        return {"any": "always", "on-failure": "on-failure"}.get(str(policy.get("condition", "")), "no"), 0
    name, _colon, tries = ("no" if given is False else str(given)).partition(":")
    return name, int(tries) if tries.isdigit() else 0


def _networks(project: Project, service: dict, name: str) -> dict[str, list[str]]:
    given = service.get("networks") or ["default"]
    named = given if isinstance(given, dict) else {str(item): {} for item in given}
    found = {}
    for key, facts in named.items():
        found[real_network(project, str(key))] = [name, *((facts or {}).get("aliases") or [])]
    return found


def real_network(project: Project, key: str) -> str:
    """Return Docker's name of a network of the project."""
    facts = (project.top.get("networks") or {}).get(key) or {}
    external = facts.get("external")
    if isinstance(external, dict) and external.get("name"):
        return str(external["name"])
    return str(facts.get("name") or (key if external else "%s_%s" % (project.name, key)))


def _hosts(given: object) -> dict[str, str]:
    if isinstance(given, dict):
        return {str(name): str(address) for name, address in given.items()}
    entries = [re.sub("=", ":", str(item), count=1).partition(":") for item in given or []]
    return {name: address.strip("[]") for name, _colon, address in entries}


def _health(given: dict) -> dict:
    test = given.get("test")
    if not test or given.get("disable") or test in ("NONE", ["NONE"]):
        return {}
    return {
        "test": list(test) if isinstance(test, list) else ["CMD-SHELL", str(test)],
        "interval_s": view.duration_s(given.get("interval") or "30s"),
        "timeout_s": view.duration_s(given.get("timeout") or "30s"),
        "start_period_s": view.duration_s(given.get("start_period") or "0s"),
        "retries": int(given.get("retries") or 3),
    }


# ------------------------------------------------------------------------------------------------------- docker run


def runs(text: str, variables: dict[str, str], home: str) -> list[list[str]]:
    """Return the words of each ``docker run`` (or ``podman run``) in a script, a unit or a README."""
    joined = re.sub(r"\\\r?\n", " ", text)
    found = []
    env = {"HOME": home, **variables}
    for line in joined.splitlines():
        line = line.strip()
        assigned = re.match(r"^(?:export\s+)?([A-Za-z_]\w*)=(.*)$", line)
        if assigned and not re.search(r"\b(docker|podman)\b", line):
            env[assigned[1]] = interpolation.interpolate(assigned[2].strip().strip("'\""), env)
            continue
        if line.startswith("#") or not re.search(r"\b(docker|podman)\s+(container\s+)?(run|create)\b", line):
            continue
        try:
            words = shlex.split(interpolation.interpolate(line, env), comments=True)
        except ValueError:
            continue
        for index, word in enumerate(words[:-1]):
            if word.rpartition("/")[2] in ("docker", "podman") and words[index + 1] in ("run", "create", "container"):
                start = index + (3 if words[index + 1] == "container" else 2)
                found.append(
                    [word.replace("~/", home + "/") if word.startswith("~/") else word for word in words[start:]]
                )
                break
    return found


def name_of_run(words: list[str]) -> str:
    """Return the name that a ``docker run`` gives its container; empty for one that Docker makes up."""
    for index, word in enumerate(words):
        if word == "--name" and index + 1 < len(words):
            return words[index + 1]
        if word.startswith("--name="):
            return word.partition("=")[2]
    return ""


def is_detached(words: list[str]) -> bool:
    """Tell whether the container goes on when the terminal is closed."""
    for word in words:
        if word == "--detach" or re.match(r"^-[a-zA-Z]*d[a-zA-Z]*$", word):
            return True
        if not word.startswith("-"):
            # its value, or the image: flags of the server come behind it
            continue
        if word.startswith("--model"):
            return False
    return False


def env_files_of_run(words: list[str]) -> list[str]:
    """Return the files of variables that a ``docker run`` names."""
    found = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "--env-file"]
    return found + [word.partition("=")[2] for word in words if word.startswith("--env-file=")]
