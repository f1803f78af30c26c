# SPDX-License-Identifier: GPL-3.0-or-later
"""Read findings out of the kernel's log: memory that ran out, GPUs that failed.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

from ansible_collections.myia.vllm.plugins.plugin_utils.bundle.finding import finding

_XID = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<gpu>[^)]+)\): (?P<code>\d+)")
_OOM = re.compile(
    r"(?:Memory cgroup out of memory|Out of memory)[^\n]*?Killed process (?P<pid>\d+) \((?P<name>[^)]+)\)"
)
_CGROUP = re.compile(r"Memory cgroup out of memory")

#: NVIDIA, "XID Errors" of the GPU deployment and management documentation (docs.nvidia.com/deploy/xid-errors): what a
#: code means and what NVIDIA has one do. By code: (severity, meaning, fix).
_MEANINGS = {
    13: ("error", "a kernel of the program made an illegal access",
         "Look whether vLLM's log names the kernel; try vllm_enforce_eager: true and a newer vLLM. When other programs "
         "fail alike, test the GPU."),
    31: ("error", "the program read memory that is not its own",
         "A fault of the program in most cases: report it to vLLM with its log, and try vllm_enforce_eager: true."),
    43: ("error", "a program's fault stopped its work on the GPU", "Look for the first error in vLLM's log."),
    45: ("warning", "work on the GPU was ended, mostly since the program was", "Look for what came before it."),
    48: ("error", "an error of the GPU's memory that cannot be corrected",
         "Reset the GPU or restart the host (nvidia-smi -q -d ECC); have it exchanged when it comes again."),
    61: ("error", "the GPU's own firmware stopped", "Restart the host; update the driver when it comes again."),
    62: ("error", "the GPU's own firmware stopped", "Restart the host; update the driver when it comes again."),
    63: ("warning", "a bad row of the GPU's memory is remapped", "Reset the GPU or restart the host."),
    64: ("error", "a bad row of the GPU's memory could not be remapped",
         "Restart the host; have the GPU exchanged when it comes again."),
    74: ("error", "the link between GPUs (NVLink) failed", "Restart the host; look at nvidia-smi nvlink -e."),
    79: ("error", "the GPU has fallen off the bus",
         "Switch the host off and on; look at power, seat and temperature of the GPU, and at AER lines above it."),
    92: ("warning", "many errors of the GPU's memory were corrected", "Watch nvidia-smi -q -d ECC."),
    94: ("error", "an error of the GPU's memory ended this program", "Restart the service; reset the GPU soon."),
    95: ("error", "an error of the GPU's memory ended all programs", "Reset the GPU or restart the host."),
    119: ("error", "the GPU's system processor (GSP) does not answer",
          "Restart the host; update the driver, or switch GSP off (NVreg_EnableGpuFirmware=0)."),
    120: ("error", "the GPU's system processor (GSP) stopped", "Restart the host; update the driver."),
    154: ("error", "the GPU asks for a recovery", "Read in the line which: reset the GPU, or restart the host."),
}  # fmt: skip


def findings(text: str) -> list[dict]:
    """Return a finding for each kind of trouble in the kernel's log.

    Args:
        text: the log since the host's start.
    """
    found = []
    killed = list(_OOM.finditer(text))
    if killed:
        inside = bool(_CGROUP.search(text))
        names = ", ".join(sorted({match["name"] for match in killed}))
        fix = (
            "Raise vllm_memory_limit, or leave it out." if inside else
            "Give the host more memory, or vLLM less: lower vllm_cpu_kv_cache_gib, vllm_shm_size; end other programs."
        )  # fmt: skip
        found.append(finding("kernel_oom", "error", "the kernel ended %d process%s for lack of memory (%s)%s" % (
            len(killed), "" if len(killed) == 1 else "es", names,
            ", at the limit of a container" if inside else ""), fix, "host/kernel.log"))  # fmt: skip
    codes: dict[int, list[str]] = {}
    for match in _XID.finditer(text):
        codes.setdefault(int(match["code"]), []).append(match["gpu"])
    for code, gpus in sorted(codes.items()):
        unknown = (
            "warning",
            "see NVIDIA's list of Xid errors",
            "Look the code up at docs.nvidia.com/deploy/xid-errors.",
        )
        severity, meaning, fix = _MEANINGS.get(code, unknown)
        some = "Xid %d (%s), %d time%s, GPU %s" % (
            code, meaning, len(gpus), "" if len(gpus) == 1 else "s", ", ".join(sorted(set(gpus))))  # fmt: skip
        found.append(finding("kernel_xid_%d" % code, severity, some, fix, "host/kernel.log"))
    return found
