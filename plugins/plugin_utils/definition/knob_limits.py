# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest and the largest value of each number that is a role's own; those of the service are in ``rules``.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: A year in seconds, and a bound of ours for what is counted: far above what anybody waits for or keeps, so that a
#: mistyped number is seen.
_YEAR_S, _MANY = 366 * 86400, 10_000

#: Smallest and largest value of each integer and float; what 0 means says its description where 0 is allowed.
LIMITS: dict[str, tuple[float, float]] = {
    "vllm_awx_approval_timeout_s": (0, _YEAR_S),
    "vllm_awx_slices": (1, _MANY),
    "vllm_benchmark_keep": (1, _MANY),
    "vllm_benchmark_timeout_s": (0, _YEAR_S),
    "vllm_benchmark_warn_percent": (0, 1000),
    "vllm_bundle_keep": (0, _MANY),
    "vllm_health_connection_timeout_s": (0, _YEAR_S),
    # each look is a round trip
    "vllm_health_poll_s": (0.1, 600),
    # what is more does not travel
    "vllm_logs_lines": (1, 100_000),
    "vllm_new_service_users": (1, 1_000_000),
    "vllm_preflight_min_free_gib": (0, 1_000_000),
    "vllm_report_keep": (0, _MANY),
    "vllm_service_compare_percent": (0, 1000),
    # eight rounds of one request, and what fits into the time that the lock allows
    "vllm_service_compare_requests": (8, _MANY),
    # one is the release that serves
    "vllm_service_keep_releases": (1, _MANY),
    # failures are counted in them
    "vllm_service_keep_failed_releases": (1, _MANY),
    # looks are some seconds apart, and a lock that goes stale between two of them protects nobody
    "vllm_service_lock_silent_s": (30, _YEAR_S),
    "vllm_service_prefetch_timeout_s": (1, _YEAR_S),
    # the pauses grow to a minute each
    "vllm_service_retries": (0, 100),
    "vllm_service_same_failure_limit": (0, _MANY),
    "vllm_health_timeout_s": (0, _YEAR_S),
    # of the gateway
    "vllm_gateway_admit_timeout_s": (1, _YEAR_S),
    # 100 is the average itself, which nobody could keep to
    "vllm_gateway_balance_factor": (101, _MANY),
    "vllm_gateway_body_limit_kib": (16, 1024 * 1024),
    "vllm_gateway_check_fall": (1, 100),
    "vllm_gateway_check_interval_s": (1, 3600),
    "vllm_gateway_drain_timeout_s": (0, _YEAR_S),
    # 0 would let none wait; vllm_gateway_hold_s: 0 says that
    "vllm_gateway_hold_requests": (1, 1_000_000),
    "vllm_gateway_hold_s": (0, 86400),
    "vllm_gateway_longest_request_s": (1, _YEAR_S),
    "vllm_gateway_max_connections": (10, 1_000_000),
    "vllm_gateway_queue_s": (1, 86400),
    "vllm_gateway_requests_per_host": (1, 1_000_000),
    # longer the openai client does not wait, and fails at once (its release 3: 120; older ones: 60)
    "vllm_gateway_retry_after_s": (1, 60),
    "vllm_gateway_stall_s": (0, 86400),
    # of monitoring
    "vllm_monitoring_group_wait_s": (1, 86400),
    "vllm_monitoring_hour_s": (1, 3600),
    "vllm_monitoring_probe_s": (1, 3600),
    "vllm_monitoring_repeat_s": (1, _YEAR_S),
    "vllm_monitoring_scrape_s": (1, 3600),
    "vllm_monitoring_settle_s": (1, 86400),
    "vllm_monitoring_silence_s": (1, _YEAR_S),
    **{
        name: (1, 65535)
        for name in (
            "vllm_gateway_agent_port",
            "vllm_gateway_metrics_port",
            "vllm_gateway_port",
            "vllm_monitoring_alertmanager_port",
            "vllm_monitoring_blackbox_port",
            "vllm_monitoring_gateway_port",
            "vllm_monitoring_gpu_port",
            "vllm_monitoring_node_port",
            "vllm_monitoring_prometheus_port",
        )
    },
    **{
        "vllm_health_%s_timeout_s" % phase: (0, _YEAR_S)
        for phase in (
            "container_up", "config", "engine", "distributed", "download", "load", "compile", "memory", "graphs",
            "warmup", "ready", "serving",
        )
    },
}  # fmt: skip


def check(values: dict, problems: Problems) -> None:
    """Note in ``problems`` each number among ``values`` (in the types of the specs) that is out of its limits."""
    for name, value in values.items():
        if name not in LIMITS or value is None or problems.about(name):
            continue
        low, high = LIMITS[name]
        # not so for NaN, which is neither
        if not low <= value <= high:
            problems.add(name, "%s is out of range. Use %s to %s." % (value, low, high))
