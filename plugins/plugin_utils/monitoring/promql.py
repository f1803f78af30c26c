# SPDX-License-Identifier: GPL-3.0-or-later
"""Read which metrics a PromQL expression names, and tell which of them a release of vLLM does not have.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import functools
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options

#: Words of PromQL that stand where a name could.
_WORDS = frozenset(
    [
        "and",
        "or",
        "unless",
        "bool",
        "offset",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "inf",
        "nan",
        "sum",
        "min",
        "max",
        "avg",
        "count",
        "topk",
        "bottomk",
        "quantile",
        "stddev",
        "group",
        "count_values",
    ]
)

#: What follows the name of a histogram or summary on /metrics.
_SUFFIXES = ("_bucket", "_sum", "_count")

#: What vLLM's API server shows beside its own metrics: prometheus-fastapi-instrumentator and prometheus_client. Seen
#: on 0.32 with one API server; with --api-server-count above 1 the process_ ones are gone.
OF_THE_API_SERVER = frozenset(
    [
        "http_requests_total",
        "http_request_duration_seconds",
        "http_request_duration_highr_seconds",
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ]
)

#: What Prometheus itself writes about each target.
OF_PROMETHEUS = frozenset(("up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"))

#: node_exporter 1.5 and 1.9.
OF_NODES = frozenset(
    [
        "node_vmstat_oom_kill",
        "node_filesystem_avail_bytes",
        "node_filesystem_size_bytes",
        "node_textfile_mtime_seconds",
        "node_textfile_scrape_error",
        "node_load1",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes",
        "node_cpu_seconds_total",
        "node_network_receive_bytes_total",
        "node_network_transmit_bytes_total",
        "node_disk_io_time_seconds_total",
    ]
)

#: blackbox_exporter 0.23 and 0.26.
OF_PROBES = frozenset(
    [
        "probe_success",
        "probe_http_status_code",
        "probe_duration_seconds",
        "probe_ssl_earliest_cert_expiry",
        "probe_failed_due_to_regex",
    ]
)

#: HAProxy 2.6 and 3.0, its own exporter (addons/promex).
OF_GATEWAYS = frozenset(
    [
        "haproxy_server_status",
        "haproxy_backend_active_servers",
        "haproxy_backend_http_responses_total",
        "haproxy_frontend_http_responses_total",
        "haproxy_backend_current_sessions",
        "haproxy_server_current_sessions",
        "haproxy_backend_current_queue",
        "haproxy_backend_response_time_average_seconds",
        "haproxy_frontend_current_sessions",
        "haproxy_process_start_time_seconds",
        "haproxy_frontend_denied_connections_total",
        "haproxy_server_http_responses_total",
    ]
)

#: What the collection's own program writes for node_exporter's textfile collector (roles/vllm_monitoring/files).
#: Names of GPU series are those of nvidia_gpu_exporter where the meaning is the same.
OF_THE_TEXTFILE = frozenset(
    [
        "vllm_container_running",
        "vllm_container_restarts",
        "vllm_container_oom_killed",
        "vllm_container_exit_code",
        "vllm_container_release_info",
        "vllm_release_info",
        "vllm_deploying",
        "vllm_deployment_time_seconds",
        "vllm_stopped",
        "vllm_textfile_last_run_seconds",
        "nvidia_smi_gpu_info",
        "nvidia_smi_last_collect_success",
        "nvidia_smi_temperature_gpu",
        "nvidia_smi_memory_used_bytes",
        "nvidia_smi_memory_total_bytes",
        "nvidia_smi_utilization_gpu_ratio",
        "nvidia_smi_power_draw_watts",
        "nvidia_smi_ecc_errors_uncorrected_volatile_total",
        "nvidia_smi_remapped_rows_failure",
        "nvidia_smi_remapped_rows_pending",
        "nvidia_smi_gpu_recovery_action",
        "nvidia_smi_xid_last_timestamp_seconds",
    ]
)

#: dcgm-exporter, what its default-counters.csv has.
OF_DCGM = frozenset(
    [
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_FREE",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_XID_ERRORS",
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "DCGM_FI_DEV_ROW_REMAP_FAILURE",
    ]
)

#: Every name that is not vLLM's own.
OTHERS = (
    OF_PROMETHEUS
    | OF_NODES
    | OF_PROBES
    | OF_GATEWAYS
    | OF_THE_TEXTFILE
    | OF_DCGM
    | {name + suffix for name in OF_THE_API_SERVER for suffix in ("", *_SUFFIXES)}
)


def names(expression: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    text = re.sub(r'"(?:\\.|[^"\\])*"', "", expression)
    text = re.sub(r"\{[^{}]*\}", "{}", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", "", text)
    text = re.sub(r"\boffset\s+-?\w+", "", text)
    found = re.findall(r"(?<![\w:.$])([A-Za-z_:][\w:]*)(\s*\()?", text)
    return {name for name, call in found if not call and name.lower() not in _WORDS}


def base(name: str, histograms: set[str] | frozenset[str]) -> str:
    """Return the metric that a name on /metrics belongs to: a histogram's for its buckets, sum and count."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name[: -len(suffix)] in histograms:
            return name[: -len(suffix)]
    return name


@functools.cache
def of_release(version: str) -> frozenset[str]:
    """Return every name that a release of vLLM shows on /metrics, those of histograms with their suffixes."""
    found = set()
    for name, kind in vllm_options.metric_names(version).items():
        found |= {name + suffix for suffix in _SUFFIXES} if kind == "histogram" else {name}
    return frozenset(found)


def unknown(expression: str, version: str, recorded: set[str] | frozenset[str] = frozenset()) -> list[str]:
    """Return the names in an expression that a release does not show.

    Args:
        expression: PromQL.
        version: vLLM release.
        recorded: names that our own recording rules make.
    """
    return sorted(names(expression) - of_release(version) - OTHERS - recorded)
