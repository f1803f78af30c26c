# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a container gets the GPUs it asks for, no more and no fewer. Standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command

#: Name of the image that is made from the host's own shell and C library, so that nothing has to be pulled.
IMAGE = "myia-vllm-gpu-test"

#: Label of everything the test leaves in the engine.
LABEL = "io.github.myia-vllm.gpu-test"

#: Libraries that nvidia-smi loads (ldd nvidia-smi, driver 580); with glibc 2.34 and later most are empty shells.
_LIBRARIES = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1")

#: Where nvidia-smi lies on hosts that keep the driver outside of /usr/bin: GKE and Container-Optimized OS, WSL.
_MORE_FOLDERS = ("/usr/local/nvidia/bin", "/usr/lib/wsl/lib")

#: What the engine or the toolkit says (wordings of moby, runc and libnvidia-container), what it means, and the fix.
_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        r"could not select device driver",
        "device_driver_missing",
        "Docker found neither nvidia-container-runtime-hook nor a CDI driver in its PATH when it started: restart "
        "Docker (systemctl restart docker) once after the toolkit's installation.",
    ),
    (
        r"unknown or invalid runtime name|Unknown runtime specified",
        "runtime_unknown",
        "Docker does not know the runtime nvidia: it reads another file than /etc/docker/daemon.json (a snap package, "
        'rootless Docker, --config-file in its unit). See "docker info" and "systemctl cat docker".',
    ),
    (
        r"unresolvable CDI devices|failed to inject CDI devices",
        "cdi_device_unknown",
        "The CDI specification does not have that device: systemctl restart nvidia-cdi-refresh, then look at "
        "nvidia-ctk cdi list.",
    ),
    (
        r"driver/library version mismatch",
        "driver_library_mismatch",
        "The loaded kernel module and the driver's libraries are of different versions: reboot the host.",
    ),
    (
        r"Failed to initialize NVML: Unknown Error|nvml error: unknown error",
        "nvml_unknown",
        "The container has the libraries and may not open the devices. On an engine that root runs set no-cgroups = "
        "false in /etc/nvidia-container-runtime/config.toml; with the systemd cgroup driver use vllm_gpu_access "
        "runtime or cdi; then recreate the container.",
    ),
    (
        r"Insufficient Permissions",
        "selinux",
        "SELinux keeps containers from the devices: setsebool -P container_use_devices 1.",
    ),
    (
        r"bpf_prog_query\(BPF_CGROUP_DEVICE\) failed",
        "rootless",
        "A rootless engine may not set up device rules: no-cgroups = true for it, or vllm_gpu_access cdi.",
    ),
    (
        r"device error: \S+: unknown device|unknown device",
        "device_unknown",
        "That GPU does not exist: set vllm_gpu_devices to indices or UUIDs that nvidia-smi -L lists.",
    ),
    (
        r"driver not loaded|load library failed: libnvidia-ml|couldn't communicate with the NVIDIA driver",
        "driver_not_loaded",
        "The driver does not work on the host itself: nvidia-smi must answer there first.",
    ),
    (
        r"exec: (?:\S+ )?nvidia-smi: not found|nvidia-smi: No such file",
        "nvidia_smi_missing",
        "The container got no nvidia-smi: NVIDIA_DRIVER_CAPABILITIES lets the toolkit mount it (utility), from the "
        "folder of the host's own, which must be in PATH of the engine too (systemctl show docker -p Environment). Or "
        "leave this test out (nvidia_container_toolkit_gpu_test: false).",
    ),
    (
        r"nvidia-container-runtime: executable file not found|exec: \"nvidia-container-runtime",
        "toolkit_missing",
        "Docker knows the runtime nvidia, but its program is gone: run the role nvidia_container_toolkit.",
    ),
)


def explain(text: str) -> dict[str, str]:
    """Return ``{id, text, fix}`` for what a failed test said."""
    short = " ".join(text.split())[-500:]
    for pattern, identity, fix in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return {"id": identity, "text": short, "fix": fix}
    return {"id": "other", "text": short, "fix": "See the engine's own messages: journalctl -u docker.service."}


def listing(text: str) -> list[dict]:
    """Return ``{index, name, uuid}`` of the GPUs that ``nvidia-smi -L`` lists, MIG devices in place of their GPU."""
    found: list[dict] = []
    parent = None
    for line in text.splitlines():
        gpu = re.match(r"GPU (\d+): (.*) \(UUID: (GPU-[0-9A-Za-z-]+)\)", line)
        mig = re.match(r"\s+MIG (.*?)\s+Device\s+(\d+): \(UUID: (MIG-[0-9A-Za-z/-]+)\)", line)
        if gpu:
            parent = {"index": gpu.group(1), "name": gpu.group(2), "uuid": gpu.group(3)}
            found.append(parent)
        elif mig and parent:
            if parent in found:
                found.remove(parent)
            index = "%s:%s" % (parent["index"], mig.group(2))
            found.append({"index": index, "name": "%s MIG %s" % (parent["name"], mig.group(1)), "uuid": mig.group(3)})
    return found


def wanted_uuids(devices: list[str], on_host: list[dict]) -> tuple[list[str], list[str]]:
    """Return (UUIDs that ``devices`` name, devices that the host does not have)."""
    if devices == ["all"]:
        return [gpu["uuid"] for gpu in on_host], []
    by_name = {name: gpu["uuid"] for gpu in on_host for name in (gpu["index"], gpu["uuid"])}
    return [by_name[item] for item in devices if item in by_name], [item for item in devices if item not in by_name]


def gpu_options(access: str, devices: list[str]) -> list[str]:
    """Return the options of ``docker run`` that ask for GPUs as templates/compose.yml.j2 does for ``access``."""
    joined = ",".join(devices)
    if access == "runtime":
        return ["--runtime=nvidia", "--env=NVIDIA_VISIBLE_DEVICES=" + joined]
    if access == "cdi":
        return ["--device=nvidia.com/gpu=" + device for device in devices]
    return ["--gpus=all" if joined == "all" else '--gpus="device=%s"' % joined]


def smi_folders(path: str | None) -> list[str]:
    """Return the folders in which a container may have the host's nvidia-smi: the toolkit keeps its place.

    Args:
        path: of the host's own, which may be a link; None without one.
    """
    found = [os.path.dirname(item) for item in (path, os.path.realpath(path)) if item] if path else []
    return list(dict.fromkeys(["/usr/bin", "/bin", *found, *_MORE_FOLDERS]))


def run_command(access: str, devices: list[str], image: str, name: str, folders: list[str]) -> list[str]:
    """Return the command that lists the GPUs in a container; ``folders`` are of :func:`smi_folders`."""
    return [
        "docker", "run", "--rm", "--pull=never", "--network=none", "--name=" + name, "--label=" + LABEL,
        "--env=NVIDIA_DRIVER_CAPABILITIES=compute,utility", "--env=PATH=" + ":".join(folders),
        *gpu_options(access, devices), "--entrypoint=/bin/sh", image,
        "-c", 'echo "visible=$NVIDIA_VISIBLE_DEVICES"; exec nvidia-smi -L',
    ]  # fmt: skip


def judge(out: str, wanted: list[str]) -> dict:
    """Compare what a container lists with the UUIDs that it shall have.

    Returns:
        ``gpus`` (:func:`listing`), ``missing`` and ``extra`` (UUIDs), ``injected_by``: ``cdi`` when
        NVIDIA_VISIBLE_DEVICES is ``void`` (so CDI keeps the runtime from a second injection), else ``toolkit``.
    """
    gpus = listing(out)
    there = [gpu["uuid"] for gpu in gpus]
    return {
        "gpus": gpus,
        "missing": [uuid for uuid in wanted if uuid not in there],
        "extra": [uuid for uuid in there if uuid not in wanted],
        "injected_by": "cdi" if re.search(r"^visible=void$", out, re.MULTILINE) else "toolkit",
    }


def image_files(run) -> dict[str, str]:
    """Return ``{path in the image: file of the host}`` of a shell, its libraries and those of nvidia-smi.

    Args:
        run: function of (argument list, time limit in seconds) as ``host_command.run``.
    """
    files = {"bin/sh": os.path.realpath("/bin/sh")}
    smi = host_command.which("nvidia-smi")
    for program in (files["bin/sh"], *([smi] if smi else [])):
        _status, out, _err, _timed_out = run(["ldd", program], 10.0)  # no output for a script
        # "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)" and "/lib64/ld-linux-x86-64.so.2 (0x...)"
        for path in re.findall(r"(?:=>\s*|^\s*)(/\S+) \(0x", out, re.MULTILINE):
            files[path.lstrip("/")] = os.path.realpath(path)
    folders = sorted({os.path.dirname(path) for path in files if path.endswith("libc.so.6")})
    for folder in folders:
        for name in _LIBRARIES:
            path = os.path.join("/", folder, name)
            if os.path.exists(path):
                files[path.lstrip("/")] = os.path.realpath(path)
    return files


def image_tag(files: dict[str, str]) -> str:
    """Return the image's name; another one as soon as the host's C library or shell is another."""
    digest = hashlib.sha256()
    for path, source in sorted(files.items()):
        found = os.stat(source)
        digest.update(("%s %d %d\n" % (path, found.st_size, found.st_mtime_ns)).encode())
    return "%s:%s" % (IMAGE, digest.hexdigest()[:12])


def image_archive(files: dict[str, str]) -> bytes:
    """Return the image's file system as a tar archive, for ``docker import``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("etc", "tmp", "proc", "usr/bin"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, source in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = 0o755, os.path.getsize(source)
            with open(source, "rb") as handle:
                archive.addfile(entry, handle)
    return buffer.getvalue()
