# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the names of Prometheus metrics out of vLLM's source text, without running any of it."""

from __future__ import annotations

import ast
import re

#: Classes of prometheus_client, as the names of the calls that make a metric contain them.
METRIC_KINDS = ("counter", "gauge", "histogram")

METRIC = re.compile(r"^vllm:[a-z][a-z0-9_]*$")


def read_metrics(texts: dict[str, str]) -> dict[str, dict]:
    """Return the Prometheus metrics that vLLM defines, by name.

    Each has "kind" (counter, gauge, histogram) where the source shows it, and "hidden" when only
    --show-hidden-metrics-for-version shows it.

    Args:
        texts: source texts by path; only those that mention "vllm:" matter.
    """
    found: dict[str, dict] = {}
    for _path, text in sorted(texts.items()):
        if '"vllm:' in text or "'vllm:" in text:
            _metrics_in(ast.parse(text), False, "", found)
    return {name: {key: value for key, value in facts.items() if value} for name, facts in found.items()}


def _metrics_in(node: ast.AST, hidden: bool, kind: str, found: dict[str, dict]) -> None:
    if isinstance(node, ast.If) and "show_hidden_metrics" in ast.unparse(node.test):
        for child in node.body:
            _metrics_in(child, True, kind, found)
        for child in node.orelse:
            _metrics_in(child, hidden, kind, found)
        return
    if isinstance(node, ast.keyword) and node.arg != "name":
        return  # a metric's documentation may name another one
    if isinstance(node, ast.Call):
        kind = next((word for word in METRIC_KINDS if word in ast.unparse(node.func).lower()), kind)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and METRIC.match(node.value):
        facts = found.setdefault(node.value, {"kind": kind, "hidden": hidden})
        facts["kind"] = facts["kind"] or kind
        facts["hidden"] = facts["hidden"] and hidden
    for child in ast.iter_child_nodes(node):
        _metrics_in(child, hidden, kind, found)
