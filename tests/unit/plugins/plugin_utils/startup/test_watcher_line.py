# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown while a start is watched: phase, how far, how much longer, and how much is downloaded."""

from __future__ import annotations

import pytest
from startup_lines import CATALOGUE, CONFIG, ENGINE, LOADING, READY, SHARDS, VERSION
from watched_container import T0, Container

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import watcher as startup_watcher
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.phases import PHASES
from ansible_collections.myia.vllm.plugins.plugin_utils.startup.watcher import StartWatch


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], "[container_up] the container is up"),
        ([VERSION, CONFIG], "[config] reading the configuration"),
        ([LOADING], "[load] loading weights"),
        ([LOADING, SHARDS], "[load] loading weights 2/5 (40 %)"),
        (["Fetching 9 files:  44%|####      | 4/9 [00:01<00:01,  2.94it/s]"],
         "[download] downloading weights 4/9 (44 %)"),
        (["model-1.safetensors:  43%|####  | 1.70G/3.95G [00:10<00:13, 1MB/s]"],
         "[download] downloading weights: 1.58 GiB of 3.68 GiB (43 %)"),
        ([LOADING, "INFO 11-24 10:00:20 [b.py:1] Dynamo bytecode transform time: 8.31 s",
          "INFO 11-24 10:00:21 [b.py:1] Compiling a graph for dynamic shape takes 31.0 s"],
         "[compile] compiling, cold cache"),
        (["INFO 11-24 10:00:22 [k.py:1] GPU KV cache size: 86,176 tokens"],
         "[memory] measuring memory for the KV cache, KV cache 86,176 tokens"),
        (["INFO 11-24 10:00:22 [k.py:1] GPU KV cache size: 86,176 tokens",
          "Capturing CUDA graphs (decode, FULL):  20%|##  | 7/35 [00:01<00:02, 19.9it/s]"],
         "[graphs] capturing CUDA graphs 7/35 (20 %), KV cache 86,176 tokens"),
        (["INFO 11-28 22:07:00 [k.py:1] GPU KV cache size: 1,053,813,440 tokens",
          "INFO 11-28 22:07:04 [core.py:340] init engine (profile, create kv cache, warmup model) took 26.02 s"],
         "[ready] the engine is ready, KV cache 1,053,813,440 tokens, making 66 million cache blocks "
         "(about 1 min 17 s)"),
        (["INFO 11-28 22:07:00 [k.py:1] GPU KV cache size: 1,588,416 tokens",
          "INFO 11-28 22:07:04 [core.py:340] init engine (profile, create kv cache, warmup model) took 26.02 s"],
         "[ready] the engine is ready, KV cache 1,588,416 tokens"),
        ([READY], "[serving] the server is up"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_line(lines, shown, watch) -> None:
    """Phase, how far, what is known."""
    container = Container(lines)
    watch.take(container.inspect(T0 + 65))
    phase, text, elapsed, left = watch.line()
    assert text == shown
    assert text.startswith("[%s] " % phase)
    assert (elapsed, left) == ("1 min 5 s", "")


def test_every_phase_has_its_words() -> None:
    """None is forgotten."""
    assert tuple(startup_watcher.WORDS) == PHASES


def recorded(image: str, **phases: float) -> dict:
    """A start that the host remembers."""
    return {"image": image, "model": "m", "phases": [{"phase": p, "duration_s": s} for p, s in phases.items()]}


@pytest.mark.parametrize(
    ("lines", "now_s", "left"),
    [
        pytest.param([VERSION], 2, "about 3 min 8 s left", id="begin"),
        pytest.param([VERSION, LOADING], 32, "about 2 min 30 s left", id="half-through"),
        pytest.param([VERSION, LOADING, SHARDS], 42, "about 3 min 0 s left", id="by-its-own-pace"),
        pytest.param([VERSION, LOADING], 500, "about 2 min 0 s left", id="longer-than-last-time"),
        pytest.param(
            ["Graph capturing finished in 12 secs, took 0.55 GiB"], 500, "longer than last time", id="last-phase"
        ),
        pytest.param([READY], 2, "", id="up"),
    ],
)
def test_time_left(lines, now_s, left, watch) -> None:
    """By the durations that this host recorded last time."""
    container = Container(lines)
    starts = [
        {**recorded("other", load=1.0), "model": "x"},
        recorded("i", container_up=10.0, load=60.0, compile=100.0, graphs=15.0, warmup=5.0),
    ]
    watch.take(container.inspect(T0, starts=starts), "i", "m")
    watch.take(container.inspect(T0 + now_s))
    assert watch.line()[3] == left


def test_another_model_says_nothing(watch) -> None:
    """A start of another model is no measure."""
    watch.take(Container([VERSION]).inspect(T0 + 1, starts=[recorded("i", load=60.0)]), "i", "other")
    assert watch.line()[3] == ""


# ---------------------------------------------------------------------- download


def test_download_grows() -> None:
    """The cache tells what the log does not: the phase, how much, and how much of it all."""
    watch = StartWatch(CATALOGUE, {}, [], 4 * 2**30)
    container = Container([VERSION, ENGINE, LOADING])
    watch.take(container.inspect(T0 + 2))
    assert watch.download_wanted is True
    watch.take(container.inspect(T0 + 3, download_bytes=2**30))
    assert watch.line()[0] == "load"  # it may have been there before
    watch.take(container.inspect(T0 + 4, download_bytes=2**31))
    assert watch.line()[:2] == ("download", "[download] downloading weights: 2.00 GiB of 4.00 GiB (50 %)")
    watch.take(container.inspect(T0 + 5, download_bytes=2**32))
    assert watch.line()[1] == "[download] downloading weights: 4.00 GiB"


def test_download_of_unknown_size(watch) -> None:
    """How much there is, without a percentage."""
    container = Container([VERSION, ENGINE])
    watch.take(container.inspect(T0 + 2, download_bytes=1))
    watch.take(container.inspect(T0 + 3, download_bytes=2**30))
    assert watch.line()[1] == "[download] downloading weights: 1.00 GiB"


@pytest.mark.parametrize(("lines", "wanted"), [([VERSION], False), ([ENGINE], True), ([READY], False)])
def test_when_the_cache_is_looked_at(lines, wanted, watch) -> None:
    """Only in the phases in which weights may be on their way."""
    watch.take(Container(lines).inspect(T0 + 2))
    assert watch.download_wanted is wanted
