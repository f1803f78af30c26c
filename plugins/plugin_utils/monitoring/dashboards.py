# SPDX-License-Identifier: GPL-3.0-or-later
"""Make Grafana's dashboards (JSON, for its file provisioning) for the release that runs, and check them.

Grafana's published schema does not see overlapping panels, doubled ids, unknown types and wrong targets: `faults` does.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import goals, panels, promql
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.panels import Panel
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import MonitoringError, Service, Timing

#: Grafana 10.4 and later read it; newer ones migrate it by themselves.
SCHEMA_VERSION = 39

#: Columns of Grafana's grid.
COLUMNS = 24

#: Types of panels that Grafana brings.
KINDS = ("timeseries", "stat", "table", "heatmap")

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

#: Variables of each dashboard: name and query.
_VARIABLES = {
    "host": "label_values(vllm:num_requests_running, host)",
    "service": 'label_values(vllm:num_requests_running{host=~"$host"}, service)',
    "gateway": 'label_values(up{job="vllm-gateway"}, gateway)',
}


def every(version: str, timing: Timing, limits: dict[str, float]) -> dict[str, str]:
    """Return the text of each dashboard by its name.

    Args:
        version: vLLM release; empty for the newest that is known. Panels whose metrics it lacks are left out.
        timing: how often things are asked.
        limits: limits and goals.

    Raises:
        MonitoringError: a dashboard has a fault, which is one of this collection.
    """
    version = version or vllm_options.versions()[-1]
    found = {}
    for name in panels.BOARDS:
        board = dashboard(name, version, timing)
        wrong = faults(board, version, recorded(timing, limits))
        if wrong:
            raise MonitoringError(
                "The dashboard %s: %s. This is a fault of the collection: please report it." % (name, "; ".join(wrong))
            )
        found["vllm-" + name] = json.dumps(board, indent=2) + "\n"
    return found


def recorded(timing: Timing, limits: dict[str, float]) -> set[str]:
    """Return the names that the recording rules of a service make."""
    service = Service(host="h", name="s", model="m", version=vllm_options.versions()[-1])
    return {name for name, _expr in goals.records(service, timing, limits)}


def shown(panel: Panel, version: str) -> bool:
    """Tell whether a release shows what a panel needs."""
    names = {name for expr, _legend in panel.targets for name in promql.names(expr) if name.startswith("vllm:")}
    return names <= promql.of_release(version)


def dashboard(name: str, version: str, timing: Timing) -> dict:
    """Return a dashboard as Grafana reads it."""
    title, content = panels.BOARDS[name]
    chosen = [panel for panel in content if shown(panel, version)]
    variables = ("gateway",) if name == "gateway" else ("host",) if name == "gpus" else ("host", "service")
    return {
        "uid": "myia-vllm-" + name,
        "title": title,
        "tags": ["vllm"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": _annotations(name)},
        "links": [
            {
                "type": "dashboards",
                "title": "vLLM",
                "tags": ["vllm"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_datasource_variable(), *(_variable(item) for item in variables)]},
        "panels": _laid_out(chosen, timing),
    }


def _annotations(name: str) -> list[dict]:
    """Return the deployments as vertical lines: the playbooks write when a release was accepted (release.json)."""
    if name in ("gateway", "gpus"):
        return []
    return [
        {
            "name": "Deployments",
            "datasource": _DATASOURCE,
            "enable": True,
            "hide": False,
            "iconColor": "blue",
            "expr": 'vllm_deployment_time_seconds{host=~"$host",service=~"$service"} * 1000',
            "step": "60s",
            "useValueForTime": "on",
            "titleFormat": "{{host}} {{service}}",
            "textFormat": "release {{release}}",
        }
    ]


def _datasource_variable() -> dict:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "refresh": 1,
    }


def _variable(name: str) -> dict:
    query = _VARIABLES[name]
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": "variable-" + name},
        "definition": query,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }


def _laid_out(chosen: list[Panel], timing: Timing) -> list[dict]:
    """Put the panels on the grid, from left to right, a new row where the next does not fit."""
    found, x, y, high = [], 0, 0, 0
    for number, panel in enumerate(chosen, 1):
        if x + panel.width > COLUMNS:
            x, y, high = 0, y + high, 0
        found.append(_panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": panel.height}, timing))
        x, high = x + panel.width, max(high, panel.height)
    return found


def _panel(number: int, panel: Panel, place: dict, timing: Timing) -> dict:
    instant = panel.kind in ("stat", "table")
    made = {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "interval": "%ds" % timing.scrape_s,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": expr,
                "legendFormat": legend or "__auto",
                "range": not instant,
                "instant": instant,
                "format": {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series"),
            }
            for index, (expr, legend) in enumerate(panel.targets)
        ],
    }
    if panel.what:
        made["description"] = panel.what
    return made


_OPTIONS: dict[str, dict] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value"},
    "table": {"showHeader": True},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}},
}


def faults(board: dict, version: str, recorded_names: set[str] | frozenset[str]) -> list[str]:
    """Return what is wrong with a dashboard, in words.

    Args:
        board: the dashboard.
        version: vLLM release whose names its expressions may have.
        recorded_names: names that recording rules make.
    """
    found = [] if board["panels"] else ["it has no panel"]
    seen: set[int] = set()
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        title, place = panel["title"], panel["gridPos"]
        if panel["id"] in seen:
            found.append("%s has an id that another panel has" % title)
        seen.add(panel["id"])
        if panel["type"] not in KINDS:
            found.append("%s has the unknown type %s" % (title, panel["type"]))
        if place["x"] + place["w"] > COLUMNS:
            found.append("%s is wider than the grid" % title)
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    found.append("%s lies over %s" % (title, taken[x, y]))
                taken[x, y] = title
        found += _faults_of_targets(panel, version, recorded_names)
    return list(dict.fromkeys(found))


def _faults_of_targets(panel: dict, version: str, recorded_names: set[str] | frozenset[str]) -> list[str]:
    found = []
    references = [target.get("refId") for target in panel["targets"]]
    if not references or len(set(references)) < len(references):
        found.append("%s has no target, or two with one refId" % panel["title"])
    for target in panel["targets"]:
        wrong = set(target) - {"refId", "datasource", "expr", "legendFormat", "range", "instant", "format"}
        if wrong or not target.get("expr"):
            found.append("%s has a target with %s" % (panel["title"], ", ".join(sorted(wrong)) or "no expr"))
        unknown = promql.unknown(target.get("expr", ""), version, recorded_names)
        if unknown:
            found.append("%s names %s, which vLLM %s does not show" % (panel["title"], ", ".join(unknown), version))
    return found
