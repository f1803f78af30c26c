# SPDX-License-Identifier: GPL-3.0-or-later
"""What NVIDIA's container toolkit on a host is like, and what keeps it from working. Standard library only.

Runs on target hosts. Private to this collection; may change at any time.
"""

from __future__ import annotations

import glob
import os
import re

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.common.versions import at_least, numbers

#: NVIDIA requires the four to be exactly equal since 1.18.0 (its release notes). In the order of their dependencies.
PACKAGES = (
    "libnvidia-container1",
    "libnvidia-container-tools",
    "nvidia-container-toolkit-base",
    "nvidia-container-toolkit",
)

#: Packages of the time before 1.14 that the four replace (release notes 1.14, 1.15).
_OLD_PACKAGES = ("nvidia-docker2", "nvidia-docker", "nvidia-container-runtime")

#: Source lists of those and of hand-made installations. An entry for the same address with another Signed-By makes
#: every `apt update` fail (NVIDIA's troubleshooting page, "Conflicting values set for option Signed-By").
_OLD_SOURCES = (
    "/etc/apt/sources.list.d/libnvidia-container.list",
    "/etc/apt/sources.list.d/nvidia-docker.list",
    "/etc/apt/sources.list.d/nvidia-container-runtime.list",
    "/etc/apt/sources.list.d/nvidia-container-toolkit.list",
    "/etc/apt/sources.list.d/nvidia-container-toolkit-experimental.list",
    "/etc/yum.repos.d/libnvidia-container.repo",
    "/etc/yum.repos.d/nvidia-docker.repo",
    "/etc/yum.repos.d/nvidia-container-runtime.repo",
    "/etc/zypp/repos.d/libnvidia-container.repo",
    "/etc/zypp/repos.d/nvidia-docker.repo",
    "/etc/zypp/repos.d/nvidia-container-runtime.repo",
)

#: Source lists that this collection writes (apt, dnf, zypper).
_SOURCES = (
    "/etc/apt/sources.list.d/nvidia-container-toolkit.sources",
    "/etc/yum.repos.d/nvidia-container-toolkit.repo",
    "/etc/zypp/repos.d/nvidia-container-toolkit.repo",
)

#: Where CDI specifications stand (Container Device Interface specification, "well-known" folders).
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")

#: First engine with CDI, behind features.cdi (moby #45134); first that reads specifications of version 0.7.0, as the
#: toolkit writes them from 1.19.1 on where their content needs it (additional group ids of device nodes; on H200
#: 1.20.0 wrote 0.5.0); first with CDI switched on by itself (moby 28.2.0).
_CDI_ENGINE, _CDI_070_ENGINE, _CDI_DEFAULT_ENGINE = "25.0", "26.1", "28.2"

#: First toolkit whose runtime injects by CDI (mode auto = jit-cdi) and not by the hook (release notes 1.18.0).
_JIT_CDI_TOOLKIT = "1.18.0"

_REDEPLOY = "then run again; nothing was changed."


def package_versions(run, family: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return ``{name: version-revision}`` of the installed ones of ``names`` ("" for the others).

    Args:
        run: as for ``docker_cli.engine_info``.
        family: ``debian`` or ``rpm``.
        names: package names.
    """
    found = dict.fromkeys(names, "")
    if family == "debian":
        argv = ["dpkg-query", "--show", "--showformat", "${Package}\t${db:Status-Status}\t${Version}\n", *names]
    else:
        argv = ["rpm", "--query", "--queryformat", "%{NAME}\tinstalled\t%{VERSION}-%{RELEASE}\n", *names]
    _status, out, _err = run(argv)  # not 0 as soon as one of them is missing
    for line in out.splitlines():
        name, status, version = [*line.split("\t"), "", ""][:3]
        if name in found and status == "installed":
            found[name] = version
    return found


def _file_versions(run, family: str, paths: list[str]) -> list[dict[str, str]]:
    """Return ``{path, name, version, error}`` of each local package file."""
    result = []
    for path in paths:
        if family == "debian":
            argv = ["dpkg-deb", "--show", "--showformat", "${Package}\t${Version}", path]
        else:
            argv = [
                "rpm",
                "--query",
                "--package",
                "--nosignature",
                "--queryformat",
                "%{NAME}\t%{VERSION}-%{RELEASE}",
                path,
            ]
        status, out, err = run(argv)
        name, version = [*out.strip().split("\t"), ""][:2] if status == 0 else ("", "")
        error = "" if status == 0 else (err or out).strip().splitlines()[-1] if (err or out).strip() else "unreadable"
        result.append({"path": path, "name": name, "version": version, "error": error})
    return result


def runtime_config(text: str) -> dict[str, object]:
    """Return ``{mode, no_cgroups}`` of nvidia-container-runtime's config.toml; the defaults where it is silent."""
    config: dict[str, object] = {"mode": "auto", "no_cgroups": False}
    section = ""
    for line in text.splitlines():
        header = re.match(r"\s*\[([^\]]+)\]", line)
        if header:
            section = header.group(1)
        mode = re.match(r'\s*mode\s*=\s*"([^"]*)"', line)
        if mode and section == "nvidia-container-runtime":
            config["mode"] = mode.group(1)
        if re.match(r"\s*no-cgroups\s*=\s*true", line) and section == "nvidia-container-cli":
            config["no_cgroups"] = True
    return config


def cdi_spec(text: str) -> dict:
    """Return ``{version, devices, drivers}`` of a CDI specification of NVIDIA GPUs (YAML or JSON).

    No devices for another kind. ``drivers`` are the versions of the driver's libraries that it mounts.

    Read by pattern: Python brings no YAML parser, and the files are machine-made.
    """
    kind = re.search(r"[\"']?kind[\"']?:\s*[\"']?([\w./-]+)", text)
    version = re.search(r"[\"']?cdiVersion[\"']?:\s*[\"']?([\d.]+)", text)
    if not kind or kind.group(1) != "nvidia.com/gpu":
        return {"version": "", "devices": [], "drivers": []}
    if text.lstrip().startswith("{"):
        names = re.findall(r"\"name\":\s*\"([\w:.-]+)\"", text)
    else:
        # devices are the items of that list, at the depth of its first one; what is deeper has other names
        body = re.split(r"^(?=[^\s#-])", text.partition("\ndevices:\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        depth = re.match(r"\s*-", body)
        names = (
            re.findall(r"^%s\s+name:\s*[\"']?([\w:.-]+)" % re.escape(depth.group()), body, re.MULTILINE)
            if depth
            else []
        )
    return {
        "version": version.group(1) if version else "",
        "devices": sorted(set(names)),
        "drivers": sorted(set(re.findall(r"/lib(?:cuda|nvidia-ml)\.so\.(\d+(?:\.\d+)+)", text)), key=numbers),
    }


def cdi_specs(root: str = "/") -> list[dict]:
    """Return ``{path, version, devices, drivers}`` of each CDI specification of NVIDIA GPUs on the host."""
    specs = []
    for folder in _CDI_FOLDERS:
        for path in sorted(glob.glob(os.path.join(root, folder.lstrip("/"), "*"))):
            if path.endswith((".yaml", ".yml", ".json")):
                found = cdi_spec(files.read_text(path))
                if found["devices"]:
                    specs.append({"path": path, **found})
    return specs


def inspect(run, family: str, package_files: list[str], root: str = "/") -> dict:
    """Return what the host has of the toolkit.

    Args:
        run: as for ``docker_cli.engine_info``.
        family: ``debian`` or ``rpm``.
        source_path: file of the package source that the role writes.
        package_files: local package files to look into.
        root: where the file system begins (for tests).

    Returns:
        ``packages`` (of :data:`PACKAGES`), ``old_packages`` (installed ones of :data:`OLD_PACKAGES`), ``old_sources``
        (files of :data:`OLD_SOURCES`), ``source`` (text of the role's own source, "" when missing), ``files`` (see
        :func:`_file_versions`), ``runtime_config``, ``cdi_specs``.
    """
    versions = package_versions(run, family, PACKAGES + _OLD_PACKAGES)
    return {
        "packages": {name: versions[name] for name in PACKAGES},
        "old_packages": [name for name in _OLD_PACKAGES if versions[name]],
        "old_sources": [path for path in _OLD_SOURCES if os.path.exists(os.path.join(root, path.lstrip("/")))],
        "source": "".join(files.read_text(os.path.join(root, path.lstrip("/"))) for path in _SOURCES),
        "files": _file_versions(run, family, package_files),
        "runtime_config": runtime_config(
            files.read_text(os.path.join(root, "etc/nvidia-container-runtime/config.toml"))
        ),
        "cdi_specs": cdi_specs(root),
    }


def wanted_daemon_config(access: str, engine: dict) -> dict:
    """Return the keys of daemon.json that the way of ``access`` (``runtime``, ``cdi`` or ``deploy``) needs."""
    if access == "runtime":
        # as `nvidia-ctk runtime configure --runtime=docker` registers it
        return {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}
    if access == "cdi" and not (at_least(engine["version"], _CDI_DEFAULT_ENGINE) and engine["cdi_spec_dirs"]):
        return {"features": {"cdi": True}}
    return {}


def engine_lacks(access: str, engine: dict) -> str:
    """Return what a running engine needs beyond daemon.json being right: ``none``, ``reload`` or ``restart``.

    It says what a run that died between writing and telling the engine left undone.
    """
    if not engine["answering"]:
        return "none"
    if access == "runtime" and "nvidia" not in engine["runtimes"]:
        return "reload"
    return "restart" if access == "cdi" and not engine["cdi_spec_dirs"] else "none"


def stale_cdi(specs: list[dict], gpus: list[dict], devices: list[str], driver: str = "") -> str:
    """Say why the CDI specifications do not fit driver, GPUs and those asked for; "" when they do.

    A change of the driver or of MIG leaves an old specification behind (nvidia-cdi-refresh does not notice).

    Args:
        specs: of :func:`cdi_specs`.
        gpus: the host's, with ``uuid``.
        devices: those asked for.
        driver: version of the driver that answers now; empty when it is not known.
    """
    if not specs:
        return "there is no CDI specification of NVIDIA GPUs in %s" % " or ".join(_CDI_FOLDERS)
    known = {name for spec in specs for name in spec["devices"]}
    uuids = {name for name in known if name.startswith("GPU-")}
    real = {gpu["uuid"] for gpu in gpus}
    if uuids and uuids - real:
        return "%s names %s, which this host does not have" % (specs[0]["path"], ", ".join(sorted(uuids - real)))
    for spec in specs:
        if driver and spec["drivers"] and driver not in spec["drivers"]:
            return "%s mounts the libraries of driver %s, and this host has %s" % (
                spec["path"], ", ".join(spec["drivers"]), driver)  # fmt: skip
    missing = [device for device in devices if device not in known]
    if missing:
        return "%s lacks %s" % (specs[0]["path"], ", ".join("nvidia.com/gpu=" + device for device in missing))
    return ""


def problems(facts: dict, engine: dict, wanted: dict) -> list[dict]:
    """Return what keeps the toolkit from being installed or from working, as ``{id, found, needed, fix}``.

    Args:
        facts: :func:`inspect`.
        engine: ``docker_cli.engine_info()``.
        wanted: ``version``, ``min_version``, ``allow_vulnerable``, ``access``, ``package_files``.
    """
    found = [*_version(facts, wanted), *_files(facts, wanted)]
    if engine["rootless"]:
        found.append(_problem(
            "rootless",
            "a rootless engine",
            "an engine that root runs",
            "A rootless engine reads ~/.config/docker/daemon.json and needs no-cgroups = true in "
            "/etc/nvidia-container-runtime/config.toml, which breaks an engine of root on the same host. Set it up by "
            "hand as its owner, or remove it and let the role docker_engine install an engine, " + _REDEPLOY,
        ))  # fmt: skip
    elif facts["runtime_config"]["no_cgroups"]:
        found.append(_problem(
            "no_cgroups",
            "no-cgroups = true in /etc/nvidia-container-runtime/config.toml",
            "no-cgroups = false, as this engine is run by root",
            'Containers would start and then say "Failed to initialize NVML: Unknown Error". Run "nvidia-ctk config '
            '--set nvidia-container-cli.no-cgroups=false --in-place", ' + _REDEPLOY,
        ))  # fmt: skip
    if wanted["access"] == "cdi" and engine["answering"]:
        found += _cdi_engine(facts, engine, wanted)
    return found


def _problem(identity: str, found: str, needed: str, fix: str) -> dict:
    return {"id": identity, "ok": False, "found": found, "needed": needed, "fix": fix}


def _version(facts: dict, wanted: dict) -> list[dict]:
    versions = {item["version"] for item in facts["files"] if item["version"]} if wanted["package_files"] else ()
    low = [v for v in versions or (wanted["version"],) if not at_least(v, wanted["min_version"])]
    if not low or wanted["allow_vulnerable"]:
        return []
    return [_problem(
        "toolkit_version",
        "version %s" % ", ".join(sorted(low)),
        "%s or later" % wanted["min_version"],
        "Older ones let a container take over the host (CVE-2026-24260 up to 1.19.0, CVE-2025-23266 up to 1.17.7). "
        "Set nvidia_container_toolkit_version%s higher, or accept the risk with "
        "nvidia_container_toolkit_allow_vulnerable."
        % (" or the files of nvidia_container_toolkit_package_files" if wanted["package_files"] else ""),
    )]  # fmt: skip


def _files(facts: dict, wanted: dict) -> list[dict]:
    if not wanted["package_files"]:
        return []
    bad = ["%s (%s)" % (item["path"], item["error"]) for item in facts["files"] if item["error"]]
    names = [item["name"] for item in facts["files"] if item["name"]]
    missing = [name for name in PACKAGES if name not in names]
    versions = sorted({item["version"] for item in facts["files"] if item["version"]})
    found = []
    if bad:
        found.append("unreadable: %s" % ", ".join(bad))
    if missing and not bad:
        found.append("no file of %s" % ", ".join(missing))
    if len(versions) > 1:
        found.append("several versions: %s" % ", ".join(versions))
    if not found:
        return []
    return [_problem(
        "package_files",
        "; ".join(found),
        "the files of all four packages (%s) at one version, on the host" % ", ".join(PACKAGES),
        "Mend nvidia_container_toolkit_package_files.",
    )]  # fmt: skip


def _cdi_engine(facts: dict, engine: dict, wanted: dict) -> list[dict]:
    other = 'or set vllm_gpu_access to "runtime".'
    if not at_least(engine["version"], _CDI_ENGINE):
        return [_problem("cdi_engine", "Docker %s" % engine["version"], "Docker %s or later for CDI" % _CDI_ENGINE,
                         "Upgrade Docker, " + other)]  # fmt: skip
    # what is not written yet is not refused: its version is the least that its content needs
    newest = max((spec["version"] for spec in facts["cdi_specs"]), key=numbers, default="")
    if newest and at_least(newest, "0.7.0") and not at_least(engine["version"], _CDI_070_ENGINE):
        return [_problem(
            "cdi_spec_version",
            "Docker %s, and CDI specifications of version %s" % (engine["version"], newest),
            "Docker %s or later for that version" % _CDI_070_ENGINE,
            "Upgrade Docker, " + other,
        )]  # fmt: skip
    return []


def warnings(facts: dict, engine: dict, wanted: dict) -> list[str]:
    """Return what works now and may break later, each a sentence with its fix."""
    hook = wanted["access"] == "deploy" or (
        wanted["access"] == "runtime"
        and (facts["runtime_config"]["mode"] == "legacy" or not at_least(wanted["version"], _JIT_CDI_TOOLKIT))
    )
    if hook and engine["cgroup_driver"] == "systemd" and not at_least(engine["version"], "29.2"):
        return [
            "Containers get their GPUs by the legacy hook, and the engine's cgroup driver is systemd: any "
            '"systemctl daemon-reload", also by a package upgrade, takes the GPUs away from running containers '
            '("Failed to initialize NVML: Unknown Error"). Set vllm_gpu_access to "runtime" (with the toolkit in its '
            'mode auto) or "cdi", or put native.cgroupdriver=cgroupfs into exec-opts of daemon.json.'
        ]
    return []


def to_install(facts: dict, wanted: dict) -> list[str]:
    """Return the packages of the four whose installed version is not the wanted ``version-revision``."""
    if wanted["package_files"]:
        versions = {item["name"]: item["version"] for item in facts["files"]}
    else:
        versions = dict.fromkeys(PACKAGES, "%s-%s" % (wanted["version"], wanted["revision"]))
    return [name for name in PACKAGES if facts["packages"][name] != versions.get(name)]


def report(found: list[dict]) -> str:
    """Return the text shown when problems were found."""
    count = "1 problem keeps" if len(found) == 1 else "%d problems keep" % len(found)
    lines = ["%s the GPUs from working in containers; nothing was changed." % count]
    lines += ["- %s: found %s, needed %s. %s" % (p["id"], p["found"], p["needed"], p["fix"]) for p in found]
    return "\n".join(lines)
