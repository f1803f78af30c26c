# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of vLLM's log from which tests put starts together, and the diagnosis of such a log."""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, log_classifier

CATALOGUE = failure_catalogue.load()

OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
WORKER_OOM = "(Worker_TP0 pid=9) " + OOM
WRAPPER = (
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
READY = "(APIServer pid=1) INFO:     Application startup complete."
LOADING = "(Worker_TP0 pid=9) INFO 11-24 10:00:10 [a.py:1] Starting to load model a/b..."
ENGINE = "(EngineCore pid=5) INFO 11-24 10:00:05 [core.py:1] Initializing a V1 LLM engine (v0.32.0) with config: x"
NCCL_READY = "(Worker_TP0 pid=9) INFO 11-24 10:00:08 [pynccl.py:1] vLLM is using nccl==2.27.3"
OTHER = "(Worker_TP0 pid=9) ERROR 11-24 10:00:12 [a.py:7] "
GRAPHS = "Capturing CUDA graphs (decode, FULL):  20%|##  | 7/35 [00:01<00:02, 19.9it/s]"
VERSION = "(APIServer pid=1) INFO 11-24 10:00:00 [api_utils.py:1] vLLM API server version 0.32.0"
CONFIG = "(APIServer pid=1) INFO 11-24 10:00:01 [model.py:1] Resolved architecture: Qwen2ForCausalLM"
NCCL = "(Worker_TP0 pid=9) RuntimeError: NCCL error: unhandled system error"
SHARDS = "Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02, 1.4it/s]"


def traceback(
    error: str, process: str = "(Worker_TP1 pid=10) ERROR 11-24 10:00:11 [a.py:7] ", where: str = "run"
) -> str:
    """A traceback as a process of vLLM logs it."""
    lines = ["Traceback (most recent call last):", '  File "/x/a.py", line 12, in %s' % where, "    raise it()", error]
    return "\n".join(process + line for line in lines)


def diagnose(*parts: str, **evidence: object) -> dict:
    """The diagnosis of a log made of parts."""
    return log_classifier.classify("\n".join(parts) + "\n", CATALOGUE, evidence)


def result(*parts: str, **evidence: object) -> tuple[str, str]:
    """Outcome and id."""
    diagnosis = diagnose(*parts, **evidence)
    return diagnosis["outcome"], diagnosis["id"]
