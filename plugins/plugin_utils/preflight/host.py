# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight checks of the host itself: system, port, disk, shared memory, Docker, registry, clock. Pure Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import os

from ansible_collections.myia.vllm.plugins.module_utils.common.versions import at_least
from ansible_collections.myia.vllm.plugins.module_utils.host.facts import GIB
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import size_bytes
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding

#: Supported releases by os-release ID: those whose major version may be used.
_SUPPORTED = {
    "debian": ("12", "13"),
    "ubuntu": ("22.04", "24.04"),
    "rhel": ("9", "10"),
    "rocky": ("9", "10"),
    "almalinux": ("9", "10"),
    "centos": ("9", "10"),
}

#: GiB that a release needs beside image and weights: its folder, the compile cache, logs.
_RELEASE_GIB = 2.0
#: GiB that an image takes while it is pulled and unpacked. NVIDIA: 12 GB are downloaded (vllm-project/vllm#27154 about
#: 0.11), unpacked about as much again. CPU: 2.9 GB unpacked (the build of tools/images).
_IMAGE_GIB = {"nvidia": 22.0, "cpu": 5.0}
#: GiB assumed for weights whose size nobody tells: those of the medium service.
_UNKNOWN_WEIGHTS_GIB = 18.0

#: MiB of /dev/shm that several workers need: vLLM's queue takes 160 ("Insufficient space in /dev/shm ... 160 MiB
#: required", printed by 0.32 with tensor parallel 2), the rest is for NCCL's buffers.
_SHM_NEEDED_MIB = 256

#: Engine from which on it passes GPUs on by CDI names (Docker's release notes).
_CDI_ENGINE = "25.0"

#: Name of the program by which the engine holds a published port (moby, cmd/docker-proxy).
_DOCKER_PROXY = "docker-proxy"

#: Seconds by which a clock may be off before tokens and certificates are refused (five minutes is what Kerberos and
#: most token services grant).
_CLOCK_S = 300


def operating_system(host: dict) -> dict:
    """A release that the roles support."""
    system = host["os"]
    versions = _SUPPORTED.get(system["id"], ())
    ok = any(system["version"] == v or system["version"].startswith(v + ".") for v in versions)
    return finding(
        "operating_system",
        ok,
        system["name"] or system["id"] or "an unknown operating system",
        "Debian 12 or 13, Ubuntu 22.04 or 24.04, or Enterprise Linux 9 or 10",
        "Deploy to a supported host, or add operating_system to vllm_preflight_skip to try it at your own risk.",
    )


def root(host: dict) -> dict:
    """The rights to deploy."""
    return finding(
        "root",
        host["uid"] == 0,
        "user id %d" % host["uid"],
        "root",
        "Run the play with become: true and a user that may use sudo (ansible_user, ansible_become_password).",
    )


def folder(definition: dict, host: dict) -> dict:
    """The service's folder is one that can be written: there, or to be made."""
    problem = host["path_problems"].get(definition["dir"])
    return finding(
        "folder",
        not problem,
        problem["text"].rstrip(".") if problem else "%s, which can be written" % definition["dir"],
        "a folder that root can write, for the releases (vllm_dir)",
        "%s In vllm_dir another folder can be named." % problem["fix"] if problem else "",
    )


def environment(host: dict) -> dict:
    """Nothing that Ansible's environment on the host sets is taken before ``.env``."""
    ambient = host["ambient"]
    certain = [name for name, how in ambient.items() if how == "differs"]
    return finding(
        "environment",
        not ambient,
        "%s set in the environment in which Ansible runs on this host" % ", ".join(sorted(ambient))
        if ambient
        else "an environment without names of .env",
        "none of them, as Docker Compose takes the environment before .env",
        "Unset it there (shell profile, /etc/environment, environment of the job).",
        severity="error" if certain else "warning",
    )


def port(definition: dict, host: dict) -> dict:
    """The port is free, or held by this service."""
    if not definition["published"]:
        return finding("port", True, "no port is published", "no port on the host", "")
    there = host["port"]
    foreign = [c["name"] for c in there["containers"] if c["project"] != definition["project"]]
    ours = [c for c in there["containers"] if c["project"] == definition["project"]]
    # in the host's network Docker publishes nothing, so the container is known by its name
    named = host["named_container"] if definition["network_mode"] == "host" else {}
    ours += [named] if named and named["project"] == definition["project"] else []
    silent = not host["docker"]["answering"] and there["owner"].get("command") == _DOCKER_PROXY
    if silent:
        # whose container it is for only Docker could tell, and that it does not answer another check says
        return finding(
            "port", False, "port %d held by Docker for a container, of which it does not tell" % definition["port"],
            "a free port, or one that this service already holds", "Mend Docker first: see the check docker.",
            severity="warning",
        )  # fmt: skip
    if foreign:
        found = "port %d published by container %s" % (definition["port"], ", ".join(foreign))
    elif there["listening"] and not ours:
        owner = there["owner"]
        who = "%s, pid %d" % (owner["command"], owner["pid"]) if owner else "a process that cannot be seen"
        found = "port %d in use by %s" % (definition["port"], who)
    else:
        found = "port %d %s" % (definition["port"], "held by this service" if ours else "free")
    return finding(
        "port",
        not foreign and (bool(ours) or not there["listening"]),
        found,
        "a free port, or one that this service already holds",
        "Stop the other program, or set vllm_port to a free port.",
    )


def container_name(definition: dict, host: dict) -> dict:
    """The name is free or this service's: Docker would refuse the new one when the old has just been stopped."""
    there = host["named_container"]
    foreign = bool(there) and there["project"] != definition["project"]
    owner = "the Compose project %s" % there["project"] if foreign and there["project"] else "nobody's Compose project"
    return finding(
        "container_name",
        not foreign,
        "container %s, %s" % (definition["container_name"], owner if foreign else "of this service or free"),
        "a name that no other container has",
        "Set vllm_container_name to another name, or remove that container (docker rm).",
    )


def disk(definition: dict, host: dict, pull: str, min_free_gib: float | None) -> dict:
    """Every file system has room for what goes there.

    Args:
        definition: the ``vllm_definition``.
        host: what ``host_info`` found.
        pull: vllm_service_pull.
        min_free_gib: what a first deployment needs, where the operator has said so.
    """
    needs = _needs(definition, host, pull, min_free_gib)
    tightest = None
    for system, parts in needs.items():
        free = min(host["free_gib"][path] for path in host["free_gib"] if _system(host, path) == system)
        needed = sum(gib for gib, _what in parts)
        if tightest is None or free - needed < tightest[0] - tightest[1]:
            path = next(path for path in host["free_gib"] if _system(host, path) == system)
            tightest = (free, needed, path, ", ".join("%s %.1f" % (what, gib) for gib, what in parts if gib))
    free, needed, path, parts = tightest or (0.0, _RELEASE_GIB, "any folder", "")
    return finding(
        "disk",
        free >= needed,
        "%.1f GiB free on %s" % (free, path),
        "%.1f GiB%s" % (needed, " (%s)" % parts if parts else ""),
        "Free space there, move Docker's data folder or vllm_hf_cache to a larger disk, or set "
        "vllm_preflight_min_free_gib when you know that less will do.",
    )


def _system(host: dict, path: str):
    return host["file_systems"].get(path, path)


def _needs(definition: dict, host: dict, pull: str, min_free_gib: float | None) -> dict:
    """Return what each file system that can be read has to take: ``{file system: [(GiB, what)]}``."""
    known = [path for path, free in host["free_gib"].items() if free is not None]
    needs: dict = {_system(host, path): [(_RELEASE_GIB, "release and caches")] for path in known}
    if min_free_gib is not None:
        gib = min(_RELEASE_GIB, min_free_gib) if host["own_containers"] else min_free_gib
        return {system: [(gib, "")] for system in needs}

    def add(path: str, gib: float, what: str) -> None:
        if _system(host, path) in needs:
            needs[_system(host, path)].append((gib, what))

    if pull != "never" and not host["image_present"]:
        add(host["docker_root"], _IMAGE_GIB[definition["accelerator"]], "image about")
    model = host["model"]
    if not definition["model_is_local"] and not model["cached"]:
        size = model["weights_bytes"]
        gib = _UNKNOWN_WEIGHTS_GIB if size is None else size / GIB
        add(host["cache_dir"], gib, "weights, size unknown, say" if size is None else "weights")
    return needs


def shm(definition: dict, host: dict) -> dict:
    """The workers of one service talk through /dev/shm: the container's own, or the host's."""
    workers = definition["tensor_parallel_size"] * definition["pipeline_parallel_size"]
    if definition["ipc"] == "host":
        there, whose = host["shm_free_mib"], "free in the host's /dev/shm (vllm_ipc is host)"
        fix = (
            "Set vllm_ipc to private and vllm_shm_size to 16gb, or enlarge the host's: mount -o remount,size=16G "
            "/dev/shm."
        )
    else:
        there = (size_bytes(definition["shm_size"]) or 0) / 1024**2
        whose = "in the container's /dev/shm (vllm_shm_size)"
        fix = "Set vllm_shm_size to 16gb; memory is only taken for what lies there."
    # replicas of one host are engines of their own, with a queue each
    engines = max((definition["nodes"] or {}).get("replicas_here", 0), 1)
    needed = _SHM_NEEDED_MIB * engines if workers > 1 else 0
    return finding(
        "shm",
        there is None or there >= needed,
        "an unknown size" if there is None else "%.0f MiB %s" % (there, whose),
        "%d MiB for %d workers" % (needed, workers * engines) if needed else "nothing, there is one worker",
        fix,
    )


def docker(definition: dict, host: dict, settings: dict) -> list[dict]:
    """Engine and Compose are new enough where they are there; the role docker_engine installs what is not."""
    engine = host["docker"]
    wanted = settings["docker_min_version"]
    if (
        definition["accelerator"] == "nvidia"
        and definition["gpu_access"] == "cdi"
        and not at_least(wanted, _CDI_ENGINE)
    ):
        wanted = _CDI_ENGINE
    return [
        _version("docker", "Docker Engine", engine["version"], wanted, engine, settings),
        _version(
            "compose", "Docker Compose", engine["compose_version"], settings["compose_min_version"], engine,
            settings,
        ),
    ]  # fmt: skip


def _version(identity: str, name: str, there: str, wanted: str, engine: dict, settings: dict) -> dict:
    installs = settings["docker_install"]
    runs = engine["dockerd_pid"]
    stranger = engine["podman"] or (runs and not engine["installed"])
    dead = identity == "docker" and (stranger or (engine["installed"] and not engine["answering"]))
    found = "%s %s" % (name, there) if there else "no %s" % name
    fix = "Set docker_engine_install to true, or install %s %s or later yourself." % (name, wanted)
    if dead:
        found = "a Docker Engine that does not answer (%s)" % engine["error"].strip().rstrip(".")
        fix = "Start it (systemctl start docker) and read why it is not running (journalctl -u docker)."
        if engine["podman"]:
            found = "Podman under the name docker (package podman-docker)"
            fix = (
                "Remove podman-docker, whose program only looks like Docker's (Podman itself may stay), and let the "
                "role docker_engine install Docker, or install it yourself."
            )
        elif stranger:
            found = "a Docker Engine that runs (dockerd, pid %d), without the command docker" % runs
            fix = "Install the command that belongs to it (docker-ce-cli, Debian: docker-cli), or put it into PATH."
        elif runs:
            found += ", though it runs (dockerd, pid %d)" % runs
            fix = (
                "Its socket is dead, or it hangs: systemctl restart docker.socket docker.service (without live-restore "
                "that restarts its containers), and look at DOCKER_HOST and docker context show."
            )
    elif there:
        fix = "Upgrade it, or remove it and let the role docker_engine install one (docker_engine_source)."
    return finding(
        identity,
        at_least(there, wanted) if there else (installs and not dead) or (identity == "compose" and bool(stranger)),
        found + ("" if there or dead or not installs else " yet; the role docker_engine installs it"),
        "%s %s or later" % (name, wanted),
        fix,
    )


def registry(definition: dict, host: dict, pull: str) -> dict | None:
    """The image can be pulled, or is there; None when nothing is pulled."""
    answer = host["registry"]
    if pull == "never":
        return finding(
            "registry",
            host["image_present"] or not host["docker"]["answering"],
            "image %s %s" % (definition["image"], "there" if host["image_present"] else "not on the host"),
            "the image on the host (vllm_service_pull is never)",
            "Load it (docker load), or set vllm_service_pull to missing.",
        )
    if not answer:
        return finding("registry", True, "image %s there" % definition["image"], "the image, or its registry", "")
    # the engine may have ways of its own, which this host's Python does not see
    detour = host["docker"]["registry_mirrors"] or host["docker"]["proxied"]
    return finding(
        "registry",
        answer["ok"],
        "%s: %s" % (answer["registry"], answer["text"]),
        "an answer of the registry that %s comes from (HTTP 200 or 401)" % definition["image"],
        "Check the host's network, DNS and proxy, name a mirror in vllm_image, or load the image by hand (docker load) "
        "and set vllm_service_pull to never.",
        severity="warning" if detour else "error",
    )


def clock(host: dict, blocked: bool) -> dict:
    """The host's clock is right: certificates and tokens are only good for a time.

    Args:
        host: what ``host_info`` found, with ``clock`` (``skew_s``: seconds ahead; ``by``: of what).
        blocked: whether hub or registry do not answer, for which a wrong clock may be the reason.
    """
    skew, source = host["clock"]["skew_s"], host["clock"]["by"]
    off = abs(skew or 0.0) > _CLOCK_S
    return finding(
        "clock",
        not off,
        "a clock that cannot be compared"
        if skew is None
        else "a clock %.0f seconds %s %s" % (abs(skew), "ahead of" if skew > 0 else "behind", source),
        "at most %d seconds" % _CLOCK_S,
        "Set it by NTP (timedatectl set-ntp true; chronyc makestep). With a wrong clock TLS refuses good certificates.",
        severity="error" if blocked else "warning",
    )


def mounts(definition: dict, host: dict) -> dict:
    """What is mounted from the host is there: Docker would make an empty folder of it, also where a file is meant."""
    missing, no_files = host["missing_mounts"], host["missing_files"]
    named = ["vllm_extra_volumes"] if missing else []
    named += dict.fromkeys(definition["files"][path] for path in no_files)
    variables = " and ".join(named or ["vllm_extra_volumes"])
    wrong = ["%s missing" % ", ".join(missing)] if missing else []
    wrong += ["%s missing, or no file" % ", ".join(no_files)] if no_files else []
    return finding(
        "mounts",
        not wrong,
        "; ".join(wrong) or "what is mounted is there",
        "every path of %s on the host" % variables,
        "Put the file there or make the folder, or correct %s." % variables,
    )


def tls(definition: dict, host: dict) -> dict | None:
    """Certificate and key belong together and can be read: vLLM would die of it when the model is loaded.

    None without TLS, and where a file is missing (see :func:`mounts`).
    """
    files = [definition[name] for name in ("ssl_certfile", "ssl_keyfile")]
    if definition["scheme"] != "https" or set(files) & set(host["missing_files"]):
        return None
    wrong = host["tls_problem"]
    return finding(
        "tls",
        not wrong,
        "%s with %s%s" % (*files, ": " + wrong if wrong else ""),
        "a certificate in PEM form with its own key, without a password",
        "Correct vllm_ssl_certfile and vllm_ssl_keyfile (openssl x509 -noout -pubkey -in CERTIFICATE and openssl pkey "
        "-pubout -in KEY must print the same).",
    )


def networks(definition: dict, host: dict) -> dict | None:
    """Networks of others are there, and the service's own are nobody else's: Compose finds that out at the switch.

    None where the service names no network, or the engine does not answer.
    """
    wanted = definition["compose"]["top"].get("networks", {})
    if not wanted or (host["docker"]["installed"] and not host["docker"]["answering"]):
        return None
    there = host["networks"]
    gone = [name for name, item in wanted.items() if item.get("external") and name not in there]
    foreign = [
        name
        for name, item in wanted.items()
        if not item.get("external") and there.get(name, definition["project"]) != definition["project"]
    ]
    wrong = ["no network %s" % ", ".join(gone)] if gone else []
    wrong += ["network %s, which this service did not make" % ", ".join(foreign)] if foreign else []
    create = "; ".join("docker network create %s" % name for name in gone)
    fix = "Make it (%s), or correct vllm_networks (docker network ls shows what there is)." % create
    if not host["docker"]["installed"]:
        fix = "Install Docker first (deploy_medium.yml --tags engine). " + fix
    if not gone:
        fix = "Set external: true for it in vllm_networks, or name another one."
    return finding(
        "networks",
        not wrong,
        "; ".join(wrong) or "the networks of vllm_networks there, or free to be made",
        "external networks of vllm_networks on the host, and the others this service's own",
        fix,
    )


def model_path(definition: dict, host: dict) -> dict:
    """A local model is one that can be read."""
    error = host["model"]["error"]
    missing = host["model"].get("missing_files") or []
    if missing and not error:
        shown = ", ".join(missing[:3]) + (" and %d more" % (len(missing) - 3) if len(missing) > 3 else "")
        return finding(
            "model_path",
            False,
            "%s without %s, which its index names" % (definition["model"], shown),
            "all files of the weights",
            "Copy the folder again, in full.",
            # another format may need none of them
            severity="warning" if "load-format" in definition["extra_options"] else "error",
        )
    folder = os.path.join(definition["model"], "config.json")
    wrong = "missing" if error and error["kind"] == "missing" else "unreadable: %s" % (error or {}).get("text", "")
    return finding(
        "model_path",
        not error,
        "%s %s" % (folder, wrong if error else "there"),
        "a model folder on the host",
        "Copy the model there, or set vllm_model to a Hugging Face id.",
    )
