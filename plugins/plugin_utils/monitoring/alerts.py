# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts about a service, its container and its latency, as data for the release that runs.

What each of them was seen to do is in docs/monitoring.md. ``do`` is what whoever is called does first.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import promql
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import Service, Timing


@dataclasses.dataclass(frozen=True)
class Alert:
    """One alert: ``severity`` is ``page`` (somebody is called) or ``ticket`` (working hours).

    ``for_s`` is how long the expression has to be true. ``what`` says what was found, and ``do`` what to do; both may
    use ``$labels`` and ``$value``. ``scope`` is what it is about, and the labels that it has with it.
    """

    name: str
    severity: str
    expr: str
    for_s: int
    what: str
    do: str
    scope: str = "service"


def of_service(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    """Return the alerts that make sense for a service, without those whose metrics its release lacks."""
    found = [alert for part in _parts(service) for alert in part(service, timing, limits)]
    return [alert for alert in found if not _lacking(alert, service.version)]


def left_out(service: Service, timing: Timing, limits: dict[str, float]) -> dict[str, list[str]]:
    """Return by alert which metrics the release of a service lacks."""
    made = (alert for part in _parts(service) for alert in part(service, timing, limits))
    found = {alert.name: _lacking(alert, service.version) for alert in made}
    return {name: lacking for name, lacking in found.items() if lacking}


def _parts(service: Service) -> tuple[Callable[[Service, Timing, dict[str, float]], list[Alert]], ...]:
    # what is asked of the API is asked where there is one
    return (_answers, _container, _load, _latency, _errors) if service.has_api else (_container,)


def _lacking(alert: Alert, version: str) -> list[str]:
    return [name for name in promql.unknown(alert.expr, version, OWN) if name.startswith("vllm:")]


#: What the recording rules of goals.py make, of which the alerts here use one.
OWN = frozenset(("service:vllm_answers_nothing",))


def _answers(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    one = 'job="%s"'.__mod__
    select = service.select
    # nobody is told of a service that somebody stopped on purpose; who tells so is the timer of its host
    wanted = " unless on (host, service) vllm_stopped%s == 1" % select() if service.node_address else ""
    found = [
        Alert(
            "VllmDown", "page",
            "(up%s == 0 or absent(up%s))%s" % (select(one("vllm")), select(one("vllm")), wanted),
            4 * timing.scrape_s,
            "vLLM answers nothing on {{ $labels.host }}",
            "Look whether the container runs (docker ps) and what it died of: diagnose_medium.yml reads its log.",
        ),
        Alert(
            "VllmHealthFailing", "page",
            "probe_success%s == 0%s" % (select(one("vllm-health")), wanted),
            # longer than VllmDown's, which then inhibits it
            4 * timing.probe_s,
            "/health does not say 200 on {{ $labels.host }}",
            "The engine behind the API has ended, or the service still starts. diagnose_medium.yml reads its log.",
        ),
        Alert(
            "VllmNotAsked", "ticket",
            "up%s == 0 or absent(up%s)" % (select(one("vllm-health")), select(one("vllm-health"))),
            8 * timing.probe_s,
            "the questions to the service on {{ $labels.host }} are not asked, so nobody would see that it hangs",
            "The monitoring host has too much to do, or blackbox_exporter does not run: systemctl status "
            "prometheus-blackbox-exporter there.",
        ),
        Alert(
            "VllmKeyRejected", "page",
            "probe_http_status_code%s == 401" % select(one("vllm-request")),
            2 * timing.probe_s,
            "the service on {{ $labels.host }} refuses the key that monitoring has",
            "Someone changed vllm_api_key: run deploy_monitoring.yml, and see whether clients have the new key too.",
        ),
    ]  # fmt: skip
    if service.generates:
        found += [
            Alert(
                "VllmSyntheticFailing", "page",
                # true for a stopped engine, not for an overloaded one: that one fails a request too, but writes tokens
                "service:vllm_answers_nothing%s == 1" % select(),
                2 * timing.probe_s,
                "/health says 200 on {{ $labels.host }}, but a request of one token fails and no token is written",
                "The engine hangs. Restart the container (docker restart), and keep its log first.",
            ),
            Alert(
                "VllmStalled", "page",
                "sum without (engine) (max_over_time(vllm:num_requests_running%s[%s])) > 0 and "
                "sum without (engine) (rate(vllm:generation_tokens_total%s[%s]) + "
                "rate(vllm:prompt_tokens_total%s[%s])) == 0"
                % (select(), timing.window, select(), timing.window, select(), timing.window),
                16 * timing.scrape_s,
                "requests run on {{ $labels.host }}, and no token is read or written",
                "The engine hangs, or a prompt takes minutes. See VllmSyntheticFailing; nvidia-smi shows whether "
                "GPUs work.",
            ),
        ]  # fmt: skip
    return [alert for alert in found if service.kind != "transcription" or alert.name != "VllmKeyRejected"]


def _container(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    if not service.node_address:
        return []
    restarts = "increase(vllm_container_restarts%s[%s])" % (service.select(), timing.quarter)
    oom = "vllm_container_oom_killed%s == 1" % service.select()
    return [
        Alert(
            "VllmCrashed", "ticket", "%s > 0.5" % restarts, 0,
            "the container of {{ $labels.service }} on {{ $labels.host }} ended and was started again",
            "Find out why: diagnose_medium.yml reads its log. vLLM ends with exit code 0 when its engine dies.",
        ),
        Alert(
            "VllmRestartLoop", "page", "%s > %s" % (restarts, limits["restarts"]), 0,
            "the container of {{ $labels.service }} on {{ $labels.host }} starts again and again",
            "diagnose_medium.yml names the cause. rollback_medium.yml brings the last good release back.",
        ),
        Alert(
            "VllmOomKilled", "ticket",
            # the engine keeps saying it until the container is made anew
            "%s unless vllm_container_oom_killed%s offset %s == 1" % (oom, service.select(), timing.hours(1)), 0,
            "the kernel ended a process of {{ $labels.service }} on {{ $labels.host }} for want of memory",
            "Raise vllm_memory_limit, or lower what the service holds in memory (docs/capacity.md).",
        ),
        Alert(
            "VllmReleaseDrift", "ticket",
            "vllm_container_release_info%s unless on (host, service, release) vllm_release_info%s"
            % (service.select(), service.select()),
            20 * timing.scrape_s,
            "the container of {{ $labels.service }} on {{ $labels.host }} is of release {{ $labels.release }}, "
            "and another one is current",
            "Somebody changed the container by hand, or a run was interrupted. deploy_medium.yml puts it right.",
        ),
    ]  # fmt: skip


def _load(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    select, window = service.select(), timing.window
    return [
        Alert(
            "VllmQueueBacklog", "ticket",
            "avg_over_time(vllm:num_requests_waiting%s[%s]) > %s" % (select, window, limits["queue_requests"]),
            8 * timing.scrape_s,
            "{{ $value | humanize }} requests wait on {{ $labels.host }}",
            "More requests come than the service can do: raise vllm_max_num_seqs if the KV cache has room, or "
            "add a host.",
        ),
        Alert(
            "VllmKvPressure", "ticket",
            # the gauge jumps: of the plain one an alert would come and go
            "max_over_time(vllm:kv_cache_usage_perc%s[%s]) > %s" % (select, window, limits["kv_cache_ratio"]),
            8 * timing.scrape_s,
            "the KV cache of {{ $labels.host }} is {{ $value | humanizePercentage }} full",
            "Requests wait for room. Lower vllm_max_model_len or vllm_max_num_seqs, or give it more memory "
            "(docs/capacity.md).",
        ),
        Alert(
            "VllmPreemptions", "ticket",
            "rate(vllm:num_preemptions_total%s[%s]) > %s" % (select, window, limits["preemptions_per_s"]),
            8 * timing.scrape_s,
            "requests on {{ $labels.host }} are interrupted for want of KV cache",
            "They are computed again later, which costs time. As VllmKvPressure.",
        ),
        Alert(
            "VllmRejecting", "ticket",
            "sum without (reason) (rate(vllm:admission_rejections_total%s[%s])) > 0" % (select, window),
            4 * timing.scrape_s,
            "{{ $labels.host }} refuses requests because too many wait",
            "That is what max-num-queued-reqs is for. As VllmQueueBacklog.",
        ),
    ]  # fmt: skip


def _latency(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    if not service.generates:
        return []
    found = []
    for name, metric, limit, what in (
        ("VllmTtftSlow", "vllm:time_to_first_token_seconds", limits["ttft_p95_s"], "the first token"),
        ("VllmItlSlow", "vllm:inter_token_latency_seconds", limits["itl_p95_s"], "the next token"),
    ):
        found.append(
            Alert(
                name, "ticket",
                "histogram_quantile(0.95, sum by (le, host, service, model, release) (rate(%s_bucket%s[%s]))) > %s"
                % (metric, service.select(), timing.window, limit),
                20 * timing.scrape_s,
                "one of twenty requests on {{ $labels.host }} waits {{ $value | humanizeDuration }} for %s" % what,
                "See the dashboard of latency: a queue (VllmQueueBacklog), long prompts, or a slower release "
                "(benchmark_medium.yml).",
            )
        )  # fmt: skip
    return found


def grown(metric: str, window: str) -> str:
    """Return how much a counter has grown, with the first events of a series that did not exist before.

    A counter with labels appears with its first event: ``increase`` of it is 0 for ever after. It ends after a window.
    """
    return "(%s unless %s offset %s or increase(%s[%s]))" % (metric, metric, window, metric, window)


def _errors(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    window = timing.window
    labels = "host, service, model, release"
    bad = grown("http_requests_total%s" % service.select('status=~"5.."'), window)
    every = grown("http_requests_total%s" % service.select(), window)
    return [
        Alert(
            "Vllm5xx", "ticket",
            "sum by (%s) (%s) / sum by (%s) (%s) > %s" % (labels, bad, labels, every, limits["errors_ratio"]),
            4 * timing.scrape_s,
            "{{ $value | humanizePercentage }} of the requests on {{ $labels.host }} are answered by 5xx",
            "The log names the cause. 503 of a service with max-num-queued-reqs is overload: VllmRejecting.",
        ),
    ]  # fmt: skip
