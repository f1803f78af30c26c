# SPDX-License-Identifier: GPL-3.0-or-later
"""Make Prometheus' rule files of the alerts and goals.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import alerts, goals, host_alerts, promql
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.alerts import Alert
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import (
    LIMITS,
    MonitoringError,
    Service,
    Timing,
)

#: Where the page of an alert is; its name in small letters follows.
RUNBOOK = "https://github.com/myia/ansible-collection-vllm/blob/main/docs/alerts.md#"


def of_service(service: Service, timing: Timing, limits: dict[str, float], runbook: str = RUNBOOK) -> dict:
    """Return the rule file of a service for the release that runs.

    Raises:
        MonitoringError: a rule names a metric that its release lacks, which is a fault of this collection.
    """
    told = [*alerts.of_service(service, timing, limits), *host_alerts.of_host(service, timing, limits)]
    if service.has_api:
        told += host_alerts.of_certificate(service, timing, limits)
    groups = [_group("vllm-alerts-" + service.id, timing, [_rule(alert, service, runbook) for alert in told])]
    if service.has_api:
        recorded = goals.records(service, timing, limits)
        burnt = goals.of_service(service, timing, limits)
        groups = [
            _group("vllm-goals-" + service.id, timing, [{"record": name, "expr": expr} for name, expr in recorded]),
            *groups,
            _group("vllm-goals-alerts-" + service.id, timing, [_rule(alert, service, runbook) for alert in burnt]),
        ]
    check(groups, service.version)
    return {"groups": groups}


def of_gateway(timing: Timing, limits: dict[str, float], runbook: str = RUNBOOK) -> dict:
    """Return the rule file of the gateways."""
    rules = [_rule(alert, None, runbook) for alert in host_alerts.of_gateway(timing, limits)]
    return {"groups": [_group("vllm-gateway", timing, rules)]}


def check(groups: list[dict], version: str) -> None:
    """Raise MonitoringError when a rule names a metric that neither the release nor anything else here shows."""
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    for group in groups:
        for rule in group["rules"]:
            lacking = promql.unknown(rule["expr"], version, recorded)
            if lacking:
                raise MonitoringError(
                    "The rule %s names %s, which vLLM %s does not show. This is a fault of the collection: "
                    "please report it." % (rule.get("alert") or rule["record"], ", ".join(lacking), version)
                )


def _group(name: str, timing: Timing, rules: list[dict]) -> dict:
    return {"name": name, "interval": "%ds" % timing.scrape_s, "rules": rules}


def _rule(alert: Alert, service: Service | None, runbook: str) -> dict:
    rule: dict = {"alert": alert.name, "expr": alert.expr}
    if alert.for_s:
        rule["for"] = "%ds" % alert.for_s
    labels = {"severity": alert.severity, "scope": alert.scope}
    if service is not None:
        # of whichever series it was made: silences, inhibitions and the grouping by release go by these
        labels["host"] = service.host
        if alert.scope != "host":
            labels["service"] = service.name
            labels["model"] = service.model
            labels["release"] = service.release
    rule["labels"] = labels
    rule["annotations"] = {"summary": alert.what, "action": alert.do, "runbook_url": runbook + alert.name.lower()}
    return rule


def every_alert() -> list[Alert]:
    """Return each alert that there is, once, for the page that documents them."""
    timing, found = Timing(), {}
    for metrics in ("textfile", "dcgm"):
        service = Service(
            host="HOST", name="SERVICE", model="MODEL", version=_newest(), gpus=1, gpu_metrics=metrics,
            node_address="HOST:9100", scheme="https",
        )  # fmt: skip
        from_service = (alerts.of_service, host_alerts.of_host, host_alerts.of_certificate, goals.of_service)
        limits = dict(LIMITS)
        for part in from_service:
            for alert in part(service, timing, limits):
                found.setdefault(alert.name, alert)
    for alert in host_alerts.of_gateway(timing, dict(LIMITS)):
        found.setdefault(alert.name, alert)
    return list(found.values())


def _newest() -> str:
    return promql.vllm_options.versions()[-1]
