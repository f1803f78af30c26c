# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure on real GPUs what the capacity planner can only estimate: context, cuBLAS, NCCL, CUDA graphs.

Usage: ``python tools/measure_gpu_memory.py`` on a host with PyTorch and idle NVIDIA GPUs; prints one JSON object.
Memory is what NVML says the whole GPU has in use (MiB), less what PyTorch's allocator holds, so that only what no log
states is left. Changes no setting of the card. The figures and what they support: docs/hardware.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import time

import torch
import torch.distributed as dist
from torch import multiprocessing

MIB = 1024**2

#: A decoder's layer as small models have it (Qwen3-0.6B: 28 layers, hidden 1024, intermediate 3072).
LAYERS, HIDDEN, INTERMEDIATE = 28, 1024, 3072

#: Batch sizes that vLLM captures by default below 256 sequences (vllm/config, cudagraph_capture_sizes).
SIZES = (1, 2, 4, *range(8, 257, 8))


def nvml_used_mib() -> list[int]:
    """Return the memory in use of each GPU, in MiB, as nvidia-smi says."""
    argv = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return [int(line) for line in subprocess.check_output(argv, text=True).split()]


def outside_mib(gpu: int) -> float:
    """Return what the GPU has in use less what this process's allocator holds, in MiB."""
    torch.cuda.synchronize()
    return nvml_used_mib()[gpu] - torch.cuda.memory_reserved() / MIB


class Layer(torch.nn.Module):
    """The matrix products and the norm of a decoder's layer; attention is left out, as vLLM's graphs cut it out."""

    def __init__(self) -> None:
        """Make the weights."""
        super().__init__()
        self.norm = torch.nn.RMSNorm(HIDDEN)
        self.qkv = torch.nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.out = torch.nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate = torch.nn.Linear(HIDDEN, 2 * INTERMEDIATE, bias=False)
        self.down = torch.nn.Linear(INTERMEDIATE, HIDDEN, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pass through."""
        x = x + self.out(self.qkv(self.norm(x))[..., :HIDDEN])
        gate, up = self.gate(self.norm(x)).chunk(2, dim=-1)
        return x + self.down(torch.nn.functional.silu(gate) * up)


def graphs(gpu: int) -> dict:
    """Capture a small model at vLLM's batch sizes into one pool, largest first, and say what the pool takes."""
    model = torch.nn.Sequential(*(Layer() for _layer in range(LAYERS))).to(gpu, torch.bfloat16).eval()
    inputs = torch.zeros(max(SIZES), HIDDEN, device=gpu, dtype=torch.bfloat16)
    with torch.inference_mode():
        model(inputs)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        reserved, used = torch.cuda.memory_reserved() / MIB, nvml_used_mib()[gpu]
        pool, kept, start = torch.cuda.graph_pool_handle(), [], time.monotonic()
        for size in sorted(SIZES, reverse=True):
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                kept.append((graph, model(inputs[:size])))
        torch.cuda.synchronize()
        pool_mib = torch.cuda.memory_reserved() / MIB - reserved
        total_mib = nvml_used_mib()[gpu] - used
    return {
        "graphs": len(SIZES),
        "layers": LAYERS,
        "pool_mib": round(pool_mib, 1),
        "total_mib": total_mib,
        "mib_per_graph_and_layer": round(total_mib / len(SIZES) / LAYERS, 4),
        "seconds": round(time.monotonic() - start, 2),
    }


def single(gpu: int, queue) -> None:
    """One process on one GPU: context, cuBLAS, graphs."""
    before = nvml_used_mib()[gpu]
    torch.cuda.set_device(gpu)
    keep = torch.zeros(1, device=gpu)
    context = outside_mib(gpu) - before
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(1024, 1024, device=gpu).to(dtype)
        keep = a @ a
    blas = outside_mib(gpu) - before - context
    properties = torch.cuda.get_device_properties(gpu)
    queue.put({
        "gpu": properties.name,
        "idle_used_mib": before,
        "torch_total_mib": round(properties.total_memory / MIB, 1),
        "context_mib": round(context, 1),
        "cublas_mib": round(blas, 1),
        "cuda_graphs": graphs(gpu),
    })  # fmt: skip
    del keep


def rank(number: int, world: int, queue) -> None:
    """One process of a tensor-parallel group: what NCCL takes for the collectives that vLLM uses."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    torch.cuda.set_device(number)
    x = torch.ones(8192 * 8192, device=number, dtype=torch.bfloat16)
    x.view(8192, 8192) @ x.view(8192, 8192)
    before = outside_mib(number)
    dist.init_process_group("nccl", rank=number, world_size=world, device_id=torch.device("cuda", number))
    dist.barrier()
    after = {"init_mib": outside_mib(number) - before}
    dist.all_reduce(x)
    dist.barrier()
    after["all_reduce_mib"] = outside_mib(number) - before
    gathered = torch.empty(world * 1024 * 1024, device=number, dtype=torch.bfloat16)
    dist.all_gather_into_tensor(gathered, x[: 1024 * 1024].contiguous())
    dist.barrier()
    after["all_gather_mib"] = outside_mib(number) - before
    queue.put({"rank": number, **{name: round(value, 1) for name, value in after.items()}})
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    """Measure and print."""
    context = multiprocessing.get_context("spawn")
    result = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),
        "driver": subprocess.check_output(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], text=True
        ).split()[0],
    }
    queue = context.SimpleQueue()
    process = context.Process(target=single, args=(0, queue))
    process.start()
    result["single"] = queue.get()
    process.join()
    count = torch.cuda.device_count()
    if count > 1:
        processes = [context.Process(target=rank, args=(number, 2, queue)) for number in range(2)]
        for process in processes:
            process.start()
        result["nccl_ranks"] = sorted((queue.get() for _process in processes), key=lambda item: item["rank"])
        for process in processes:
            process.join()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
