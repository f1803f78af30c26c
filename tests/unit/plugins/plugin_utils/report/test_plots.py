# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots of a benchmark."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from report_samples import benchmarked

from ansible_collections.myia.vllm.plugins.plugin_utils.report import plots as report_plots
from ansible_collections.myia.vllm.plugins.plugin_utils.report import sections as report_sections


@pytest.fixture
def part():
    """The part of a document, for a profile."""
    return lambda profile: report_sections.benchmark(
        {"run": "benchmark", "check_mode": False}, {"vllm_benchmark_result": benchmarked(profile)}
    )


def test_sweep(part) -> None:
    """Lines over what was varied."""
    plots = report_plots.of_benchmark(part("sweep"))
    assert [plot["title"] for plot in plots] == [
        "Time to first token, ms", "Time per output token, ms", "Whole request, ms", "Output tokens per second",
    ]  # fmt: skip
    root = ET.fromstring(plots[0]["svg"])
    assert root.get("role") == "img"
    name, words = root[0], root[1]
    assert (name.tag, words.tag) == ("title", "desc")
    assert root.get("aria-labelledby") == "%s %s" % (name.get("id"), words.get("id"))
    assert "p50: 1 138, 2 202" in words.text
    assert "requests at a time" in "".join(root.itertext())


def test_one_run(part) -> None:
    """Bars of one run."""
    plots = report_plots.of_benchmark(part("load"))
    assert [plot["title"] for plot in plots][2:] == ["Whole request, ms"]
    assert 'class="bar' in plots[0]["svg"]
    assert "4 at a time" in plots[0]["svg"]


@pytest.mark.parametrize("profile", ["load", "sweep"])
def test_clean(profile, part) -> None:
    """No script, no link, no namespace, no address; a value is a tooltip."""
    for plot in report_plots.of_benchmark(part(profile)):
        root = ET.fromstring(plot["svg"])
        for node in root.iter():
            assert node.tag not in ("script", "a", "image", "use")
            assert ":" not in node.tag + "".join(node.attrib)
            assert "href" not in node.attrib
        assert "http" not in plot["svg"]
        # its name, and one for each value
        assert len([node for node in root.iter("title")]) >= 2
        assert len([node for node in root.iter("desc")]) == 1


def test_a_run_that_failed_is_left_out(part) -> None:
    """It has no figures."""
    bench = part("load")
    bench["runs"][0]["ok"] = False
    assert report_plots.of_benchmark(bench) == []


def test_a_figure_that_is_missing(part) -> None:
    """No plot of nothing."""
    bench = part("sweep")
    for run in bench["runs"]:
        run["tpot_ms"] = dict.fromkeys(("mean", "p50", "p90", "p99"))
    assert len(report_plots.of_benchmark(bench)) == 3
    bench["runs"][0]["ttft_ms"]["p99"] = None
    assert "1 none" in report_plots.of_benchmark(bench)[0]["svg"]


def test_names_are_texts(part) -> None:
    """A name with signs of XML."""
    bench = part("load")
    bench["runs"][0]["name"] = "<b>&\"'</b>"
    assert "<b>" not in "".join(plot["svg"] for plot in report_plots.of_benchmark(bench))


@pytest.mark.parametrize(
    ("key", "values", "axis"),
    [
        ("max_concurrency", [1, 2, 4], "requests at a time"),
        ("request_rate", [0.5, 1.0, 2.0], "requests per second"),
        ("max_concurrency", [4, 2, 1], None),
        ("max_concurrency", [1, 1, 2], None),
        ("max_concurrency", [1, 2], None),
        ("request_rate", [1.0, 2.0, None], None),
    ],
)
def test_load_of(key, values, axis) -> None:
    """Three growing values make a sweep."""
    runs = [{"request_rate": None, "max_concurrency": None, key: value} for value in values]
    found = report_plots.load_of(runs)
    assert (found[0] if found else None) == axis
