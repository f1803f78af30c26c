# SPDX-License-Identifier: GPL-3.0-or-later
"""Which phase of its start a vLLM is in, how far, and what it said about itself: read from the lines of its log.

The wordings are those of vLLM 0.11 to 0.33, and older ones where they cost nothing; the place in vLLM's source stands
before each group.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.patterns import Expression

#: The phases, in the order in which a start on GPUs goes through them.
PHASES = (
    "container_up",
    "config",
    "engine",
    "distributed",
    "download",
    "load",
    "compile",
    "memory",
    "graphs",
    "warmup",
    "ready",
    "serving",
)

#: Steps back that are none: weights are downloaded inside of loading, and a CPU compiles after it made its KV cache.
_BACK_STEPS = {("load", "download"), ("memory", "compile")}

_NUMBER = r"([\d,]+(?:\.\d+)?)"

#: (phase, expression). Named groups x and y are progress, detail says of what; every other group is a fact.
_LINES = [
    # entrypoints/openai/api_server.py, entrypoints/common/startup.py
    ("container_up", r"vLLM API server version (?P<version>[\w.+-]+)"),
    ("container_up", r"version (?P<version>\d+\.\d+[\w.+-]*)\s*$"),
    ("container_up", r"non-default args:"),
    # config/model.py
    ("config", r"Resolved architecture: (?P<architecture>\w+)"),
    ("config", r"Using max model len (?P<max_model_len>\d+)"),
    # v1/engine/core.py
    ("engine", r"Initializing (?:a V\d|an) LLM engine \(v(?P<version>[^)]+)\)"),
    # distributed/parallel_state.py, device_communicators/pynccl.py
    ("distributed", r"world_size=(?P<world_size>\d+) rank="),
    ("distributed", r"vLLM is using nccl=="),
    ("distributed", r"rank \d+ in world size (?P<world_size>\d+) is assigned as"),
    # huggingface_hub's bars: files of a repository, bytes of a file
    ("download", r"Fetching \d+ files:\s+\d+%\|.*?\|\s*(?P<x>\d+)/(?P<y>\d+)"),
    ("download", r"(?<![\w.-])(?P<detail>[\w.-]+\.(?:safetensors|bin|pt|gguf)):\s+\d+%\|.*?\|\s*(?P<x_size>[\d.]+[kMGT]?B?)/(?P<y_size>[\d.]+[kMGT]?B?)"),  # noqa: E501 one expression, one line
    ("download", r"Downloading (?:shards|weights|the model)"),
    ("download", r"Time spent downloading weights for \S+: (?P<download_s>[\d.]+) seconds"),
    # v1/worker/gpu_model_runner.py, model_executor/model_loader
    ("load", r"Starting to load model"),
    # v1/worker/gpu_worker.py, gpu/model_runner.py: the second model runner says nothing else before the first shard
    ("load", r"Using V2 Model Runner"),
    ("load", r"Loading model from scratch"),
    ("load", r"Loading (?:safetensors|pt|npcache|gguf|np) checkpoint shards:.*?\|\s*(?P<x>\d+)/(?P<y>\d+)"),
    ("load", r"Loading \w+ using [\w ]+:.*?\|\s*(?P<x>\d+)/(?P<y>\d+)"),
    ("load", r"Multi-thread loading shards:.*?\|\s*(?P<x>\d+)/(?P<y>\d+)"),
    ("load", r"Loading weights took (?P<load_s>[\d.]+) seconds"),
    ("load", r"(?:Model loading|Loading model weights) took (?P<weights_gib>[\d.]+) Gi?B(?: memory)?(?: and (?P<model_load_s>[\d.]+) seconds)?"),  # noqa: E501 one expression, one line
    # compilation/backends.py, decorators.py, monitor.py; v1/worker/cpu/model_runner.py
    ("compile", r"Using cache directory: \S+ for vLLM's torch.compile"),
    ("compile", r"Start(?:ing|ed)? (?:torch\.compile|compiling)"),
    ("compile", r"Dynamo bytecode transform time: (?P<dynamo_s>[\d.]+) s"),
    ("compile", r"(?P<cold>Compiling a graph for)"),
    ("compile", r"(?P<cold>Cache the graph (?:for|of)|saved AOT compiled function)"),
    ("compile", r"(?P<warm>Directly load (?:the|AOT) compil)"),
    ("compile", r"torch\.compile (?:takes|took) (?P<compile_s>[\d.]+) s in total"),
    ("compile", r"Warming up model for the compilation"),
    ("compile", r"Initial profiling/warmup run took (?P<warmup_s>[\d.]+) s"),
    # v1/worker/gpu_worker.py, v1/core/kv_cache_utils.py; v1/worker/cpu_worker.py
    ("memory", r"Memory profiling takes [\d.]+ seconds"),
    ("memory", r"Estimated CUDA graph memory: (?P<graph_estimate_gib>-?[\d.]+) GiB"),
    ("memory", r"Available KV cache memory: (?P<kv_cache_gib>-?[\d.]+) GiB"),
    ("memory", r"(?:Explicitly|Auto) set \((?P<kv_cache_gib>[\d.]+)/[\d.]+\) GiB for KV cache"),
    ("memory", r"Auto-fit max_model_len: reduced from \d+ to (?P<max_model_len>\d+)"),
    ("memory", rf"KV cache size: (?P<kv_cache_tokens>{_NUMBER}) tokens"),
    ("memory", rf"Maximum concurrency for {_NUMBER} tokens per request: (?P<max_concurrency>[\d.]+)x"),
    ("memory", r"# \w+ blocks: \d+, # \w+ blocks: \d+"),
    # v1/worker/gpu_model_runner.py
    ("graphs", r"Capturing (?:CUDA graphs?|cudagraphs)[^(%|]*(?:\((?P<detail>[^)]*)\))?[^|]*\|[^|]*\|\s*(?P<x>\d+)/(?P<y>\d+)"),  # noqa: E501 one expression, one line
    ("graphs", r"Capturing (?:cudagraphs|CUDA graph|the model for CUDA graphs)"),
    # what comes then is silent: FlashInfer compiles and tries its kernels, up to 80 s with cold caches (0.26 on H200)
    ("warmup", r"Graph capturing finished in (?P<graphs_s>[\d.]+) secs, took (?P<graphs_gib>-?[\d.]+) GiB"),
    # the same without graphs (v1/worker/gpu_worker.py, the last word of warming up's beginning)
    ("warmup", r"Free memory on device \(.{1,40}\) on startup\. .{0,80}Actual usage is"),
    # v1/engine/core.py, entrypoints
    ("ready", r"init engine \(profile, create kv cache, warmup model\) took (?P<init_engine_s>[\d.]+) s"),
    ("ready", r"Supported[_ ]tasks: "),
    ("ready", r"Starting vLLM (?:API )?server"),
    # uvicorn
    ("serving", r"Application startup complete"),
    ("serving", r"Uvicorn running on"),
    ("serving", r'"(?:GET|POST) /(?:health|v1/\S*|metrics) HTTP/[\d.]+" 200'),
]  # fmt: skip
LINES = tuple((phase, Expression(text)) for phase, text in _LINES)

#: Facts that are whole numbers, and those that are not numbers.
_WHOLE = {"max_model_len", "kv_cache_tokens", "world_size"}
_TEXTS = {"version", "architecture"}

#: Powers of 1000, as huggingface_hub's bars write bytes.
_SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclasses.dataclass
class _Step:
    """One phase that was entered; times in seconds, on the clock that the log or the watcher gives."""

    phase: str
    start_s: float | None
    end_s: float | None = None

    def duration_s(self, now_s: float | None) -> float | None:
        """Return how long it took, or takes until now; None without a clock."""
        end = self.end_s if self.end_s is not None else now_s
        return None if end is None or self.start_s is None else round(max(0.0, end - self.start_s), 1)


class Phases:
    """Follow the phases of one start, line by line."""

    def __init__(self) -> None:
        """Start where a container that has not said anything is."""
        self.steps = [_Step("container_up", None)]
        self.x: int | None = None
        self.y: int | None = None
        self.detail = ""
        self.facts: dict = {}
        self.now_s: float | None = None
        self._cached: int | None = None

    @property
    def phase(self) -> str:
        """The phase that it is in."""
        return self.steps[-1].phase

    def tick(self, now_s: float | None) -> None:
        """Set the clock; a clock that went back stands still."""
        if now_s is None or (self.now_s is not None and now_s < self.now_s):
            return
        self.now_s = now_s
        if self.steps[0].start_s is None:
            self.steps[0].start_s = now_s

    def see(self, line: Line) -> bool:
        """Take one line in; return whether it entered another phase."""
        if line.level in ("WARNING", "ERROR", "CRITICAL") or not line.text or self.phase == PHASES[-1]:
            return False
        entered, lower = False, line.text.lower()
        for phase, expression in LINES:
            match = expression.search(line.text, lower)
            if match:
                entered = self._enter(phase) or entered
                self._note(phase, match.groupdict())
        return entered

    def see_download(self, x: int, y: int) -> None:
        """Take in how much of the weights is in the cache: the log says so only at the end of a file.

        Args:
            x: bytes there.
            y: bytes in all; 0 when it is not known.
        """
        grew, self._cached = self._cached is not None and x > self._cached, x
        if grew and self.phase in ("engine", "distributed", "load"):
            self._enter("download")
        if self.phase == "download":
            self.x, self.y, self.detail = x, (y if y > x else None), "weights"

    def progress(self) -> dict:
        """Return ``{phase, x, y, percent, detail, elapsed_s, phase_s}``; None for what is not known."""
        percent = None if not self.y or self.x is None else min(100, round(100 * self.x / self.y))
        start = self.steps[0].start_s
        return {
            "phase": self.phase,
            "x": self.x,
            "y": self.y,
            "percent": percent,
            "detail": self.detail,
            "elapsed_s": None if start is None or self.now_s is None else round(self.now_s - start, 1),
            "phase_s": self.steps[-1].duration_s(self.now_s),
        }

    def durations(self) -> list[dict]:
        """Return ``{phase, start_s, duration_s}`` of each phase so far, start_s counted from the first."""
        zero = self.steps[0].start_s
        return [
            {
                "phase": step.phase,
                "start_s": None if zero is None or step.start_s is None else round(step.start_s - zero, 1),
                "duration_s": step.duration_s(self.now_s),
            }
            for step in self.steps
        ]

    def _enter(self, phase: str) -> bool:
        if phase == self.phase:
            return False
        forward = PHASES.index(phase) > PHASES.index(self.phase)
        been = any(step.phase == phase for step in self.steps)
        # workers are not in step: what a slower one says must not turn the clock back
        if not forward and (been or (self.phase, phase) not in _BACK_STEPS or self.x is not None):
            return False
        self.steps[-1].end_s = self.now_s
        self.steps.append(_Step(phase, self.now_s))
        self.x = self.y = None
        self.detail = ""
        return True

    def _note(self, phase: str, groups: dict) -> None:
        found = {key: value for key, value in groups.items() if value}
        if phase == self.phase and "x_size" in found:
            found.update(x=_bytes(found["x_size"]), y=_bytes(found["y_size"]))
        if phase == self.phase and "y" in found:
            self.x, self.y, self.detail = int(found["x"]), int(found["y"]), found.get("detail", "")
        for key in found.keys() & {"cold", "warm"}:
            # one graph that had to be compiled makes the start a cold one
            self.facts["compile_cache"] = "cold" if key == "cold" else self.facts.get("compile_cache", "warm")
        for key in found.keys() - {"x", "y", "x_size", "y_size", "detail", "cold", "warm"}:
            self._fact(key, found[key])

    def _fact(self, key: str, text: str) -> None:
        if key in _TEXTS:
            self.facts[key] = text
            return
        number = float(text.replace(",", ""))
        value = int(number) if key in _WHOLE else number
        # of several workers, the one with the least memory and the slowest one decide
        if key in self.facts and key in ("kv_cache_gib", "kv_cache_tokens", "max_concurrency"):
            value = min(value, self.facts[key])
        elif key in self.facts and key.endswith("_s"):
            value = max(value, self.facts[key])
        self.facts[key] = value


def _bytes(text: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)([kMGT]?)B?", text).groups()
    return int(float(number) * _SIZES[unit])
