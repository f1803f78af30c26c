# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two releases."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import history


def test_finals() -> None:
    """No candidates, no builds for something, in the order of releases rather than of letters."""
    tags = ["latest", "v0.9.2", "v0.33.0", "v0.33.1rc1", "v0.33.0-cu129", "nightly-abc", "v0.10.0", "v0.33.0.post1"]
    assert history.finals(tags) == ["0.9.2", "0.10.0", "0.33.0", "0.33.0.post1"]


def test_newer() -> None:
    """Of table and registry together; what was not asked is not known."""
    last = vllm_options.versions()[-1]
    found = history.newer("0.32.0", ["v0.32.0", "v99.0.0"])
    assert found[-1] == {"version": "99.0.0", "in_table": False, "in_registry": True}
    assert {"version": last, "in_table": True, "in_registry": False} in found
    assert all(item["in_registry"] is None for item in history.newer("0.11.0", []))
    assert history.newer(last, []) == []


@pytest.mark.parametrize(
    ("before", "after", "name", "text"),
    [
        ("0.17.1", "0.18.0", "swap-space", "the V1 engine does not swap"),
        ("0.12.0", "0.13.0", "task", "use runner"),
        ("0.11.0", "0.33.0", "guided-decoding-backend", "structured-outputs-config.backend"),
    ],
)
def test_gone(before, after, name, text) -> None:
    """With what takes its place."""
    assert text in history.gone(before, after)[name]
    assert name not in history.gone(after, after)


def test_defaults() -> None:
    """The share of GPU memory moved with 0.20, and so did what counts in it."""
    found = {item["option"]: (item["before"], item["after"]) for item in history.defaults("0.19.1", "0.20.0")}
    assert found == {
        "gpu-memory-utilization": (0.9, 0.92),
        "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": (False, True),
    }
    assert history.shown(None) == "no fixed one"
    assert (history.shown(True), history.shown(0.9)) == ("true", "0.9")


def test_metrics_and_notes() -> None:
    """What dashboards miss, and what the collection acts on."""
    assert "vllm:time_per_output_token_seconds" in history.metrics_gone("0.11.0", "0.15.0")
    assert history.notes("0.11.2", "0.12.0")[0].startswith("vLLM reads `rope_parameters`")
    assert "is refused" in history.notes("0.29.0", "0.30.0")[0]
    assert history.notes("0.32.0", "0.33.0") == []
