# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimate the GPU memory outside of PyTorch: CUDA context, cuBLAS, NCCL, and what others hold where that counts.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

import re

#: GiB that a process takes before it allocates anything: kernels, stacks and tables of the CUDA context. 619 MiB on
#: H100 and H200 (driver 580, CUDA 13.0, PyTorch 2.11; tools/measure_gpu_memory.py); not measured on other cards. vLLM
#: looks at the free memory after that (``init_device`` in v1/worker/gpu_worker.py), so it lies outside of the budget:
#: no term of the overhead, but memory that must be free beside the budget.
CONTEXT_GIB = 0.60
#: The same with all else that a start takes beside its budget before the KV cache lies: with utilization 0.996 a start
#: of 0.26 on an H200 had 0.56 GiB beside the budget, and lacked 0.40 for the cache of its last layer.
BESIDE_GIB = 0.96
#: GiB by which the memory outside of PyTorch grows between vLLM's first look and the end of profiling, by tensor
#: parallel size: cuBLAS, kernels loaded late, what NCCL and custom all-reduce add at their first use, and weights that
#: are not split (norms, biases). From the printed non-torch memory of about thirty starts; NVLink machines with eight
#: GPUs take about 2.3, PCIe cards much less. Measured (tools/measure_gpu_memory.py): the first matrix products take 66
#: to 68 MiB, within size 1, of whose printed 0.03 to 0.35 GiB the CUDA context can be no part.
#: Two H200 printed 0.07 (0.26).
_NON_TORCH_GIB = {
    1: (0.03, 0.15, 0.35),
    2: (0.05, 0.40, 0.75),
    4: (0.30, 0.65, 1.10),
    8: (0.70, 1.90, 2.60),
    16: (1.00, 3.00, 5.00),
}
#: Since 0.11 (pull request 25359) NCCL's communicators are made before that first look, so that they lie outside of the
#: budget as the context does. Before, they are inside; then this much (GiB) at most for size 2: NCCL 2.28.9 takes 846
#: MiB a rank of two H100 on NVLink, all of it when the group is made (measured by the same tool), beside the most that
#: one GPU takes expectedly. From 0.11 on, starts of two H100 printed 0.54 and 0.55.
_NCCL_OUTSIDE_SINCE = (0, 11)
_NCCL_PAIR_INSIDE_GIB = 1.00
#: The same of versions before 0.6.5, which count all that is on the GPU: context, NCCL, graphs' buffers. Printed: 1.79
#: with one and 3.58 with two H100 (vLLM pull request 10511), up to 7.7 with eight; between them assumed.
_NON_TORCH_WHOLE_GPU_GIB = {
    1: (0.30, 0.80, 1.80),
    2: (0.40, 1.50, 3.60),
    4: (0.50, 2.00, 5.00),
    8: (0.70, 3.00, 7.80),
    16: (1.00, 4.00, 9.00),
}
#: The context where it counts as vLLM's own: 0.60 measured on H100 and H200; that others have less is assumed.
_CONTEXT_INSIDE_GIB = (0.25, 0.45, 0.65)
#: Chips whose GPU has its memory in common with the host (GB10 is DGX Spark's): vLLM then reads the host's free memory,
#: so that what processes of the host take while it starts counts as its own. How much is assumed: its own processes'
#: memory, 1 to 4 GiB for a start of a few workers.
_UNIFIED = re.compile(r"(?i)\b(GB10|Thor|Orin|Tegra|Xavier|Spark)\b")
_HOST_GIB = (0.0, 1.0, 4.0)


def is_unified(gpu_name: str) -> bool:
    """Tell by a card's name whether its memory is the host's."""
    return bool(_UNIFIED.search(gpu_name))


def terms(rules: dict, settings: dict) -> list[dict]:
    """Return the terms of the overhead that lie outside of PyTorch, each ``name``, ``gib`` and ``text``.

    Args:
        rules: one entry of ``vllm_rules.rules``.
        settings: of ``estimate.plan``: ``tp``, ``gpu_name``, ``others_gib`` (that others hold now; None: not known).
    """
    tp = settings["tp"]
    text = "cuBLAS, NCCL and buffers with tensor parallel %d" % tp
    found = [{"name": "non_torch", "gib": _non_torch(tp, rules), "text": text}]
    if rules["others_count"]:
        others = settings.get("others_gib") or 0.0
        gib = (others, others, others) if rules["v0"] else tuple(part + others for part in _CONTEXT_INSIDE_GIB)
        text = "%.2f GiB of other processes%s" % (others, "" if rules["v0"] else ", and the CUDA context")
        found.append({"name": "others", "gib": gib, "text": text})
    if is_unified(settings["gpu_name"]):
        text = "memory of the host, whose processes count while vLLM starts"
        found.append({"name": "host", "gib": _HOST_GIB, "text": text})
    return found


def _non_torch(tp: int, rules: dict) -> tuple:
    """Return the memory outside of PyTorch, in GiB; between the known sizes, the next larger one's."""
    table = _NON_TORCH_WHOLE_GPU_GIB if rules["v0"] and rules["others_count"] else _NON_TORCH_GIB
    known = next((number for number in sorted(table) if number >= tp), max(table))
    low, expected, high = table[known]
    if known >= 8 and rules["version"] < (0, 7):
        # which release of 0.6 printed those 7.7 is not known
        high = _NON_TORCH_WHOLE_GPU_GIB[known][2]
    if tp == 2 and rules["version"] < _NCCL_OUTSIDE_SINCE:
        high = max(high, _NCCL_PAIR_INSIDE_GIB)
    return (low, expected, high)
