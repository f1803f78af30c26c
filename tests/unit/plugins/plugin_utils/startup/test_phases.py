# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of a start, in the wordings of vLLM 0.11 and of today."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup.log_lines import Line, parse
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import LINES, PHASES, Phases

BAR = "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  33%|###       | 22/67 [00:01<00:02, 19.9it/s]"

#: (line, phase, x, y, facts)
WORDINGS = [
    ("vLLM API server version 0.11.0", "container_up", None, None, {"version": "0.11.0"}),
    ("    version 0.32.0", "container_up", None, None, {"version": "0.32.0"}),
    ("Resolved architecture: Qwen2ForCausalLM", "config", None, None, {"architecture": "Qwen2ForCausalLM"}),
    ("Using max model len 131072", "config", None, None, {"max_model_len": 131072}),
    ("Initializing a V1 LLM engine (v0.11.0) with config: x", "engine", None, None, {"version": "0.11.0"}),
    ("vLLM is using nccl==2.27.3", "distributed", None, None, {}),
    ("rank 1 in world size 2 is assigned as DP rank 0", "distributed", None, None, {"world_size": 2}),
    ("Time spent downloading weights for a/b: 61.5 seconds", "download", None, None, {"download_s": 61.5}),
    ("Fetching 9 files:  44%|####      | 4/9 [00:01<00:01,  2.94it/s]", "download", 4, 9, {}),
    ("model-1.safetensors:  43%|####  | 1.70G/3.95G [00:10<00:13, 1MB/s]", "download", 1.7e9, 3.95e9, {}),
    ("Starting to load model Qwen/Qwen2.5-32B-Instruct-AWQ...", "load", None, None, {}),
    ("Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02, 1.4it/s]", "load", 2, 5, {}),
    ("Loading weights took 12.25 seconds", "load", None, None, {"load_s": 12.25}),
    ("Model loading took 9.0521 GiB and 13.5 seconds", "load", None, None,
     {"weights_gib": 9.0521, "model_load_s": 13.5}),
    ("Model loading took 9.05 GiB memory and 13.5 seconds", "load", None, None,
     {"weights_gib": 9.05, "model_load_s": 13.5}),
    ("Using cache directory: /root/.cache/vllm/x for vLLM's torch.compile", "compile", None, None, {}),
    ("Dynamo bytecode transform time: 8.31 s", "compile", None, None, {"dynamo_s": 8.31}),
    ("Compiling a graph for dynamic shape takes 31.0 s", "compile", None, None, {"compile_cache": "cold"}),
    ("Compiling a graph for compile range (1, 2048) takes 31.0 s", "compile", None, None, {"compile_cache": "cold"}),
    ("Directly load the compiled graph(s) for dynamic shape from the cache, took 3.1 s", "compile", None, None,
     {"compile_cache": "warm"}),
    ("Directly load AOT compilation from path /x", "compile", None, None, {"compile_cache": "warm"}),
    ("torch.compile takes 40.1 s in total", "compile", None, None, {"compile_s": 40.1}),
    ("torch.compile took 40.1 s in total", "compile", None, None, {"compile_s": 40.1}),
    ("Available KV cache memory: 10.52 GiB", "memory", None, None, {"kv_cache_gib": 10.52}),
    ("GPU KV cache size: 86,176 tokens", "memory", None, None, {"kv_cache_tokens": 86176}),
    ("Maximum concurrency for 32,768 tokens per request: 2.63x", "memory", None, None, {"max_concurrency": 2.63}),
    ("GPU KV cache size: 86,176 tokens, Maximum concurrency for 32,768 tokens per request: 2.63x", "memory", None, None,
     {"kv_cache_tokens": 86176, "max_concurrency": 2.63}),
    (BAR, "graphs", 22, 67, {}),
    ("Graph capturing finished in 12 secs, took 0.55 GiB", "warmup", None, None,
     {"graphs_s": 12.0, "graphs_gib": 0.55}),
    ("Graph capturing finished in 1 secs, took -0.12 GiB", "warmup", None, None,
     {"graphs_s": 1.0, "graphs_gib": -0.12}),
    ("init engine (profile, create kv cache, warmup model) took 41.50 seconds", "ready", None, None,
     {"init_engine_s": 41.5}),
    ("init engine (profile, create kv cache, warmup model) took 41.50 s (compilation: 40.00 s)", "ready", None, None,
     {"init_engine_s": 41.5}),
    ("Supported_tasks: ['generate']", "ready", None, None, {}),
    ("Starting vLLM API server 0 on http://0.0.0.0:5002", "ready", None, None, {}),
    ("Starting vLLM server on http://0.0.0.0:5002", "ready", None, None, {}),
    ("Application startup complete.", "serving", None, None, {}),
    ('192.0.2.1:41774 - "GET /health HTTP/1.1" 200 OK', "serving", None, None, {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "phase", "x", "y", "facts"), WORDINGS, ids=lambda value: str(value)[:60])
def test_wordings(text, phase, x, y, facts) -> None:
    """Each line alone gives its phase, its progress and what it says."""
    phases = Phases()
    phases.see(Line(text))
    progress = phases.progress()
    assert (progress["phase"], progress["x"], progress["y"]) == (phase, x, y)
    assert phases.facts == facts
    assert progress["percent"] == (None if x is None else round(100 * x / y))


def test_every_phase_has_a_wording() -> None:
    """No phase is only a name."""
    assert {phase for phase, _expression in LINES} == set(PHASES)
    assert {row[1] for row in WORDINGS} == set(PHASES)


def test_other_lines() -> None:
    """Requests that fail, errors and warnings are no progress."""
    phases = Phases()
    for text in ('"GET /v1/models HTTP/1.1" 401', "Route: /health, Methods: GET"):
        assert not phases.see(Line(text))
    assert not phases.see(Line("Resolved architecture: A", level="ERROR"))
    assert not phases.see(Line("Using max model len 5", level="WARNING"))
    assert phases.phase == "container_up"


def test_slow_worker() -> None:
    """What a slower worker says does not turn the clock back, but its facts count."""
    phases = Phases()
    for text in ("Loading weights took 5.0 seconds", "Using cache directory: /x for vLLM's torch.compile"):
        phases.see(parse("(Worker_TP0 pid=1) INFO 11-24 10:00:00 [a.py:1] " + text))
    phases.see(parse("(Worker_TP1 pid=2) INFO 11-24 10:00:00 [a.py:1] Loading weights took 9.0 seconds"))
    assert phases.phase == "compile"
    assert phases.facts["load_s"] == 9.0
    phases.see(Line("Resolved architecture: Late"))
    assert phases.phase == "compile"


def test_least_memory_counts() -> None:
    """Of several workers the one with the least memory decides."""
    phases = Phases()
    for text in ("Available KV cache memory: 10.5 GiB", "Available KV cache memory: 9.5 GiB"):
        phases.see(Line(text))
    phases.see(Line("Available KV cache memory: 11.5 GiB"))
    assert phases.facts["kv_cache_gib"] == 9.5


def test_download_within_loading_and_compile_on_a_cpu() -> None:
    """Two steps back that are none."""
    phases = Phases()
    entered = []
    for text in (
        "Starting to load model a/b...",
        "Fetching 2 files:  50%|#####     | 1/2 [00:01<00:01, 1it/s]",
        "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:02, 1.4it/s]",
        "CPU KV cache size: 1,024 tokens",
        "Warming up model for the compilation...",
        "init engine (profile, create kv cache, warmup model) took 9.1 s",
    ):
        phases.see(Line(text))
        entered.append(phases.phase)
    assert entered == ["load", "download", "load", "memory", "compile", "ready"]


def test_cold_is_not_forgotten() -> None:
    """One graph that had to be compiled makes the start a cold one."""
    phases = Phases()
    for text in ("Compiling a graph for dynamic shape takes 3 s", "Directly load the compiled graph(s) for shape 1"):
        phases.see(Line(text))
    assert phases.facts["compile_cache"] == "cold"


def test_second_bar() -> None:
    """The second of the two bars of graph capture starts again."""
    phases = Phases()
    phases.see(Line(BAR))
    assert phases.progress()["detail"] == "mixed prefill-decode, PIECEWISE"
    phases.see(Line("Capturing CUDA graphs (decode, FULL):   3%|          | 1/35 [00:00<00:09, 3it/s]"))
    assert phases.progress()["detail"] == "decode, FULL"
    assert (phases.x, phases.y) == (1, 35)


def test_clock() -> None:
    """Durations by the clock that is given; one that goes back stands still."""
    phases = Phases()
    for now, text in (
        (100.0, "start"),
        (107.0, "Resolved architecture: A"),
        (105.0, "x"),
        (117.5, "Starting to load model"),
    ):
        phases.tick(now)
        phases.see(Line(text))
        assert phases.progress()["elapsed_s"] == max(7.0 if now == 105.0 else 0.0, now - 100.0)
    phases.tick(120.0)
    assert phases.durations() == [
        {"phase": "container_up", "start_s": 0.0, "duration_s": 7.0},
        {"phase": "config", "start_s": 7.0, "duration_s": 10.5},
        {"phase": "load", "start_s": 17.5, "duration_s": 2.5},
    ]
    progress = phases.progress()
    assert (progress["elapsed_s"], progress["phase_s"]) == (20.0, 2.5)


def test_no_clock() -> None:
    """Without times there are no durations."""
    phases = Phases()
    phases.see(Line("Resolved architecture: A"))
    assert phases.progress()["elapsed_s"] is None
    assert phases.durations()[1] == {"phase": "config", "start_s": None, "duration_s": None}


def test_download_seen_in_the_cache() -> None:
    """A cache that grows is a download, whatever the log says; one that only is there is none."""
    phases = Phases()
    phases.see(parse("Initializing a V1 LLM engine (v0.32.0) with config: x"))
    phases.see_download(100, 400)
    assert (phases.phase, phases.x) == ("engine", None)
    phases.see_download(100, 400)
    assert phases.phase == "engine"
    phases.see_download(200, 400)
    progress = phases.progress()
    assert (progress["phase"], progress["x"], progress["y"], progress["percent"]) == ("download", 200, 400, 50)
    assert progress["detail"] == "weights"
    # the size may be known wrongly, or not at all
    for there, size in ((500, 400), (600, 0)):
        phases.see_download(there, size)
        assert (phases.x, phases.y, phases.progress()["percent"]) == (there, None, None)
    phases.see(parse("Starting to load model a/b..."))
    phases.see_download(600, 400)
    assert (phases.phase, phases.x) == ("load", None)


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("Resolved architecture: Qwen2ForCausalLM", "config"),
        ("Starting to load model a/b...", "download"),
        # a bar shows that loading has begun
        ("Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02, 1.4it/s]", "load"),
        ("Dynamo bytecode transform time: 8.31 s", "compile"),
    ],
)
def test_where_a_growing_cache_counts(line, phase) -> None:
    """Before and while weights are loaded; later something else writes there."""
    phases = Phases()
    phases.see(parse(line))
    phases.see_download(1, 0)
    phases.see_download(2, 0)
    assert phases.phase == phase
