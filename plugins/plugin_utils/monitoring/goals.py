# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording rules and alerts of the goals: availability, and how soon the first token comes.

A goal's error budget is burnt by what is missed. An alert looks at a long window, which shows that it matters, and at a
short one, which shows that it still goes on (Google's SRE Workbook, chapter 5: "Multiwindow, Multi-Burn-Rate Alerts",
whose windows and factors these are).

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.alerts import Alert
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import Service, Timing, bucket

#: (long window, short window, in hours; factor of the burn rate; severity).
BURNS = ((1, 1 / 12, 14.4, "page"), (6, 0.5, 6, "page"), (72, 6, 1, "ticket"))

#: Windows that are recorded, in hours, with their names.
WINDOWS = {1 / 12: "5m", 0.5: "30m", 1: "1h", 6: "6h", 72: "3d"}

BY = "host, service"


def records(service: Service, timing: Timing, limits: dict[str, float]) -> list[tuple[str, str]]:
    """Return the recording rules of a service as (name, expression)."""
    health = "min by (%s) (probe_success%s)" % (BY, service.select('job="vllm-health"'))
    found = []
    available = health
    if service.generates:
        request = "min by (%s) (probe_success%s)" % (BY, service.select('job="vllm-request"'))
        tokens = "sum by (%s) (rate(vllm:generation_tokens_total%s[%s]))" % (BY, service.select(), timing.window)
        found.append(
            ("service:vllm_answers_nothing", "(%s == bool 0) * %s * (%s == bool 0)" % (request, health, tokens))
        )
        available = "%s * on (%s) (1 - service:vllm_answers_nothing%s) or %s" % (health, BY, service.select(), health)
    if service.node_address:
        # what a deployment takes is planned, and so is a stop on purpose: neither burns anything
        planned = "max by (%s) (vllm_deploying%s == 1 or vllm_stopped%s == 1)" % (
            BY, service.select(), service.select(),
        )  # fmt: skip
        available = "clamp_max((%s) + on (%s) %s, 1) or %s" % (available, BY, planned, available)
    found.append(("service:vllm_available", available))
    for hours, name in WINDOWS.items():
        window = timing.hours(hours)
        found.append(
            ("service:vllm_available:ratio_%s" % name, "avg_over_time(service:vllm_available%s[%s])"
             % (service.select(), window))
        )  # fmt: skip
    if service.generates:
        metric = "vllm:time_to_first_token_seconds"
        le = 'le="%s"' % bucket(limits["slo_ttft_s"])
        for hours, name in WINDOWS.items():
            window = timing.hours(hours)
            found.append(
                (
                    "service:vllm_ttft_in_time:ratio_%s" % name,
                    "sum by (%s) (rate(%s_bucket%s[%s])) / (sum by (%s) (rate(%s_count%s[%s])) > 0)"
                    % (BY, metric, service.select(le), window, BY, metric, service.select(), window),
                )
            )
    return found


def of_service(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    """Return the alerts that a goal's budget is burnt."""
    goals = [("Availability", "vllm_available", limits["slo_availability_ratio"], "answers")]
    if service.generates:
        goals.append(("Ttft", "vllm_ttft_in_time", limits["slo_ttft_ratio"], "writes its first token in time"))
    found = []
    for goal, metric, ratio, what in goals:
        for long, short, factor, severity in BURNS:
            missed = factor * (1 - ratio)
            if missed >= 1:
                continue  # no share of missed ones can be as large
            pair = " and ".join(
                "1 - service:%s:ratio_%s%s > %.6g" % (metric, WINDOWS[hours], service.select(), missed)
                for hours in (long, short)
            )
            # a slow service still serves: nobody is called for it
            severity = "ticket" if goal == "Ttft" else severity
            found.append(
                Alert(
                    "Vllm%sBurn%s" % (goal, WINDOWS[long]), severity, pair, 0,
                    "{{ $labels.service }} on {{ $labels.host }} misses its goal: it %s in less than %.5g %% of "
                    "the cases, "
                    "and its error budget goes %g times too fast" % (what, 100 * ratio, factor),
                    "The other alerts of this service say why. Without any, see the dashboards of the last %s."
                    % WINDOWS[long],
                )
            )  # fmt: skip
    return found
