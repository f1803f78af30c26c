# SPDX-License-Identifier: GPL-3.0-or-later
"""Do in the service's own image what vLLM does first: initialise CUDA and count its devices.

``nvidia-smi`` asks NVML, which works where CUDA does not: without /dev/nvidia-uvm, with the fabric manager not running,
with a libcuda of another driver in the image. Python standard library only; runs on target hosts, the program of it in
the image, which has Python.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import gpu_test

#: Runs in the container. It makes no CUDA context, so it takes no memory of a GPU that is in use.
PROGRAM = """\
import ctypes, json
found = {"step": "load", "code": None, "text": "", "devices": None, "driver": None, "library": ""}
try:
    cuda = ctypes.CDLL("libcuda.so.1")
    for line in open("/proc/self/maps"):
        if "libcuda.so" in line:
            found["library"] = line.split()[-1]
            break
    number, name = ctypes.c_int(0), ctypes.c_char_p()
    for step, call in (
        ("cuInit", lambda: cuda.cuInit(0)),
        ("cuDriverGetVersion", lambda: cuda.cuDriverGetVersion(ctypes.byref(number))),
        ("cuDeviceGetCount", lambda: cuda.cuDeviceGetCount(ctypes.byref(number))),
    ):
        found["step"], found["code"] = step, call()
        if found["code"]:
            if cuda.cuGetErrorName(found["code"], ctypes.byref(name)) == 0 and name.value:
                found["text"] = name.value.decode()
            break
        found["driver" if step == "cuDriverGetVersion" else "devices"] = number.value
    else:
        found["step"] = "done"
except (OSError, AttributeError) as error:
    found["text"] = str(error)
print("cuda-test=" + json.dumps(found))
"""

#: What an error of the driver API means on a host whose nvidia-smi answers (cuda.h, CUresult), and the fix.
_CODES: dict[int, tuple[str, str]] = {
    3: ("cuda_not_initialised", "The driver does not start: journalctl -k | grep -e NVRM -e Xid, and reboot the host."),
    34: (
        "cuda_stub",
        "The image loads the stub library of the CUDA toolkit and not the driver's: take its folder (stubs) out of "
        "LD_LIBRARY_PATH.",
    ),
    100: (
        "cuda_no_device",
        "The container sees no GPU: see vllm_gpu_devices, and CUDA_VISIBLE_DEVICES in vllm_extra_env and in the image.",
    ),
    101: ("cuda_no_device", "CUDA_VISIBLE_DEVICES names a GPU that is not there: see vllm_extra_env and the image."),
    802: (
        "cuda_system_not_ready",
        "GPUs with NVSwitch need the fabric manager in the version of the driver: systemctl enable --now "
        "nvidia-fabricmanager, and look at nvidia-smi -q (Fabric, State).",
    ),
    803: (
        "cuda_driver_mismatch",
        "Kernel module and libcuda are of different drivers: reboot the host after a driver upgrade; with CDI refresh "
        "the specification (systemctl restart nvidia-cdi-refresh).",
    ),
    804: (
        "cuda_compat_refused",
        "The image's forward compatibility library does not work with this GPU: upgrade the host's driver, or take "
        "/usr/local/cuda/compat out of LD_LIBRARY_PATH and VLLM_ENABLE_CUDA_COMPATIBILITY out of vllm_extra_env.",
    ),
    999: (
        "cuda_unknown",
        "CUDA cannot open its devices; most often the module nvidia_uvm or /dev/nvidia-uvm is missing: nvidia-modprobe "
        "-u -c=0, then run again. After a suspend: rmmod nvidia_uvm and modprobe nvidia_uvm.",
    ),
}

#: Variables of the service that decide which libcuda is loaded and which devices it shows.
DECIDE = (
    "LD_LIBRARY_PATH", "LD_PRELOAD", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_DISABLE_REQUIRE", "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER", "VLLM_ENABLE_CUDA_COMPATIBILITY",
)  # fmt: skip

_LIBRARY_FIX = (
    "The driver's libcuda does not reach the container: NVIDIA_DRIVER_CAPABILITIES must hold compute (vllm_extra_env "
    "or the image), and the host's driver must have it (ldconfig -p | grep libcuda; Debian: libcuda1)."
)


def run_command(access: str, devices: list[str], image: str, name: str, environment: dict[str, str]) -> list[str]:
    """Return the command that runs :data:`PROGRAM` in the service's image, with its GPUs and no network."""
    return [
        "docker", "run", "--rm", "--pull=never", "--network=none", "--name=" + name, "--label=" + gpu_test.LABEL,
        *("--env=%s=%s" % item for item in sorted(environment.items())),
        *gpu_test.gpu_options(access, devices), "--entrypoint=python3", image, "-c", PROGRAM,
    ]  # fmt: skip


def wanted_count(devices: list[str]) -> int:
    """Return how many devices CUDA must count: of MIG devices it shows one, of ``all`` any number."""
    whole = [item for item in devices if not item.startswith("MIG-") and ":" not in item and item != "all"]
    return max(1, len(whole))


def judge(status: int, out: str, err: str, devices: list[str]) -> dict:
    """Return ``{ok, devices, driver, library, error}`` of a run that ended; ``error``: None or ``{id, text, fix}``."""
    line = re.search(r"^cuda-test=(\{.*\})$", out, re.MULTILINE)
    if not line:
        error = gpu_test.explain(out + err)
        if status == 127 or re.search(r"exec: \"python3\"", err):
            error.update(id="no_python", fix="Name an image of vLLM in vllm_image; each of them has python3.")
        return {"ok": False, "devices": None, "driver": "", "library": "", "error": error}
    seen = json.loads(line[1])
    version = seen["driver"]
    found = {
        "ok": False,
        "devices": seen["devices"] if seen["step"] == "done" else None,
        # 13000 is CUDA 13.0 (cuDriverGetVersion)
        "driver": "%d.%d" % (version // 1000, version % 1000 // 10) if version else "",
        "library": seen["library"],
        "error": None,
    }
    wanted = wanted_count(devices)
    if seen["step"] == "load":
        found["error"] = {"id": "cuda_library_missing", "text": seen["text"], "fix": _LIBRARY_FIX}
    elif seen["step"] != "done":
        identity, fix = _CODES.get(seen["code"], ("cuda_failed", "See cuda.h for it, and journalctl -k | grep NVRM."))
        text = "%s gives %s%s" % (seen["step"], seen["code"], " (%s)" % seen["text"] if seen["text"] else "")
        found["error"] = {"id": identity, "text": text, "fix": fix}
    elif seen["devices"] < wanted:
        found["error"] = {
            "id": "cuda_devices",
            "text": "CUDA counts %d device%s, and %d are needed" % (
                seen["devices"], "" if seen["devices"] == 1 else "s", wanted),
            "fix": "See CUDA_VISIBLE_DEVICES in vllm_extra_env and in the image, and journalctl -k | grep -e NVRM -e "
            "Xid for a GPU that has failed.",
        }  # fmt: skip
    found["ok"] = found["error"] is None
    return found
