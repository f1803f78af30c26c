# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what node_exporter cannot know into its textfile collector: containers, releases and GPUs of vLLM services.

A timer runs it (vllm-textfile.timer). It only looks: docker inspect, the release folders, nvidia-smi, the kernel's log.
Python 3.9, standard library only.

    vllm_textfile.py SERVICES OUTPUT    SERVICES: folder with a JSON file a service (name, container, dir, gpu)
"""

from __future__ import annotations

import calendar
import glob
import json
import os
import re
import subprocess
import sys
import time

#: Longest time for one command in seconds. A GPU that hangs makes nvidia-smi hang.
TIMEOUT_S = 10

#: The file by which a deployment keeps others out, and after how many seconds without a sign of life it died.
LOCK, LOCK_SILENT_S = "deployment.lock", 300

#: The note of who stopped a service on purpose. It counts while the container does not run and was not started since.
STOPPED = "stopped.json"

#: What nvidia-smi is asked, each with the name of its series, and a factor. MiB become bytes, per cent a ratio.
GPU_FIELDS = (
    ("temperature.gpu", "nvidia_smi_temperature_gpu", 1.0),
    ("memory.used", "nvidia_smi_memory_used_bytes", 1048576.0),
    ("memory.total", "nvidia_smi_memory_total_bytes", 1048576.0),
    ("utilization.gpu", "nvidia_smi_utilization_gpu_ratio", 0.01),
    ("power.draw", "nvidia_smi_power_draw_watts", 1.0),
    ("ecc.errors.uncorrected.volatile.total", "nvidia_smi_ecc_errors_uncorrected_volatile_total", 1.0),
    ("remapped_rows.failure", "nvidia_smi_remapped_rows_failure", 1.0),
    ("remapped_rows.pending", "nvidia_smi_remapped_rows_pending", 1.0),
)

#: Drivers from 570 on know it; an older nvidia-smi refuses the whole question, so it is one of its own.
RECOVERY = "gpu_recovery_action"

#: Its values in nvidia-smi's words, in the order of NVML's numbers (nvml.h: nvmlDeviceGpuRecoveryAction_t).
RECOVERY_ACTIONS = ("none", "reset", "reboot", "drain p2p", "drain and reset")

XID = re.compile(r"^(\d+(?:\.\d+)?) .*NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)")

HELP = {
    "vllm_container_running": "Whether the container of the service runs.",
    "vllm_container_restarts": "How often Docker has started this container again.",
    "vllm_container_oom_killed": "Whether the kernel ended a process of this container for want of memory.",
    "vllm_container_exit_code": "Exit code of its last end.",
    "vllm_container_release_info": "The release that the container was accepted with.",
    "vllm_release_info": "The release that is current.",
    "vllm_deployment_time_seconds": "When the current release was accepted, in seconds since 1970.",
    "vllm_deploying": "Whether a deployment of the service goes on.",
    "vllm_stopped": "Whether somebody stopped the service on purpose (stop_medium.yml).",
    "vllm_textfile_last_run_seconds": "When this was written, in seconds since 1970.",
    "nvidia_smi_last_collect_success": "Whether nvidia-smi answered.",
    "nvidia_smi_gpu_info": "A GPU.",
    "nvidia_smi_gpu_recovery_action": "What the driver wants done with the GPU, 0 for nothing.",
    "nvidia_smi_xid_last_timestamp_seconds": "When the kernel's log has this Xid last, in seconds since 1970.",
}


def run(*words: str) -> str | None:
    """Return what a command prints; None when it fails, hangs or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def label(text: object) -> str:
    """Return a text as a label's value."""
    return str(text).replace("\\", "\\\\").replace("\n", " ").replace('"', '\\"')


def read(path: str) -> dict:
    """Return the content of a JSON file; nothing where it is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            found = json.load(handle)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def seconds(text: object) -> float | None:
    """Return a time as release.json has it (UTC) in seconds since 1970."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ"):
        try:
            return float(calendar.timegm(time.strptime(str(text), form)))
        except ValueError:
            continue
    return None


def deploying(folder: str) -> bool:
    """Tell whether a deployment of the service goes on, by its sign of life."""
    try:
        return time.time() - os.stat(os.path.join(folder, LOCK)).st_mtime < LOCK_SILENT_S
    except OSError:
        return False


def stopped(folder: str, state: dict) -> bool:
    """Tell whether the service was stopped on purpose.

    Args:
        folder: of the service.
        state: what docker inspect says under State; empty where there is no container.
    """
    at_s = read(os.path.join(folder, STOPPED)).get("at_s")
    if not isinstance(at_s, (int, float)) or state.get("Running") or state.get("Restarting"):
        return False
    # with nanoseconds, which nobody here needs
    started = seconds(str(state.get("StartedAt", ""))[:19] + "Z")
    return started is None or started <= at_s


def of_service(service: dict, inspected: str | None) -> list[tuple[str, dict, float]]:
    """Return the samples of a service as (name, labels, value).

    Args:
        service: its JSON file.
        inspected: what docker inspect says; None where there is no such container.
    """
    name, folder = service["name"], service["dir"]
    current = os.path.basename(os.path.realpath(os.path.join(folder, "current")))
    found: list[tuple[str, dict, float]] = [("vllm_deploying", {"service": name}, float(deploying(folder)))]
    about = read(os.path.join(folder, "current", "release.json"))
    if about:
        found.append(("vllm_release_info", {"service": name, "release": current}, 1))
        accepted = seconds(about.get("good_since"))
        if accepted is not None:
            found.append(("vllm_deployment_time_seconds", {"service": name, "release": current}, accepted))
    try:
        state = json.loads(inspected or "")[0]
    except (ValueError, IndexError, KeyError, TypeError):
        found.append(("vllm_container_running", {"service": name, "id": ""}, 0))
        found.append(("vllm_stopped", {"service": name}, float(stopped(folder, {}))))
        return found
    identity = str(state.get("Id", ""))
    labels = {"service": name, "id": identity[:12]}
    inner = state.get("State", {})
    found += [
        ("vllm_container_running", labels, float(bool(inner.get("Running")))),
        ("vllm_container_restarts", labels, float(state.get("RestartCount", 0))),
        ("vllm_container_oom_killed", labels, float(bool(inner.get("OOMKilled")))),
        ("vllm_container_exit_code", labels, float(inner.get("ExitCode", 0))),
    ]
    found.append(("vllm_stopped", {"service": name}, float(stopped(folder, inner))))
    release = "unknown"
    for path in glob.glob(os.path.join(folder, "releases", "*", "release.json")):
        if identity and read(path).get("container_id") == identity:
            release = os.path.basename(os.path.dirname(path))
    found.append(("vllm_container_release_info", {"service": name, "release": release}, 1))
    return found


def number(text: str) -> float | None:
    """Return a value of nvidia-smi; None for [N/A] and the like."""
    words = {"yes": 1.0, "no": 0.0}
    text = text.strip()
    if text.lower() in words:
        return words[text.lower()]
    try:
        return float(text)
    except ValueError:
        return None


def of_gpus(table: str | None, recovery: str | None, kernel: str | None) -> list[tuple[str, dict, float]]:
    """Return the samples of the GPUs.

    Args:
        table: lines of nvidia-smi, uuid, name and the fields of GPU_FIELDS; None where it did not answer.
        recovery: lines with uuid and recovery action; None from a driver that does not know it.
        kernel: lines of the kernel's log with seconds since 1970 in front; None where nobody may read it.
    """
    found: list[tuple[str, dict, float]] = [("nvidia_smi_last_collect_success", {}, float(table is not None))]
    for line in (table or "").splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 2 + len(GPU_FIELDS):
            continue
        found.append(("nvidia_smi_gpu_info", {"uuid": cells[0], "name": cells[1]}, 1))
        for (_field, name, factor), cell in zip(GPU_FIELDS, cells[2:]):
            value = number(cell)
            if value is not None:
                found.append((name, {"uuid": cells[0]}, value * factor))
    for line in (recovery or "").splitlines():
        uuid, _comma, action = (part.strip() for part in line.partition(","))
        if action.lower() in RECOVERY_ACTIONS:
            value = float(RECOVERY_ACTIONS.index(action.lower()))
            found.append(("nvidia_smi_gpu_recovery_action", {"uuid": uuid}, value))
    last: dict[tuple[str, str], float] = {}
    for match in filter(None, map(XID.match, (kernel or "").splitlines())):
        last[(match[2], match[3])] = float(match[1])
    found += [
        ("nvidia_smi_xid_last_timestamp_seconds", {"pci_bus_id": bus, "xid": xid}, when)
        for (bus, xid), when in sorted(last.items())
    ]
    return found


def exposition(samples: list[tuple[str, dict, float]]) -> str:
    """Return the samples as node_exporter reads them: all of a name together, under one TYPE line."""
    lines = []
    for name in dict.fromkeys(sample[0] for sample in samples):
        lines.append("# HELP %s %s" % (name, HELP.get(name, "As nvidia-smi tells it.")))
        lines.append("# TYPE %s gauge" % name)
        for other, labels, value in samples:
            if other == name:
                inner = ",".join('%s="%s"' % (key, label(text)) for key, text in labels.items())
                lines.append("%s%s %s" % (name, "{%s}" % inner if inner else "", repr(value)))
    return "\n".join(lines) + "\n"


def write(path: str, text: str) -> None:
    """Put a text into place as a whole, readable for node_exporter; half a file would be an error of all of it."""
    draft = "%s.%d.tmp" % (path, os.getpid())
    with open(draft, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.chmod(draft, 0o644)
    os.replace(draft, path)


def collect(folder: str) -> list[tuple[str, dict, float]]:
    """Return all samples of this host."""
    samples: list[tuple[str, dict, float]] = []
    services = [read(path) for path in sorted(glob.glob(os.path.join(folder, "*.json")))]
    for service in services:
        if service:
            samples += of_service(service, run("docker", "inspect", service["container"]))
    if any(service.get("gpu") for service in services):
        ask = ("nvidia-smi", "--format=csv,noheader,nounits")
        fields = ",".join(field for field, _name, _factor in GPU_FIELDS)
        samples += of_gpus(
            run(*ask, "--query-gpu=uuid,name," + fields),
            run(*ask, "--query-gpu=uuid," + RECOVERY),
            run("journalctl", "--dmesg", "--since=-1h", "--output=short-unix", "--no-pager", "--grep=NVRM: Xid"),
        )
    samples.append(("vllm_textfile_last_run_seconds", {}, time.time()))
    return samples


if __name__ == "__main__":
    write(sys.argv[2], exposition(collect(sys.argv[1])))
