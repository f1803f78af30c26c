# SPDX-License-Identifier: GPL-3.0-or-later
"""What each dashboard shows, as data: titles, units and PromQL.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses

#: Selector of the series of what is chosen at the top of a dashboard.
S = '{host=~"$host",service=~"$service"}'
H = '{host=~"$host"}'
G = '{job="vllm-gateway",gateway=~"$gateway"%s}'

#: Grafana makes of it four scrapes at least.
W = "[$__rate_interval]"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel: ``targets`` are (expression, legend). ``feature`` says what must be on for it to have data."""

    title: str
    targets: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    what: str = ""
    feature: str = ""


def selected(more: str) -> str:
    """Return the selector with further matchers."""
    return S[:-1] + "," + more + "}"


def quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """Return the targets of the 50th, 95th and 99th percentile of a histogram."""
    return tuple(
        ("histogram_quantile(%s, sum by (le) (rate(%s_bucket%s%s)))" % (share, metric, S, W), "p%g" % (100 * share))
        for share in (0.5, 0.95, 0.99)
    )


def rate(metric: str, by: str = "host, service", selector: str = S) -> str:
    """Return how much a counter grows a second."""
    return "sum by (%s) (rate(%s%s%s))" % (by, metric, selector, W)


def ratio(part: str, whole: str) -> str:
    """Return a share; nothing rather than NaN where there is no traffic."""
    return "%s / (%s > 0)" % (part, whole)


BOTH = "{{host}} {{service}}"

_BAD = selected('status=~"5.."')

OVERVIEW = (
    Panel("Services that answer", (("sum(service:vllm_available%s)" % S, "answer"),), kind="stat", width=4, height=4),
    Panel(
        "Alerts",
        (("sum(ALERTS%s) or vector(0)" % selected('alertstate="firing"'), "firing"),),
        kind="stat",
        width=4,
        height=4,
    ),
    Panel("Availability, 1 h", (("avg(service:vllm_available:ratio_1h%s)" % S, ""),), "percentunit", "stat", 4, 4),
    Panel(
        "First token in time, 1 h",
        (("avg(service:vllm_ttft_in_time:ratio_1h%s)" % S, ""),),
        "percentunit",
        "stat",
        4,
        4,
    ),
    Panel("Requests a second", (("sum(rate(vllm:request_success_total%s%s))" % (S, W), ""),), "reqps", "stat", 4, 4),
    Panel("Tokens a second", (("sum(rate(vllm:generation_tokens_total%s%s))" % (S, W), ""),), "short", "stat", 4, 4),
    Panel(
        "Requests",
        (
            ("sum by (host, service) (vllm:num_requests_running%s)" % S, BOTH + " running"),
            ("sum by (host, service) (vllm:num_requests_waiting%s)" % S, BOTH + " waiting"),
        ),
    ),
    Panel(
        "Tokens a second by service",
        ((rate("vllm:prompt_tokens_total"), BOTH + " read"), (rate("vllm:generation_tokens_total"), BOTH + " written")),
    ),
    Panel(
        "Requests that ended, by reason",
        ((rate("vllm:request_success_total", "finished_reason"), "{{finished_reason}}"),),
        "reqps",
    ),
    Panel("Time to the first token", quantiles("vllm:time_to_first_token_seconds"), "s"),
    Panel(
        "Answers by status",
        ((rate("http_requests_total", "status"), "{{status}}"),),
        "reqps",
        what="A wrong key is in no number of vLLM's: it is refused before requests are counted.",
    ),
    Panel("Share of 5xx", (("sum(rate(http_requests_total%s%s)) or vector(0)" % (_BAD, W), "5xx a second"),), "reqps"),
    Panel("KV cache in use", (("max by (host, service) (vllm:kv_cache_usage_perc%s)" % S, BOTH),), "percentunit"),
    Panel(
        "Answers to the request of one token",
        (
            ("probe_success%s" % selected('job="vllm-request"'), BOTH),
            ("probe_success%s" % selected('job="vllm-health"'), BOTH + " /health"),
        ),
        "bool",
    ),
    Panel(
        "Time of the request of one token", (("probe_duration_seconds%s" % selected('job="vllm-request"'), BOTH),), "s"
    ),
)

LATENCY = (
    *tuple(
        Panel(title, quantiles(metric), "s", width=12, what=what)
        for title, metric, what in (
            (
                "Time to the first token",
                "vllm:time_to_first_token_seconds",
                "From the request's arrival: queue and prefill.",
            ),
            ("Time between tokens", "vllm:inter_token_latency_seconds", ""),
            ("Whole request", "vllm:e2e_request_latency_seconds", ""),
            ("Time per token of a request", "vllm:request_time_per_output_token_seconds", ""),
            ("In the queue", "vllm:request_queue_time_seconds", "The first bucket is 0.3 s."),
            ("Prefill", "vllm:request_prefill_time_seconds", ""),
            ("Decode", "vllm:request_decode_time_seconds", ""),
            ("Inference", "vllm:request_inference_time_seconds", ""),
        )
    ),
    Panel(
        "First tokens by how long they took",
        (("sum by (le) (increase(vllm:time_to_first_token_seconds_bucket%s%s))" % (S, W), "{{le}}"),),
        "short",
        "heatmap",
        24,
    ),
)

SCHEDULING = (
    Panel("KV cache in use", (("max by (host, service) (vllm:kv_cache_usage_perc%s)" % S, BOTH),), "percentunit"),
    Panel("Requests that run", (("sum by (host, service) (vllm:num_requests_running%s)" % S, BOTH),)),
    Panel("Requests that wait", (("sum by (host, service) (vllm:num_requests_waiting%s)" % S, BOTH),)),
    Panel(
        "Requests that wait, by reason",
        (("sum by (reason) (vllm:num_requests_waiting_by_reason%s)" % S, "{{reason}}"),),
    ),
    Panel("Requests that were interrupted, a second", ((rate("vllm:num_preemptions_total"), BOTH),)),
    Panel(
        "Requests that were refused, a second",
        ((rate("vllm:admission_rejections_total", "reason"), "{{reason}}"),),
        feature="max-num-queued-reqs",
    ),
    Panel(
        "Prefixes found in the cache",
        ((ratio(rate("vllm:prefix_cache_hits_total"), rate("vllm:prefix_cache_queries_total")), BOTH),),
        "percentunit",
        feature="traffic",
    ),
    Panel("Tokens in one step", quantiles("vllm:iteration_tokens_total")),
    Panel("Tokens of a prompt", quantiles("vllm:request_prompt_tokens")),
    Panel("Tokens of an answer", quantiles("vllm:request_generation_tokens")),
    Panel("Prompt tokens by source", ((rate("vllm:prompt_tokens_by_source_total", "source"), "{{source}}"),)),
    Panel(
        "Size of the KV cache",
        (
            (
                "max by (host, service, num_gpu_blocks, block_size) (vllm:cache_config_info%s)" % S,
                BOTH + ": {{num_gpu_blocks}} blocks of {{block_size}}",
            ),
        ),
        kind="table",
    ),
)


def _either(own: str, dcgm: str, factor: str = "") -> str:
    return "%s%s or %s%s%s" % (own, H, dcgm, H, factor)


GPUS = (
    Panel(
        "Temperature",
        ((_either("nvidia_smi_temperature_gpu", "DCGM_FI_DEV_GPU_TEMP"), "{{host}} {{uuid}}"),),
        "celsius",
        feature="gpu",
    ),
    Panel(
        "Use",
        ((_either("nvidia_smi_utilization_gpu_ratio", "DCGM_FI_DEV_GPU_UTIL", " / 100"), "{{host}} {{uuid}}"),),
        "percentunit",
        feature="gpu",
    ),
    Panel(
        "Memory",
        ((_either("nvidia_smi_memory_used_bytes", "DCGM_FI_DEV_FB_USED", " * 1048576"), "{{host}} {{uuid}}"),),
        "bytes",
        feature="gpu",
    ),
    Panel(
        "Power",
        ((_either("nvidia_smi_power_draw_watts", "DCGM_FI_DEV_POWER_USAGE"), "{{host}} {{uuid}}"),),
        "watt",
        feature="gpu",
    ),
    Panel(
        "Memory errors that were not corrected",
        (
            (
                _either("nvidia_smi_ecc_errors_uncorrected_volatile_total", "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"),
                "{{host}} {{uuid}}",
            ),
        ),
        feature="gpu",
    ),
    Panel(
        "Rows that cannot be remapped",
        ((_either("nvidia_smi_remapped_rows_failure", "DCGM_FI_DEV_ROW_REMAP_FAILURE"), "{{host}} {{uuid}}"),),
        feature="gpu",
    ),
    Panel(
        "Seconds since the last Xid",
        (("time() - nvidia_smi_xid_last_timestamp_seconds%s" % H, "{{host}} Xid {{xid}}"),),
        "s",
        feature="gpu fault",
    ),
    Panel(
        "What the driver wants done", (("nvidia_smi_gpu_recovery_action%s" % H, "{{host}} {{uuid}}"),), feature="gpu"
    ),
    Panel(
        "GPUs",
        (("count by (host) (nvidia_smi_gpu_info%s) or count by (host) (DCGM_FI_DEV_GPU_TEMP%s)" % (H, H), "{{host}}"),),
        kind="stat",
        feature="gpu",
    ),
)

GATEWAY = (
    Panel(
        "Answers by code",
        (
            (
                "sum by (proxy, code) (rate(haproxy_frontend_http_responses_total%s%s))" % (G % "", W),
                "{{proxy}} {{code}}",
            ),
        ),
        "reqps",
        feature="gateway",
    ),
    Panel(
        "Refused requests (4xx)",
        (("sum by (proxy) (rate(haproxy_frontend_http_responses_total%s%s))" % (G % ',code="4xx"', W), "{{proxy}}"),),
        "reqps",
        feature="gateway",
        what="Wrong and expired keys are among them; the gateway's log tells which key and why.",
    ),
    Panel(
        "Servers that take requests",
        (("haproxy_backend_active_servers%s" % (G % ',proxy=~"vllm_.*"'), "{{proxy}}"),),
        feature="gateway",
    ),
    Panel("Sessions", (("haproxy_frontend_current_sessions%s" % (G % ""), "{{proxy}}"),), feature="gateway"),
    Panel(
        "Sessions by server",
        (("haproxy_server_current_sessions%s" % (G % ',proxy=~"vllm_.*"'), "{{proxy}} {{server}}"),),
        feature="gateway",
    ),
    Panel(
        "Requests that wait",
        (("haproxy_backend_current_queue%s" % (G % ',proxy=~"vllm_.*"'), "{{proxy}}"),),
        feature="gateway",
    ),
    Panel(
        "Answers by server",
        (
            (
                "sum by (server, code) (rate(haproxy_server_http_responses_total%s%s))" % (G % ',proxy=~"vllm_.*"', W),
                "{{server}} {{code}}",
            ),
        ),
        "reqps",
        feature="gateway",
    ),
    Panel(
        "State of the servers",
        (("haproxy_server_status%s == 1" % (G % ',proxy=~"vllm_.*"'), "{{proxy}} {{server}} {{state}}"),),
        kind="table",
        feature="gateway",
    ),
)

FLEET = (
    Panel(
        "Releases that run", (("vllm_release_info%s" % S, "{{host}} {{service}} {{release}}"),), kind="table", width=24
    ),
    Panel("Answers", (("service:vllm_available%s" % S, BOTH),), "bool"),
    Panel("Requests", (("sum by (host, service) (vllm:num_requests_running%s)" % S, BOTH),)),
    Panel("Tokens a second", ((rate("vllm:generation_tokens_total"), BOTH),)),
    Panel("Restarts of the container", (("vllm_container_restarts%s" % S, BOTH + " {{id}}"),)),
    Panel("Memory that is free", (("node_memory_MemAvailable_bytes%s" % H, "{{host}}"),), "bytes"),
    Panel(
        "Disks that are free",
        (
            (
                "node_filesystem_avail_bytes%s / node_filesystem_size_bytes%s"
                % ((H[:-1] + ',fstype!~"tmpfs|overlay"}',) * 2),
                "{{host}} {{mountpoint}}",
            ),
        ),
        "percentunit",
    ),
    Panel("Load", (("node_load1%s" % H, "{{host}}"),)),
    Panel(
        "Processor",
        (("1 - avg by (host) (rate(node_cpu_seconds_total%s%s))" % (H[:-1] + ',mode="idle"}', W), "{{host}}"),),
        "percentunit",
    ),
    Panel(
        "Processes that the kernel ended for want of memory",
        (("increase(node_vmstat_oom_kill%s[1h])" % H, "{{host}}"),),
    ),
    Panel("Days since the last deployment", (("(time() - vllm_deployment_time_seconds%s) / 86400" % S, BOTH),), "d"),
)

BOARDS = {
    "overview": ("vLLM: overview", OVERVIEW),
    "latency": ("vLLM: latency", LATENCY),
    "scheduling": ("vLLM: KV cache and scheduling", SCHEDULING),
    "gpus": ("vLLM: GPUs", GPUS),
    "gateway": ("vLLM: gateway and keys", GATEWAY),
    "fleet": ("vLLM: fleet", FLEET),
}
