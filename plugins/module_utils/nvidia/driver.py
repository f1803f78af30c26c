# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a host's NVIDIA driver, and name what is wrong with it. Python standard library only; runs on hosts.

:func:`inspect` reads, :func:`check` judges. What nvidia-smi answers is the proof that a driver works; the rest of the
facts serves to say why it does not.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import glob
import os
import re

from ansible_collections.myia.vllm.plugins.module_utils.common import files
from ansible_collections.myia.vllm.plugins.module_utils.common.versions import numbers
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

#: Folders of shared libraries: Debian and Ubuntu, Enterprise Linux and SUSE, WSL, the driver's own installer.
_LIBRARY_FOLDERS = ("usr/lib/*-linux-gnu*", "usr/lib/*-linux-gnu*/nvidia/*", "usr/lib64", "usr/lib", "usr/local/lib")

#: Name of the kernel module's file: NVIDIA's own, and Debian's nvidia-current, -open, -tesla-NNN, -legacy-NNNxx.
_MODULE_FILE = re.compile(r"nvidia(?:-(?:current|open|tesla|legacy|\d+(?:xx)?))*\.ko(?:\.\w+)?")

#: Folders of a kernel's modules in which drivers are put, for modules that depmod does not know yet.
_MODULE_FOLDERS = ("updates", "extra", "weak-updates", "kernel/drivers/video", "kernel/nvidia*")

#: EFI's global variables have this vendor GUID (UEFI specification, section 3.3); four bytes of attributes stand before
#: the value.
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

#: PCI vendor id of NVIDIA, and the class of display controllers (VGA 0300, 3D 0302).
_PCI_VENDOR, _PCI_DISPLAY = "0x10de", "0x03"


def inspect(run, root: str = "/", timeout_s: float = nvidia_smi.TIMEOUT_S) -> dict:
    """Return what there is to know about the driver.

    Args:
        run: see :func:`nvidia_smi.query`.
        root: folder that stands for ``/``.
        timeout_s: seconds that nvidia-smi may take.

    Returns:
        ``kernel`` (release), ``wsl``, ``dxg`` (WSL's device), ``module_version`` (loaded; None without),
        ``modules`` (loaded ones: nvidia..., nouveau), ``module_files`` (of the running kernel), ``module_kernels``
        (other kernels that have the module), ``library_versions`` (of libnvidia-ml, oldest first), ``device_nodes``
        (names in /dev), ``cards`` (PCI addresses of NVIDIA's display controllers; None when not to be seen),
        ``secure_boot`` (None when unknown) and ``smi`` (answer of :func:`nvidia_smi.query`).
    """

    def read(path: str) -> str:
        return files.read_text(os.path.join(root, path))

    smi = nvidia_smi.query(run, timeout_s)  # first: as root it loads the module and makes the device nodes
    kernel = read("proc/sys/kernel/osrelease").strip()
    version = re.search(r"Kernel Module[^\n]*?\s(\d+(?:\.\d+)+)\s", read("proc/driver/nvidia/version"))
    loaded = [line.split()[0] for line in read("proc/modules").splitlines() if line.strip()]
    nodes = [path for path in glob.glob(os.path.join(root, "dev/nvidia*")) if not os.path.isdir(path)]
    kernels = sorted(os.path.basename(path) for path in glob.glob(os.path.join(root, "lib/modules/*")))
    return {
        "kernel": kernel,
        "wsl": "microsoft" in kernel.lower(),
        "dxg": os.path.exists(os.path.join(root, "dev/dxg")),
        "module_version": version.group(1) if version else None,
        "modules": sorted(name for name in loaded if name.startswith("nvidia") or name == "nouveau"),
        "module_files": module_files(root, kernel),
        "module_kernels": [name for name in kernels if name != kernel and module_files(root, name)],
        "library_versions": library_versions(root, run),
        "device_nodes": sorted(os.path.basename(path) for path in nodes),
        "cards": cards(root),
        "secure_boot": secure_boot(root, run),
        "smi": smi,
    }


def module_files(root: str, kernel: str) -> list[str]:
    """Return the files of the nvidia kernel module for a kernel, by ``modules.dep`` and in the usual folders."""
    folder = os.path.join(root, "lib/modules", kernel)
    found = {line.partition(":")[0] for line in files.read_text(os.path.join(folder, "modules.dep")).splitlines()}
    for name in _MODULE_FOLDERS:
        for path in glob.glob(os.path.join(folder, name, "**", "nvidia*.ko*"), recursive=True):
            found.add(os.path.relpath(path, folder))
    return sorted(
        path
        for path in found
        if _MODULE_FILE.fullmatch(os.path.basename(path)) and os.path.exists(os.path.join(folder, path))
    )


def library_versions(root: str, run) -> list[str]:
    """Return the versions of the libnvidia-ml.so that are installed, oldest first.

    The linker's cache knows of those outside of the usual folders, as /usr/local/nvidia/lib64.
    """
    versions = set()
    _status, out, _err, _timed_out = run(["ldconfig", "-p"], 5.0)
    # "libnvidia-ml.so.1 (libc6,x86-64) => /usr/local/nvidia/lib64/libnvidia-ml.so.1"
    cached = re.findall(r"^\s*libnvidia-ml\.so\S* .*=> /(\S+)$", out, re.MULTILINE)
    for folder in dict.fromkeys([*_LIBRARY_FOLDERS, *map(os.path.dirname, cached)]):
        for path in glob.glob(os.path.join(root, folder, "libnvidia-ml.so.*")):
            version = os.path.basename(path)[len("libnvidia-ml.so.") :]
            if "." in version:  # libnvidia-ml.so.1 is a link to the one with the version
                versions.add(version)
    return sorted(versions, key=numbers)


def cards(root: str) -> list[str] | None:
    """Return the PCI addresses of NVIDIA's display controllers; None when the bus cannot be seen."""
    devices = glob.glob(os.path.join(root, "sys/bus/pci/devices/*"))
    if not devices:
        return None
    found = []
    for device in sorted(devices):
        texts = [files.read_text(os.path.join(device, name)).strip() for name in ("vendor", "class")]
        if texts[0] == _PCI_VENDOR and texts[1].startswith(_PCI_DISPLAY):
            found.append(os.path.basename(device))
    return found


def secure_boot(root: str, run) -> bool | None:
    """Tell whether Secure Boot is on, by EFI's variable or else by mokutil; None when neither says."""
    try:
        with open(os.path.join(root, SECURE_BOOT), "rb") as handle:
            return handle.read()[-1:] == b"\x01"
    except OSError:
        pass
    if not os.path.isdir(os.path.join(root, "sys/firmware/efi")):
        # started by a BIOS, which knows no Secure Boot; in a container the whole folder is masked
        return False if os.path.isdir(os.path.join(root, "sys/firmware/acpi")) else None
    _status, out, _err, _timed_out = run(["mokutil", "--sb-state"], 5.0)
    return {"SecureBoot enabled": True, "SecureBoot disabled": False}.get(out.strip().partition("\n")[0])


def check(facts: dict, wanted_devices: list[str], need_uvm: bool = False) -> list[dict]:
    """Judge the driver for the GPUs that are wanted.

    Args:
        facts: what :func:`inspect` returned.
        wanted_devices: GPUs by index, UUID or UUID of a MIG device, as text; empty or ``all`` for any.
        need_uvm: whether /dev/nvidia-uvm must be there already. NVIDIA's runtime makes it in its modes legacy and
            jit-cdi; a CDI specification written before it exists lacks it.

    Returns:
        Findings ``{id, ok, found, needed, fix}`` in the order in which they have to be mended, up to the first that
        hides the rest. The ids: driver_missing, secure_boot, driver_module_missing, driver_library_mismatch,
        nvidia_smi, gpu_lost, device_nodes_missing, gpu_devices.
    """
    findings = []
    for judge in (
        _driver,
        _secure_boot,
        _module,
        _mismatch,
        _smi,
        lambda f: _lost(f, wanted_devices),
        lambda f: _nodes(f, wanted_devices, need_uvm),
        lambda f: _devices(f, wanted_devices),
    ):
        finding = judge(facts)
        findings.append(finding)
        if not finding["ok"] and not (finding["id"] in ("gpu_lost", "device_nodes_missing") and facts["smi"]["gpus"]):
            break
    return findings


def problems(facts: dict, wanted_devices: list[str], need_uvm: bool = False) -> list[dict]:
    """Return the findings of :func:`check` that are not ok."""
    return [finding for finding in check(facts, wanted_devices, need_uvm) if not finding["ok"]]


def find_device(gpus: list[dict], wanted: str) -> tuple[dict | None, dict | None]:
    """Return the GPU and the MIG device (or None) that ``wanted`` names: index, UUID, MIG UUID, ``index:mig index``."""
    for gpu in gpus:
        if wanted in (str(gpu["index"]), gpu["uuid"]):
            return gpu, None
        for device in gpu["mig_devices"]:
            names = (
                device["uuid"],
                "%s:%s" % (gpu["index"], device["index"]),
                # drivers before 470
                "MIG-%s/%s/%s" % (gpu["uuid"], device["gpu_instance_id"], device["compute_instance_id"]),
            )
            if wanted in names:
                return gpu, device
    return None, None


def _finding(identity: str, ok: bool, found: str, needed: str, fix: str) -> dict:
    return {"id": identity, "ok": ok, "found": found, "needed": needed, "fix": "" if ok else fix}


def _error(facts: dict) -> str:
    """Id of nvidia-smi's failure; empty when it answered."""
    return (facts["smi"]["error"] or {}).get("id", "")


def _answers(facts: dict) -> bool:
    """Whether nvidia-smi talked to the driver, be it that a GPU is lost or that there is none."""
    return _error(facts) in ("", "gpu_lost", "no_devices")


def _driver(facts: dict) -> dict:
    there = facts["dxg"] if facts["wsl"] else bool(
        facts["module_version"] or facts["module_files"] or facts["module_kernels"] or facts["library_versions"]
    )  # fmt: skip
    ok = there or _error(facts) not in ("not_installed", "library_missing")
    fix = (
        "Install the NVIDIA driver of the distribution or of NVIDIA (this collection does not), then reboot; "
        "nvidia-smi -L must list the GPUs."
    )
    found = "no NVIDIA driver (no kernel module, no libnvidia-ml%s)"
    found %= ", no nvidia-smi" if _error(facts) == "not_installed" else ""
    if facts["wsl"]:
        found = "no GPU of Windows (/dev/dxg is missing)"
        fix = (
            "Install NVIDIA's driver in Windows, never one in the Linux system, update WSL (wsl --update), and use "
            "WSL 2."
        )
    elif facts["cards"]:
        found += "; NVIDIA cards on the PCI bus: %s" % ", ".join(facts["cards"])
    elif facts["cards"] is not None:
        found += "; no NVIDIA card on the PCI bus"
        fix = (
            "Deploy to a host with an NVIDIA GPU (in a virtual machine pass the card through), or set "
            "vllm_accelerator to cpu."
        )
    smi = facts["smi"]
    version = smi["driver_version"] or facts["module_version"] or (facts["library_versions"] or ["unknown"])[-1]
    if ok:
        found = "driver %s%s" % (version, ", CUDA %s" % smi["cuda_version"] if smi["cuda_version"] else "")
    return _finding("driver_missing", ok, found, "an installed NVIDIA driver", fix)


def _module_loaded(facts: dict) -> bool:
    if facts["wsl"] or facts["module_version"] or "nvidia" in facts["modules"]:
        return True
    # any other failure, as a mismatch or a hang, is one of a driver that is there
    return _error(facts) not in ("driver_not_loaded", "not_installed", "library_missing", "other")


def _secure_boot(facts: dict) -> dict:
    loaded = _module_loaded(facts)
    ok = loaded or not facts["secure_boot"] or not facts["module_files"]
    state = {True: "on", False: "off", None: "unknown"}[facts["secure_boot"]]
    there = "loaded" if loaded else "on disk, not loaded" if facts["module_files"] else "not on disk"
    return _finding(
        "secure_boot",
        ok,
        "Secure Boot %s, nvidia module %s" % (state, there),
        "a module whose signature the firmware trusts",
        "Try modprobe nvidia; if it says 'Key was rejected by service', enroll the key that signed the module "
        "(mokutil --import /var/lib/dkms/mok.pub or /var/lib/shim-signed/mok/MOK.der, reboot, confirm at the console), "
        "or install the distribution's signed module. Turning Secure Boot off in the firmware works as well.",
    )


def _module(facts: dict) -> dict:
    ok = _module_loaded(facts) and _error(facts) != "driver_not_loaded"
    needed = "a loaded nvidia module for kernel %s" % (facts["kernel"] or "(unknown)")
    said = (facts["smi"]["error"] or {}).get("text", "")
    if ok:
        return _finding("driver_module_missing", True, "nvidia module loaded", needed, "")
    if "nouveau" in facts["modules"]:
        found = "the module nouveau holds the card"
        fix = (
            "Blacklist nouveau (the driver's packages do), rebuild the initramfs (update-initramfs -u or dracut -f) "
            "and reboot."
        )
    elif facts["module_files"]:
        found = "the module %s is there, but not loaded" % facts["module_files"][0]
        fix = (
            "Load it (modprobe nvidia) and read why it is not (journalctl -k | grep -i nvidia): after a kernel or "
            "driver upgrade a reboot, else a module that does not fit the kernel (dkms status, dkms autoinstall)."
        )
    else:
        found = "no nvidia module for kernel %s" % (facts["kernel"] or "(unknown)")
        if facts["module_kernels"]:
            found += ", only for %s" % ", ".join(facts["module_kernels"])
        fix = (
            "Install the headers of the running kernel and build the module (Debian, Ubuntu: apt install "
            "linux-headers-%(k)s, then dkms autoinstall; Enterprise Linux: dnf install kernel-devel-%(k)s, then dkms "
            "autoinstall), or reboot into a kernel that has it." % {"k": facts["kernel"] or "$(uname -r)"}
        )
    return _finding("driver_module_missing", False, found + ("; it says: " + said if said else ""), needed, fix)


def _mismatch(facts: dict) -> dict:
    module, libraries = facts["module_version"], facts["library_versions"]
    error = facts["smi"]["error"] or {}
    differ = bool(module and libraries and module not in libraries) and not _answers(facts)
    ok = not differ and _error(facts) != "driver_library_mismatch"
    said = re.search(r"NVML library version: (\d[\d.]*\d)", error.get("text", ""))
    library = ", ".join(libraries) or (said.group(1) if said else "unknown")
    found = "module %s loaded, library %s installed" % (module or "of another version", library)
    if ok:
        found = "module and library agree"
    elif error.get("text") and _error(facts) == "driver_library_mismatch":
        found += " (%s)" % error["text"]
    fix = nvidia_smi.failure(18, "", "", False) or {}
    return _finding("driver_library_mismatch", ok, found, "kernel module and library of one version", fix["fix"])


def _smi(facts: dict) -> dict:
    error = facts["smi"]["error"] or {"text": "nvidia-smi answers", "fix": ""}
    ok = _answers(facts)
    fix = error["fix"]
    if _error(facts) == "not_installed":
        fix = (
            "Install the package that brings nvidia-smi in the version of the driver (Debian: nvidia-smi, Ubuntu: "
            "nvidia-utils-NNN, NVIDIA's repositories: nvidia-driver-cuda), or put it into PATH."
        )
    return _finding("nvidia_smi", ok, "nvidia-smi answers" if ok else error["text"], "an answering nvidia-smi", fix)


def _lost(facts: dict, wanted_devices: list[str]) -> dict:
    error = facts["smi"]["error"] or {}
    gpus = facts["smi"]["gpus"]
    lost = _error(facts) == "gpu_lost"
    named = [item for item in wanted_devices if item != "all"]
    picked = [find_device(gpus, item)[0] for item in named]
    # a lost GPU that nobody asked for is no reason to refuse the service
    ok = not lost or bool(picked and all(gpu is not None and not gpu["fault"] for gpu in picked))
    found = error.get("text", "") + (" (not asked for)" if ok else "") if lost else "no lost GPU"
    return _finding("gpu_lost", ok, found, "GPUs that answer", error.get("fix", ""))


def _nodes(facts: dict, wanted_devices: list[str], need_uvm: bool) -> dict:
    there = set(facts["device_nodes"])
    wanted = []
    if not facts["wsl"]:
        picked = [find_device(facts["smi"]["gpus"], item)[0] for item in wanted_devices if item != "all"]
        gpus = [gpu for gpu in picked if gpu] or facts["smi"]["gpus"]
        minors = {gpu["minor_number"] for gpu in gpus if gpu["minor_number"] is not None and not gpu["fault"]}
        wanted = ["nvidiactl", *("nvidia%d" % minor for minor in sorted(minors)), *(["nvidia-uvm"] if need_uvm else [])]
    missing = ["/dev/" + name for name in wanted if name not in there]
    return _finding(
        "device_nodes_missing",
        not missing,
        "no %s" % ", ".join(missing) if missing else ", ".join(sorted(there)) or "none needed",
        ", ".join("/dev/" + name for name in wanted) or "none",
        "Run nvidia-smi as root and, for /dev/nvidia-uvm, nvidia-modprobe -u -c 0 (package nvidia-modprobe); both make "
        "the nodes. The service nvidia-persistenced keeps them after a boot. In a container pass the devices in.",
    )


def _devices(facts: dict, wanted_devices: list[str]) -> dict:
    gpus = facts["smi"]["gpus"]
    wrong = []
    hints = []
    blind = any(device["uuid"] is None for gpu in gpus for device in gpu["mig_devices"])
    for wanted in wanted_devices or ["all"]:
        if wanted == "all":
            continue
        gpu, device = find_device(gpus, wanted)
        if gpu is None:
            # a MIG device whose UUID nvidia-smi did not tell may still be there
            if not (blind and wanted.startswith("MIG-")):
                wrong.append(wanted)
        elif device is None and gpu["mig_mode"] == "Enabled":
            wrong.append("%s as a whole" % wanted)
            names = [item["uuid"] or "its UUID is in nvidia-smi -L" for item in gpu["mig_devices"]]
            hints.append(
                "GPU %s is in MIG mode: name its MIG devices (%s)." % (gpu["index"], ", ".join(names))
                if names
                else "GPU %s is in MIG mode without any MIG device: its administrator has to make one." % gpu["index"]
            )
    there = ", ".join(_label(gpu) for gpu in gpus) or "no GPU"
    fix = (
        "Set vllm_gpu_devices to GPUs that nvidia-smi -L lists, and vllm_tensor_parallel_size times "
        "vllm_pipeline_parallel_size to their number."
    )
    error = facts["smi"]["error"] or {}
    if not gpus:
        fix = error.get("fix") or fix
        there = error.get("text") or there
    needed = "GPU %s" % ", ".join(wrong or wanted_devices) if wanted_devices else "at least one GPU"
    return _finding("gpu_devices", bool(gpus) and not wrong, there, needed, " ".join([*hints, fix]))


def _label(gpu: dict) -> str:
    """A GPU as an operator knows it: ``0 (NVIDIA GeForce RTX 4090)``, with its MIG devices."""
    migs = ", MIG %s" % " ".join(item["uuid"] or str(item["index"]) for item in gpu["mig_devices"])
    return "%s (%s%s)" % (gpu["index"], gpu["name"], migs if gpu["mig_devices"] else "")
