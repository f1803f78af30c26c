# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards of every supported release, and the faults that their own check sees."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import dashboards, promql
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import LIMITS, Timing


@pytest.mark.parametrize("version", vllm_options.versions())
def test_every_release(version) -> None:
    """No panel names what the release does not show, and none is lost that it could show."""
    made = {name: json.loads(text) for name, text in dashboards.every(version, Timing(), LIMITS).items()}
    assert len(made) == 6
    for board in made.values():
        for panel in board["panels"]:
            for target in panel["targets"]:
                vllm = {name for name in promql.names(target["expr"]) if name.startswith("vllm:")}
                assert vllm <= promql.of_release(version)
    titles = {panel["title"] for panel in made["vllm-scheduling"]["panels"]}
    assert ("Requests that were refused, a second" in titles) is (version in ("0.32.0", "0.33.0"))


def spoilt(what: str) -> dict:
    """A dashboard with one fault."""
    board = copy.deepcopy(dashboards.dashboard("latency", "0.32.0", Timing()))
    first, second = board["panels"][:2]
    if what == "lies over":
        second["gridPos"]["x"] = first["gridPos"]["x"]
    elif what == "an id that another":
        second["id"] = first["id"]
    elif what == "unknown type":
        first["type"] = "graf"
    elif what == "wider than the grid":
        second["gridPos"]["w"] = 20
    elif what == "does not show":
        first["targets"][0]["expr"] = "vllm:gpu_cache_usage_perc"
    elif what == "two with one refId":
        first["targets"][1]["refId"] = first["targets"][0]["refId"]
    elif what == "a target with exprr":
        first["targets"][0]["exprr"] = "x"
    return board


@pytest.mark.parametrize(
    "what",
    ["lies over", "an id that another", "unknown type", "wider than the grid", "does not show", "two with one refId",
     "a target with exprr"],
)  # fmt: skip
def test_faults_are_seen(what) -> None:
    """Each of them, in words; a sound one has none."""
    recorded = dashboards.recorded(Timing(), LIMITS)
    assert any(what in text for text in dashboards.faults(spoilt(what), "0.32.0", recorded))
    assert dashboards.faults(spoilt("nothing"), "0.32.0", recorded) == []


def test_names() -> None:
    """Functions, labels, strings and words of PromQL are no names of metrics."""
    text = 'sum by (le, host) (rate(vllm:a_bucket{x="y{",z=~"5.."}[5m] offset 5m)) > bool 0 '
    text += 'and on (host) b or absent(c{d="e"})'
    assert promql.names(text) == {"vllm:a_bucket", "b", "c"}
