# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask nvidia-smi what GPUs there are, and tell why it gives no answer. Python standard library only; runs on hosts.

Private to this collection; may change at any time.

The names of the XML elements are those of ``nvsmi_device_v10.dtd`` (driver 440), ``_v11`` (460 to 525), ``_v12`` (535
and newer) and ``_v13``, which 580.159 names and in which the elements that are read here are those of v12. The XML
tells neither the compute capability nor the UUID of a MIG device: the first is asked for in a second call, the second
in a third one, which is made only where MIG devices are.
"""

from __future__ import annotations

import csv
import io
import re
import time
import xml.etree.ElementTree as ET

#: Seconds that all calls together may take. A host with eight GPUs and without persistence mode needs about 10.
TIMEOUT_S = 20.0

#: Columns of the CSV query, for drivers whose XML cannot be read: column -> key of a GPU.
CSV_FIELDS = {
    "index": "index",
    "uuid": "uuid",
    "name": "name",
    "pci.bus_id": "pci_bus_id",
    "driver_version": "",
    "memory.total": "memory_total_mib",
    "memory.used": "memory_used_mib",
    "memory.free": "memory_free_mib",
    "compute_cap": "compute_capability",
    "mig.mode.current": "mig_mode",
    "ecc.mode.current": "ecc_mode",
    "power.limit": "power_limit_w",
    "pcie.link.gen.current": "pcie_generation",
    "pcie.link.gen.max": "pcie_generation_max",
    "pcie.link.width.current": "pcie_width",
    "pcie.link.width.max": "pcie_width_max",
}

#: A GPU of which nothing is known; the keys that every GPU has.
UNKNOWN_GPU = {
    "index": None,
    "uuid": None,
    "name": None,
    "minor_number": None,
    "pci_bus_id": None,
    "memory_total_mib": None,
    "memory_used_mib": None,
    "memory_free_mib": None,
    "compute_capability": None,
    "mig_mode": None,
    "mig_devices": [],
    "ecc_mode": None,
    "power_limit_w": None,
    "pcie_generation": None,
    "pcie_generation_max": None,
    "pcie_width": None,
    "pcie_width_max": None,
    "processes": [],
    "fault": None,
}

_REBOOT = (
    "Reboot the host so that the new kernel module is loaded (or stop everything that uses a GPU and reload the nvidia "
    "modules). To keep it from happening again, hold the packages nvidia-* and libnvidia-* back from unattended "
    "upgrades and upgrade the driver only together with a reboot."
)
_LOST = (
    "Read the kernel's messages (journalctl -k | grep -e NVRM -e Xid) and reboot the host. If it comes back, power, "
    "riser or cooling of that card is the usual reason; until then leave the GPU out of vllm_gpu_devices."
)
_INSTALL = (
    "Install the NVIDIA driver of the distribution or of NVIDIA (this collection does not), reboot, and make sure that "
    "nvidia-smi lists the GPUs. On a host without a GPU set vllm_accelerator to cpu."
)

#: What a failing nvidia-smi says (in lower case) or exits with, the id of that failure, and the fix. The exit
#: statuses are those of `man nvidia-smi`, section RETURN VALUE, and NVML's nvmlReturn_t; the first match counts.
FAILURES = (
    ("driver/library version mismatch", 18, "driver_library_mismatch", _REBOOT),
    ("couldn't find libnvidia-ml", 12, "library_missing", _INSTALL),
    (
        "blocked by the operating system",
        17,
        "gpu_access_blocked",
        "In a Windows Subsystem for Linux update the NVIDIA driver of Windows and WSL itself (wsl --update); install "
        "no Linux driver there.",
    ),
    (
        "insufficient permissions",
        4,
        "insufficient_permissions",
        "Run the play as root (become). As root it is SELinux or missing rights of /dev/nvidia*: look at "
        "ausearch -m avc -ts recent and ls -l /dev/nvidia*.",
    ),
    (
        "couldn't communicate with the nvidia driver",
        9,
        "driver_not_loaded",
        "Load the module (modprobe nvidia) and read why it is not (journalctl -k | grep -i nvidia). After a kernel "
        "upgrade install the headers of the running kernel and build the module for it (dkms autoinstall).",
    ),
    (
        "driver not loaded",
        None,
        "driver_not_loaded",
        "Load the module (modprobe nvidia) and read why it is not (journalctl -k | grep -i nvidia).",
    ),
    ("gpu is lost", 15, "gpu_lost", _LOST),
    ("unable to determine the device handle", None, "gpu_lost", _LOST),
    ("fallen off the bus", None, "gpu_lost", _LOST),
    (
        "no devices were found",
        6,
        "no_devices",
        "The driver runs but takes no card. Look whether the card is on the bus (lspci -d 10de:) and why the driver "
        "refused it (journalctl -k | grep NVRM): a card that this driver version does not know, an open kernel module "
        "with a card older than Turing, or a card without power. In a virtual machine pass the card through.",
    ),
    (
        "failed to initialize nvml",
        None,
        "nvml_unknown",
        "Read the kernel's messages (journalctl -k | grep -e NVRM -e Xid). In a container it means that the device "
        "rules were dropped (systemctl daemon-reload with the systemd cgroup driver): recreate the container. On the "
        "host a reboot helps when the driver was changed.",
    ),
)

#: Said by a field instead of its value when the whole GPU is out of order (nvmlErrorString).
_GPU_FAULTS = ("gpu is lost", "gpu requires reset")

#: Said by a field that has no value.
_ABSENT = (
    "", "n/a", "none", "err!", "unknown", "unknown error", "not found", "not supported", "not available",
    "insufficient permissions", "insufficient permission", "requested functionality has been deprecated", *_GPU_FAULTS,
)  # fmt: skip


def failure(status: int, out: str, err: str, timed_out: bool) -> dict | None:
    """Tell why nvidia-smi failed.

    Args:
        status: exit status; 127 for a program that is not there.
        out: standard output, without the answer itself (see :func:`_split_document`).
        err: standard error.
        timed_out: whether the time limit ended it.

    Returns:
        ``{id, found, fix}`` in one line each, or None when nothing failed. The ids: not_installed, hang,
        driver_library_mismatch, library_missing, gpu_access_blocked, insufficient_permissions, driver_not_loaded,
        gpu_lost, no_devices, nvml_unknown, other.
    """
    text = " ".join((out + " " + err).split())[:500].rstrip(".")
    if timed_out:
        return {
            "id": "hang",
            "found": "nvidia-smi gave no answer within its time limit" + (" (%s)" % text if text else ""),
            "fix": "Read the kernel's messages (journalctl -k | grep -e NVRM -e Xid); a driver that does not answer "
            "usually needs a reboot. If it is only slow, turn on persistence mode (the service nvidia-persistenced).",
        }
    if status == 127:
        return {"id": "not_installed", "found": "nvidia-smi is not installed", "fix": _INSTALL}
    for words, _code, identity, fix in FAILURES:
        if words in text.lower():
            return {"id": identity, "found": text, "fix": fix}
    if status == 0:
        return None
    found = "nvidia-smi exited with %d%s" % (status, ": " + text if text else "")
    for _words, code, identity, fix in FAILURES:
        if status == code:
            return {"id": identity, "found": found, "fix": fix}
    return {"id": "other", "found": found, "fix": "Run nvidia-smi on the host and mend what it says."}


def query(run, timeout_s: float = TIMEOUT_S) -> dict:
    """Ask nvidia-smi for everything that this collection uses.

    Args:
        run: function of (argument list, time limit in seconds) that returns (exit status, standard output, standard
            error, timed out), as :func:`host_command.run`.
        timeout_s: seconds that all calls together may take.

    Returns:
        ``gpus`` (see :data:`UNKNOWN_GPU`; memory in MiB, power in W, whatever the driver does not tell is None; a
        process has ``pid``, ``name``, ``type``, ``memory_mib``; a MIG device ``index``, ``uuid``, ``name``,
        ``gpu_instance_id``, ``compute_instance_id`` and the memory), ``driver_version``, ``cuda_version``, ``error``
        (None, or ``id``, ``text`` and ``fix``; GPUs may be there beside an error, when only some of them are lost).
    """
    deadline = time.monotonic() + timeout_s

    def call(*options: str) -> tuple[int, str, str, bool]:
        return run(["nvidia-smi", *options], max(1.0, deadline - time.monotonic()))

    status, out, err, timed_out = call("-q", "-x")
    document, rest = _split_document(out)
    problem = failure(status, rest, err, timed_out)
    answer = parse_xml(document) if document else None
    if answer is None and problem is None:
        answer, problem = _query_csv(call)
    elif answer and answer["gpus"]:
        # beside GPUs only these count: nvidia-smi also fails for a warning (14, a corrupted infoROM)
        problem = problem if problem and problem["id"] in ("gpu_lost", "hang") else None
        if not timed_out:
            _complete(answer["gpus"], call)
    elif answer and problem is None:
        problem = failure(6, "No devices were found", "", False)
    answer = answer or {"gpus": [], "driver_version": None, "cuda_version": None}
    lost = [gpu for gpu in answer["gpus"] if gpu["fault"]]
    if lost and problem is None:
        problem = {
            "id": "gpu_lost",
            "found": ", ".join("GPU %s (%s): %s" % (g["index"], g["pci_bus_id"], g["fault"]) for g in lost),
            "fix": _LOST,
        }
    error = problem and {"id": problem["id"], "text": problem["found"], "fix": problem["fix"]}
    return {**answer, "error": error}


def _split_document(out: str) -> tuple[str, str]:
    """Return the XML document in ``out`` (empty if there is none) and whatever else was printed."""
    match = re.search(r"(?:<\?xml.*?)?<nvidia_smi_log\b.*</nvidia_smi_log\s*>", out, re.DOTALL)
    return (match.group(0), out[: match.start()] + " " + out[match.end() :]) if match else ("", out)


def parse_xml(document: str) -> dict | None:
    """Return ``{gpus, driver_version, cuda_version}`` of ``nvidia-smi -q -x``; None when it is no XML."""
    try:
        root = ET.fromstring(_mended(document))
    except (ET.ParseError, ValueError):
        return None
    return {
        "gpus": [_gpu(index, node) for index, node in enumerate(root.findall("gpu"))],
        "driver_version": known(root.findtext("driver_version")),
        "cuda_version": _version(root.findtext("cuda_version")),
    }


def known(text: str | None) -> str | None:
    """Return a value as text; None for an absent one and for every way in which a driver says that it has none."""
    value = " ".join((text or "").split()).strip("[]")
    return None if value.lower() in _ABSENT else value


def number(text: str | None) -> float | None:
    """Return the leading number of a value with a unit (``24564 MiB``, ``16x``, ``450.00 W``); None without one."""
    match = re.match(r"-?\d+(?:\.\d+)?", known(text) or "")
    return float(match.group(0)) if match else None


def whole(text: str | None) -> int | None:
    """Return :func:`number` as a whole number."""
    value = number(text)
    return None if value is None else int(value)


def _parse_csv(text: str, keys: list[str]) -> list[dict]:
    """Return the rows of ``--format=csv,noheader,nounits`` by key; rows of another length are left out."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    return [dict(zip(keys, (cell.strip() for cell in row))) for row in rows if len(row) == len(keys)]


def parse_list(text: str) -> dict[str, list[dict]]:
    """Return the MIG devices of ``nvidia-smi -L`` by the UUID of their GPU: ``{index, uuid, name}``."""
    devices: dict[str, list[dict]] = {}
    current: list[dict] = []
    for line in text.splitlines():
        gpu = re.match(r"GPU \d+: .*\(UUID: (GPU-[^)]+)\)", line)
        mig = re.match(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)]+)\)", line)
        if gpu:
            current = devices.setdefault(gpu.group(1), [])
        elif mig:
            current.append({"name": mig.group(1), "index": int(mig.group(2)), "uuid": mig.group(3)})
    return devices


def _mended(document: str) -> str:
    """Return the document without what some drivers leave in it: bytes XML forbids, bare ampersands, the DTD line."""
    document = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", document)
    document = re.sub(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)", "&amp;", document)
    return re.sub(r"<\?xml[^>]*\?>|<!DOCTYPE[^>]*>", "", document).strip()


def _version(text: str | None) -> str | None:
    match = re.match(r"\d+(?:\.\d+)+", known(text) or "")
    return match.group(0) if match else None


def _memory(node: ET.Element) -> dict:
    return {
        "memory_%s_mib" % name: whole(node.findtext("fb_memory_usage/%s" % name)) for name in ("total", "used", "free")
    }


def _gpu(index: int, node: ET.Element) -> dict:
    power = [
        number(node.findtext("%s/%s" % (group, name)))
        for group in ("gpu_power_readings", "power_readings")
        for name in ("current_power_limit", "enforced_power_limit", "power_limit")
    ]
    link = "pci/pci_gpu_link_info/"
    texts = (" ".join(text.split()).strip("[]") for text in node.itertext())
    return {
        **UNKNOWN_GPU,
        "index": index,
        "uuid": known(node.findtext("uuid")),
        "name": known(node.findtext("product_name")),
        "minor_number": whole(node.findtext("minor_number")),
        "pci_bus_id": known(node.findtext("pci/pci_bus_id")) or known(node.get("id")),
        **_memory(node),
        "compute_capability": _version(node.findtext("compute_cap")),
        "mig_mode": known(node.findtext("mig_mode/current_mig")),
        "mig_devices": [_mig_device(item) for item in node.findall("mig_devices/mig_device")],
        "ecc_mode": known(node.findtext("ecc_mode/current_ecc")),
        "power_limit_w": next((value for value in power if value is not None), None),
        "pcie_generation": whole(node.findtext(link + "pcie_gen/current_link_gen")),
        "pcie_generation_max": whole(node.findtext(link + "pcie_gen/max_link_gen")),
        "pcie_width": whole(node.findtext(link + "link_widths/current_link_width")),
        "pcie_width_max": whole(node.findtext(link + "link_widths/max_link_width")),
        "processes": [_process(item) for item in node.findall("processes/process_info")],
        "fault": next((text for text in texts if text.lower() in _GPU_FAULTS), None),
    }


def _mig_device(node: ET.Element) -> dict:
    return {
        "index": whole(node.findtext("index")),
        "uuid": known(node.findtext("uuid")),
        "name": None,
        "gpu_instance_id": whole(node.findtext("gpu_instance_id")),
        "compute_instance_id": whole(node.findtext("compute_instance_id")),
        **_memory(node),
    }


def _process(node: ET.Element) -> dict:
    return {
        "pid": whole(node.findtext("pid")),
        "name": known(node.findtext("process_name")),
        "type": known(node.findtext("type")),
        "memory_mib": whole(node.findtext("used_memory")),
    }


def _complete(gpus: list[dict], call) -> None:
    """Add what the XML does not tell: compute capability, true index beside a lost GPU, UUIDs of MIG devices."""
    if any(gpu["compute_capability"] is None for gpu in gpus):
        _status, out, _err, _timed_out = call("--query-gpu=index,uuid,compute_cap", "--format=csv,noheader,nounits")
        rows = {row["uuid"]: row for row in _parse_csv(out, ["index", "uuid", "compute_cap"])}
        for gpu in gpus:
            row = rows.get(gpu["uuid"], {})
            gpu["compute_capability"] = gpu["compute_capability"] or _version(row.get("compute_cap"))
            # nvidia-smi leaves a lost GPU out and keeps the numbers of the others
            index = whole(row.get("index"))
            gpu["index"] = gpu["index"] if index is None else index
    if any(device["uuid"] is None for gpu in gpus for device in gpu["mig_devices"]):
        _status, out, _err, _timed_out = call("-L")
        listed = parse_list(out)
        for gpu in gpus:
            by_index = {device["index"]: device for device in listed.get(gpu["uuid"], [])}
            for device in gpu["mig_devices"]:
                device.update(by_index.get(device["index"], {}))


def _query_csv(call) -> tuple[dict | None, dict | None]:
    """Ask in CSV, without the columns that this driver does not know; return the answer and the problem."""
    columns = list(CSV_FIELDS)
    while True:
        status, out, err, timed_out = call("--query-gpu=" + ",".join(columns), "--format=csv,noheader,nounits")
        refused = re.search(r'Field "([^"]+)" is not a valid field', out + err)
        if not refused or refused.group(1) not in columns:
            break
        columns.remove(refused.group(1))
    gpus = []
    driver = None
    rows = _parse_csv(out, columns)
    for row in rows:
        driver = driver or known(row.get("driver_version"))
        gpu = {**UNKNOWN_GPU, "mig_devices": [], "processes": []}
        for column, key in CSV_FIELDS.items():
            if key and column in row:
                integer = key == "index" or key.endswith("_mib") or key.startswith("pcie_")
                read = whole if integer else number if key == "power_limit_w" else known
                gpu[key] = read(row[column])
        if gpu["index"] is not None:
            gpus.append(gpu)
    if not gpus:
        problem = failure(status, out, err, timed_out) or {
            "id": "other",
            "found": "nvidia-smi gave an answer that cannot be read: " + " ".join(out.split())[:300],
            "fix": "Run nvidia-smi -q -x on the host and report its output to this collection.",
        }
        return None, problem
    _add_processes(gpus, call)
    return {"gpus": gpus, "driver_version": driver, "cuda_version": None}, None


def _add_processes(gpus: list[dict], call) -> None:
    keys = ["gpu_uuid", "pid", "used_memory", "process_name"]
    _status, out, _err, _timed_out = call("--query-compute-apps=" + ",".join(keys), "--format=csv,noheader,nounits")
    by_uuid = {gpu["uuid"]: gpu for gpu in gpus}
    for row in _parse_csv(out, keys):
        if row["gpu_uuid"] in by_uuid:
            by_uuid[row["gpu_uuid"]]["processes"].append(
                {
                    "pid": whole(row["pid"]),
                    "name": known(row["process_name"]),
                    "type": "C",
                    "memory_mib": whole(row["used_memory"]),
                }
            )
