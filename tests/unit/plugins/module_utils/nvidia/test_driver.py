# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a driver in a folder that stands for a host, and judging what was found."""

from __future__ import annotations

import copy
import pathlib

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import driver as nvidia_driver
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

KERNEL = "6.1.0-40-amd64"
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (root@host)  Sun Mar 30 2025\n"
)
MODULES = "nvidia_uvm 1531904 0 - Live 0x0\nnvidia 54308864 1 nvidia_uvm, Live 0x0\next4 983040 1 - Live 0x0\n"
SECURE_BOOT = nvidia_driver.SECURE_BOOT


def silent(argv, timeout_s):
    """A host without programs."""
    return 127, "", "%s: not found" % argv[0], False


@pytest.fixture
def host(tmp_path):
    """Make a host out of files; a path that ends with / is a folder."""

    def make(**files) -> str:
        for name, content in {"proc/sys/kernel/osrelease": KERNEL + "\n", **files}.items():
            path = tmp_path / name
            if name.endswith("/"):
                path.mkdir(parents=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path)

    return make


def test_library_known_to_the_linker_alone(host) -> None:
    """A driver outside of the usual folders, as cloud images have it under /usr/local/nvidia."""
    library = "usr/local/nvidia/lib64/libnvidia-ml.so."
    root = host(**{library + "580.95.05": "", library + "1": ""})
    cache = (
        "2 libs found in cache `/etc/ld.so.cache'\n"
        "\tlibnvidia-ml.so.1 (libc6,x86-64) => /usr/local/nvidia/lib64/libnvidia-ml.so.1\n"
        "\tlibc.so.6 (libc6,x86-64) => /lib/x86_64-linux-gnu/libc.so.6\n"
    )

    def run(argv, timeout_s):
        return (0, cache, "", False) if argv == ["ldconfig", "-p"] else silent(argv, timeout_s)

    assert nvidia_driver.library_versions(root, silent) == []
    assert nvidia_driver.library_versions(root, run) == ["580.95.05"]


def test_look_at_nothing(host) -> None:
    """A host without any trace of NVIDIA."""
    assert nvidia_driver.inspect(silent, host()) == {
        "kernel": KERNEL,
        "wsl": False,
        "dxg": False,
        "module_version": None,
        "modules": [],
        "module_files": [],
        "module_kernels": [],
        "library_versions": [],
        "device_nodes": [],
        "cards": None,
        "secure_boot": None,
        "smi": nvidia_smi.query(silent),
    }


def test_look_at_everything(host) -> None:
    """Each fact is read from its place."""
    root = host(
        **{
            "proc/driver/nvidia/version": PROPRIETARY,
            "proc/modules": MODULES,
            "dev/nvidia0": "",
            "dev/nvidiactl": "",
            "dev/nvidia-uvm": "",
            "dev/nvidia-caps/nvidia-cap1": "",
            "lib/modules/%s/modules.dep" % KERNEL: "updates/dkms/nvidia-current.ko.xz:\nkernel/gone/nvidia.ko:\n",
            "lib/modules/%s/updates/dkms/nvidia-current.ko.xz" % KERNEL: "",
            "lib/modules/%s/updates/dkms/nvidia-current-uvm.ko.xz" % KERNEL: "",
            "lib/modules/6.1.0-39-amd64/extra/nvidia.ko": "",
            "lib/modules/6.1.0-38-amd64/kernel/drivers/net/nvidiafake.ko": "",
            "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1": "",
            "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05": "",
            "usr/lib64/libnvidia-ml.so.99.1": "",
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
            "sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
            "sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
            "sys/bus/pci/devices/0000:02:00.0/vendor": "0x1002\n",
            "sys/bus/pci/devices/0000:02:00.0/class": "0x030000\n",
            SECURE_BOOT: b"\x06\x00\x00\x00\x01",
        }
    )
    found = nvidia_driver.inspect(silent, root)
    found.pop("smi")
    assert found == {
        "kernel": KERNEL,
        "wsl": False,
        "dxg": False,
        "module_version": "580.95.05",
        "modules": ["nvidia", "nvidia_uvm"],
        "module_files": ["updates/dkms/nvidia-current.ko.xz"],
        "module_kernels": ["6.1.0-39-amd64"],
        "library_versions": ["99.1", "580.95.05"],
        "device_nodes": ["nvidia-uvm", "nvidia0", "nvidiactl"],
        "cards": ["0000:01:00.0"],
        "secure_boot": True,
    }


def test_look_at_the_open_module_and_wsl(host) -> None:
    """The open module words its version differently; WSL has a device of its own."""
    root = host(
        **{
            "proc/driver/nvidia/version": OPEN,
            "proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n",
            "dev/dxg": "",
        }
    )
    found = nvidia_driver.inspect(silent, root)
    assert (found["module_version"], found["wsl"], found["dxg"]) == ("570.133.20", True, True)


@pytest.mark.parametrize(
    ("files", "mokutil", "expected"),
    [
        pytest.param({SECURE_BOOT: b"\x06\x00\x00\x00\x01"}, "", True, id="on"),
        pytest.param({SECURE_BOOT: b"\x06\x00\x00\x00\x00"}, "SecureBoot enabled\n", False, id="off"),
        pytest.param({"sys/firmware/efi/": ""}, "SecureBoot enabled\n", True, id="mokutil-on"),
        pytest.param({"sys/firmware/efi/": ""}, "SecureBoot disabled\nSetup Mode\n", False, id="mok-off"),
        pytest.param({"sys/firmware/efi/": ""}, "", None, id="unknown"),
        pytest.param({"sys/firmware/acpi/": ""}, "SecureBoot enabled\n", False, id="bios"),
        pytest.param({"sys/firmware/": ""}, "", None, id="container"),
    ],
)
def test_secure_boot(files, mokutil, expected, host) -> None:
    """EFI's variable is believed first, then mokutil; a host that a BIOS started has none."""

    def run(argv, timeout_s):
        return (0, mokutil, "", False) if argv[0] == "mokutil" else silent(argv, timeout_s)

    assert nvidia_driver.secure_boot(host(**files), run) is expected


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("updates/dkms/nvidia.ko", True),
        ("updates/dkms/nvidia.ko.zst", True),
        ("extra/nvidia.ko.xz", True),
        ("weak-updates/nvidia/nvidia.ko", True),
        ("kernel/nvidia-580/nvidia.ko", True),
        ("kernel/nvidia-580-open/nvidia.ko", True),
        ("kernel/drivers/video/nvidia.ko", True),
        ("updates/dkms/nvidia-tesla-535.ko", True),
        ("updates/dkms/nvidia-legacy-390xx.ko", True),
        ("updates/dkms/nvidia-current-open.ko.xz", True),
        ("updates/dkms/nvidia-drm.ko", False),
        ("updates/dkms/nvidia-uvm.ko", False),
        ("updates/dkms/nvidia-current-peermem.ko", False),
        ("updates/dkms/nvidia-modeset.ko", False),
        ("kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko.xz", False),
        ("kernel/drivers/net/nvidia.ko", False),
    ],
)
def test_module_files(name, found, host) -> None:
    """The module is known by its name, wherever distributions put it; its helpers are not it."""
    root = host(**{"lib/modules/%s/%s" % (KERNEL, name): ""})
    assert nvidia_driver.module_files(root, KERNEL) == ([name] if found else [])


def a_gpu(index: int, **more) -> dict:
    """A GPU as nvidia_smi.query returns it."""
    return {
        **copy.deepcopy(nvidia_smi.UNKNOWN_GPU),
        "index": index,
        "uuid": "GPU-%d" % index,
        "name": "RTX 4090",
        "minor_number": index,
        "pci_bus_id": "00000000:0%d:00.0" % index,
        **more,
    }


MIG = {
    "mig_mode": "Enabled",
    "mig_devices": [
        {"index": 0, "uuid": "MIG-a", "name": "1g.10gb", "gpu_instance_id": 7, "compute_instance_id": 0},
        {"index": 1, "uuid": "MIG-b", "name": "1g.10gb", "gpu_instance_id": 8, "compute_instance_id": 0},
    ],
}
GOOD = {
    "kernel": KERNEL,
    "wsl": False,
    "dxg": False,
    "module_version": "580.95.05",
    "modules": ["nvidia", "nvidia_uvm"],
    "module_files": ["updates/dkms/nvidia.ko"],
    "module_kernels": [],
    "library_versions": ["580.95.05"],
    "device_nodes": ["nvidia-uvm", "nvidia0", "nvidia1", "nvidiactl"],
    "cards": ["0000:00:00.0", "0000:01:00.0"],
    "secure_boot": False,
    "smi": {"gpus": [a_gpu(0), a_gpu(1)], "driver_version": "580.95.05", "cuda_version": "13.0", "error": None},
}
NOTHING = {
    **GOOD,
    "module_version": None,
    "modules": [],
    "module_files": [],
    "library_versions": [],
    "device_nodes": [],
}
IDS = [
    "driver_missing",
    "secure_boot",
    "driver_module_missing",
    "driver_library_mismatch",
    "nvidia_smi",
    "gpu_lost",
    "device_nodes_missing",
    "gpu_devices",
]


def smi(status: int, out: str = "", timed_out: bool = False) -> dict:
    """A nvidia-smi that fails."""
    return {"smi": nvidia_smi.query(lambda argv, timeout_s: (status, out, "", timed_out))}


def gpus(*items: dict, **more) -> dict:
    """A nvidia-smi that answers with GPUs."""
    return {"smi": {**GOOD["smi"], "gpus": list(items), **more}}


NOT_LOADED = smi(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
LOST = {"error": {"id": "gpu_lost", "text": "GPU 1 (0000): GPU is lost", "fix": "Reboot."}}


def test_good_host() -> None:
    """Every check is made, and nothing is to be mended."""
    found = nvidia_driver.check(GOOD, ["0", "GPU-1"], need_uvm=True)
    assert [item["id"] for item in found] == IDS
    assert all(item["ok"] and item["fix"] == "" and item["found"] and item["needed"] for item in found)
    assert found[0]["found"] == "driver 580.95.05, CUDA 13.0"


def test_answering_nvidia_smi_is_enough() -> None:
    """In a container neither /proc/driver nor libraries may be seen; the answer counts."""
    facts = {**NOTHING, "device_nodes": ["nvidia0", "nvidia1", "nvidiactl"], "secure_boot": True, "cards": None}
    assert nvidia_driver.problems(facts, ["0", "1"]) == []


@pytest.mark.parametrize(
    ("facts", "identity", "found", "fix"),
    [
        pytest.param(
            {**NOTHING, **smi(127)}, "driver_missing", "cards on the PCI bus: 0000:00:00.0, 0000:01:00.0", "Install",
            id="nothing-installed",
        ),
        pytest.param(
            {**NOTHING, **smi(127), "cards": []}, "driver_missing", "no NVIDIA card on the PCI bus", "vllm_accelerator",
            id="no-card",
        ),
        pytest.param({**NOTHING, **smi(127), "cards": None}, "driver_missing", "no nvidia-smi)", "Install", id="bus"),
        pytest.param(
            {**NOTHING, **smi(12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.")},
            "driver_missing", "(no kernel module, no libnvidia-ml); NVIDIA cards", "Install", id="program-alone",
        ),
        pytest.param(
            {**GOOD, **smi(12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.")},
            "nvidia_smi", "couldn't find libnvidia-ml.so library in your system", "Install", id="library-not-found",
        ),
        pytest.param(
            {**NOTHING, **smi(127), "wsl": True}, "driver_missing", "/dev/dxg", "in Windows, never one in the Linux",
            id="wsl",
        ),
        pytest.param(
            {**NOTHING, **NOT_LOADED, "secure_boot": True, "module_files": ["updates/dkms/nvidia.ko"]},
            "secure_boot", "Secure Boot on, nvidia module on disk, not loaded", "mokutil --import", id="secure-boot",
        ),
        pytest.param(
            {**NOTHING, **NOT_LOADED, "module_files": ["updates/dkms/nvidia.ko"]},
            "driver_module_missing", "updates/dkms/nvidia.ko is there, but not loaded; it says: NVIDIA-SMI has failed",
            "modprobe nvidia", id="not-loaded",
        ),
        pytest.param(
            {**NOTHING, **NOT_LOADED, "secure_boot": True, "module_kernels": ["6.1.0-39-amd64"]},
            "driver_module_missing", "no nvidia module for kernel %s, only for 6.1.0-39-amd64" % KERNEL,
            "linux-headers-%s" % KERNEL, id="other-kernel",
        ),
        pytest.param(
            {**NOTHING, **NOT_LOADED, "modules": ["nouveau"], "module_files": ["x/nvidia.ko"]},
            "driver_module_missing", "nouveau holds the card", "Blacklist nouveau", id="nouveau",
        ),
        pytest.param(
            {**NOTHING, **smi(127), "library_versions": ["580.95.05"]},
            "driver_module_missing", "no nvidia module for kernel", "dkms autoinstall", id="library-only",
        ),
        pytest.param(
            {**GOOD, **NOT_LOADED}, "driver_module_missing", "couldn't communicate", "modprobe", id="loaded-but-dead"
        ),
        pytest.param(
            {**GOOD, **smi(18, "Failed to initialize NVML: Driver/library version mismatch"),
             "library_versions": ["580.105.08"]},
            "driver_library_mismatch", "module 580.95.05 loaded, library 580.105.08 installed", "unattended upgrades",
            id="mismatch",
        ),
        pytest.param(
            {**NOTHING, **smi(18, "Driver/library version mismatch\nNVML library version: 580.95")},
            "driver_library_mismatch", "library 580.95 installed", "Reboot", id="mismatch-as-nvidia-smi-says",
        ),
        pytest.param(
            {**GOOD, **smi(127), "library_versions": ["580.105.08"]},
            "driver_library_mismatch", "library 580.105.08", "Reboot", id="mismatch-without-nvidia-smi",
        ),
        pytest.param(
            {**GOOD, **smi(127)}, "nvidia_smi", "nvidia-smi is not installed", "nvidia-utils", id="no-nvidia-smi"
        ),
        pytest.param({**GOOD, **smi(124, timed_out=True)}, "nvidia_smi", "time limit", "reboot", id="hang"),
        pytest.param({**NOTHING, **smi(124, timed_out=True)}, "nvidia_smi", "time limit", "reboot", id="hang-unseen"),
        pytest.param(
            {**GOOD, **smi(4, "Insufficient Permissions")}, "nvidia_smi", "Insufficient", "become", id="permissions"
        ),
        pytest.param(
            {**GOOD, **smi(255, "Failed to initialize NVML: Unknown Error")}, "nvidia_smi", "Unknown", "Xid", id="nvml"
        ),
        pytest.param(
            {**GOOD, **smi(15, "Unable to determine the device handle for GPU0: 0000:01:00.0: Unknown Error")},
            "gpu_lost", "GPU0", "reboot", id="all-lost",
        ),
        pytest.param(
            {**GOOD, **gpus(a_gpu(0), a_gpu(1, fault="GPU is lost"), **LOST)}, "gpu_lost", "GPU 1", "Reboot", id="lost",
        ),
        pytest.param(
            {**GOOD, "device_nodes": ["nvidia0"]}, "device_nodes_missing", "no /dev/nvidiactl, /dev/nvidia1",
            "nvidia-modprobe", id="nodes",
        ),
        pytest.param(
            {**GOOD, **smi(6, "No devices were found")}, "gpu_devices", "No devices were", "lspci", id="no-devices"
        ),
        pytest.param({**GOOD, **gpus(a_gpu(0))}, "gpu_devices", "0 (RTX 4090)", "vllm_tensor_parallel_size", id="one"),
        pytest.param(
            {**GOOD, **gpus(a_gpu(0), a_gpu(1, **MIG))}, "gpu_devices", "1 (RTX 4090, MIG MIG-a MIG-b)",
            "GPU 1 is in MIG mode: name its MIG devices (MIG-a, MIG-b)", id="mig-by-index",
        ),
        pytest.param(
            {**GOOD, **gpus(a_gpu(0), a_gpu(1, mig_mode="Enabled"))}, "gpu_devices", "RTX", "without any MIG device",
            id="mig-empty",
        ),
    ],
)  # fmt: skip
def test_fails(facts, identity, found, fix) -> None:
    """Only the cause is named, not what follows from it; everything that is to be mended before it is in order."""
    bad = nvidia_driver.problems(facts, ["0", "1"])
    assert [item["id"] for item in bad] == [identity]
    assert found in bad[0]["found"]
    assert fix in bad[0]["fix"]
    assert bad[0]["needed"]
    made = [item["id"] for item in nvidia_driver.check(facts, ["0", "1"])]
    assert made == IDS[: len(made)]


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["0"], None),
        (["MIG-a"], None),
        (["MIG-b", "0"], None),
        (["1:0"], None),
        (["MIG-GPU-1/8/0"], None),
        (["all"], None),
        ([], None),
        (["MIG-c"], "GPU MIG-c"),
        (["1:2"], "GPU 1:2"),
        (["1"], "GPU 1 as a whole"),
        (["GPU-1"], "GPU GPU-1 as a whole"),
        (["0", "2", "GPU-x"], "GPU 2, GPU-x"),
    ],
)
def test_devices(wanted, missing) -> None:
    """Indexes, UUIDs and MIG devices are looked up in what nvidia-smi lists."""
    bad = nvidia_driver.problems({**GOOD, **gpus(a_gpu(0), a_gpu(1, **MIG))}, wanted)
    assert [item["needed"] for item in bad] == ([missing] if missing else [])


def test_mig_devices_without_uuid() -> None:
    """Where nvidia-smi did not tell the UUIDs, a MIG UUID cannot be said to be missing."""
    blind = {"mig_mode": "Enabled", "mig_devices": [{**MIG["mig_devices"][0], "uuid": None}]}
    assert nvidia_driver.problems({**GOOD, **gpus(a_gpu(0, **blind))}, ["MIG-c"]) == []


def test_lost_gpu_of_somebody_else() -> None:
    """A lost GPU stops those who asked for it or for all; whoever named others may start."""
    facts = {**GOOD, **gpus(a_gpu(0), a_gpu(1, fault="GPU is lost"), **LOST)}
    assert nvidia_driver.problems(facts, ["0"]) == []
    for wanted in (["1"], ["all"], []):
        assert [item["id"] for item in nvidia_driver.problems(facts, wanted)] == ["gpu_lost"]


def test_all_that_concerns_single_gpus_is_reported_at_once() -> None:
    """A lost GPU or a missing node does not hide that another GPU is not there."""
    lost = {**GOOD, **gpus(a_gpu(0), a_gpu(1, fault="GPU is lost"), **LOST), "device_nodes": ["nvidia0"]}
    bad = nvidia_driver.problems(lost, ["0", "1", "7"])
    assert [item["id"] for item in bad] == ["gpu_lost", "device_nodes_missing", "gpu_devices"]
    assert bad[1]["found"] == "no /dev/nvidiactl"


def test_older_libraries_beside_the_right_one() -> None:
    """What libraries lie around does not matter as long as nvidia-smi answers."""
    assert nvidia_driver.problems({**GOOD, "library_versions": ["99.1"]}, ["0"]) == []


def test_nodes() -> None:
    """Only the nodes of the GPUs that are wanted count, by their minor number; nvidia-uvm where it is asked for."""
    facts = {**GOOD, **gpus(a_gpu(0, minor_number=3), a_gpu(1)), "device_nodes": ["nvidia3", "nvidiactl"]}
    assert nvidia_driver.problems(facts, ["0"]) == []
    assert nvidia_driver.problems(facts, ["0", "1"])[0]["found"] == "no /dev/nvidia1"
    assert nvidia_driver.problems(facts, ["0"], need_uvm=True)[0]["found"] == "no /dev/nvidia-uvm"
    assert nvidia_driver.problems({**facts, "device_nodes": [], "wsl": True, "dxg": True}, ["0"], need_uvm=True) == []


def test_no_fix_tells_to_change_a_card() -> None:
    """No sentence of this collection sends people to MIG mode, ECC, power limits or a reset."""
    folder = pathlib.Path(nvidia_driver.__file__).parent
    for name in ("driver.py", "smi.py"):
        text = (folder / name).read_text(encoding="utf-8")
        for words in ("--gpu-reset", "nvidia-smi -mig", "nvidia-smi -e ", "nvidia-smi -pl", "nvidia-smi -r"):
            assert words not in text
