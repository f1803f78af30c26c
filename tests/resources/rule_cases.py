# SPDX-License-Identifier: GPL-3.0-or-later
"""For each alert series that make it fire and series that must not, as promtool writes them, at a sample each 15 s."""

from __future__ import annotations

L = 'host="h1",service="medium",model="m",release="r1",instance="h1:5002"'
C = 'host="h1",service="medium",id="abc",instance="h1:9100",job="vllm-node"'
N = 'host="h1",instance="h1:9100",job="vllm-node"'
P = 'probe_success{job="vllm-%s",' + L + "}"
UP = {'up{job="vllm",%s}' % L: "1x240", 'up{job="vllm-node",host="h1",instance="h1:9100"}': "1x240"}
HEALTHY = {P % "health": "1x240", P % "request": "1x240"}
TOKENS = {
    'vllm:generation_tokens_total{engine="0",%s}' % L: "0+50x240",
    'vllm:prompt_tokens_total{engine="0",%s}' % L: "0+50x240",
}
STILL = {name: "500x240" for name in TOKENS}
GPU = 'uuid="GPU-1",' + N


def pattern(bad: int, of: int, number: int = 240) -> str:
    """Samples of which ``bad`` of each ``of`` are 0."""
    return " ".join("0" if index % of < bad else "1" for index in range(number))


def histogram(metric: str, below: dict[str, str], count: str) -> dict[str, str]:
    """Series of a histogram by the upper limit of its buckets."""
    found = {'%s_bucket{le="%s",%s}' % (metric, le, L): values for le, values in below.items()}
    found['%s_bucket{le="+Inf",%s}' % (metric, L)] = count
    found["%s_count{%s}" % (metric, L)] = count
    return found


def status(code: str) -> str:
    """Series of the answers with a status."""
    return 'http_requests_total{handler="/v1/chat/completions",method="POST",status="%s",%s}' % (code, L)


TTFT, ITL = "vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds"
SLOW = histogram(TTFT, {"2.5": "0x240", "10.0": "0x240", "20.0": "0+5x240"}, "0+5x240")
QUICK = histogram(TTFT, {"2.5": "0+5x240", "10.0": "0+5x240", "20.0": "0+5x240"}, "0+5x240")
OUTAGE = {P % "health": "0x240"}
GATEWAY = 'job="vllm-gateway",gateway="g1",instance="g1:8404"'
CERTIFICATE = 'job="vllm-certificate",gateway="g1",instance="g1:443"'
FRONTEND = 'haproxy_frontend_http_responses_total{proxy="vllm",code="%s",' + GATEWAY + "}"
DISK = 'node_filesystem_%s_bytes{mountpoint="/var",device="/dev/a",fstype="ext4",' + N + "}"
EXPIRY = 'probe_ssl_earliest_cert_expiry{job="vllm-health",' + L + "}"
BACKEND = 'haproxy_backend_active_servers{proxy="vllm_medium",%s}' % GATEWAY
#: Of one or two servers, each with its state UP.
SERVERS = [
    'haproxy_server_status{proxy="vllm_medium",server="%s",state="UP",%s}' % (name, GATEWAY) for name in ("h1", "h2")
]
STATUS = 'haproxy_server_status{proxy="vllm_medium",server="h1",state="DOWN",%s}' % GATEWAY

#: Name of the alert -> series with which it fires, series with which it must not.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "VllmDown": ({'up{job="vllm",%s}' % L: "1x200 0x40"}, UP),
    "VllmHealthFailing": ({**UP, P % "health": "1x200 0x40"}, {**UP, P % "health": "1x235 0x2 1x5"}),
    "VllmNotAsked": (
        {'up{job="vllm-health",%s}' % L: "1x200 0x40"},
        {'up{job="vllm-health",%s}' % L: "1x230 0x5 1x5"},
    ),
    "VllmKeyRejected": (
        {'probe_http_status_code{job="vllm-request",%s}' % L: "200x200 401x40"},
        {'probe_http_status_code{job="vllm-request",%s}' % L: "503x240"},
    ),
    # overload fails the request of one token too, while tokens are written
    "VllmSyntheticFailing": (
        {**UP, **STILL, P % "health": "1x240", P % "request": "1x200 0x40"},
        {**UP, **TOKENS, P % "health": "1x240", P % "request": "1x200 0x40"},
    ),
    "VllmStalled": (
        {**UP, **STILL, 'vllm:num_requests_running{engine="0",%s}' % L: "4x240"},
        {**UP, **TOKENS, 'vllm:num_requests_running{engine="0",%s}' % L: "4x240"},
    ),
    "VllmCrashed": (
        {"vllm_container_restarts{%s}" % C: "0x200 1x40"},
        {"vllm_container_restarts{%s}" % C: "3x240"},
    ),
    "VllmRestartLoop": (
        {"vllm_container_restarts{%s}" % C: "0x200 1x3 2x3 3x3 4x30"},
        # a container that was made anew begins at 0, under another id
        {"vllm_container_restarts{%s}" % C: "4x200",
         "vllm_container_restarts{%s}" % C.replace("abc", "def"): "_x200 0x40"},
    ),
    "VllmOomKilled": (
        {"vllm_container_oom_killed{%s}" % C: "0x200 1x40"},
        # told once: the engine goes on saying it
        {"vllm_container_oom_killed{%s}" % C: "1x300"},
    ),
    "VllmReleaseDrift": (
        {'vllm_container_release_info{release="unknown",%s}' % C: "1x240",
         'vllm_release_info{release="r1",%s}' % C: "1x240"},
        {'vllm_container_release_info{release="r1",%s}' % C: "1x240",
         'vllm_release_info{release="r1",%s}' % C: "1x240"},
    ),
    "VllmQueueBacklog": (
        {"vllm:num_requests_waiting{engine=\"0\",%s}" % L: "30x240"},
        {"vllm:num_requests_waiting{engine=\"0\",%s}" % L: "0x238 30x2"},
    ),
    # the gauge jumps
    "VllmKvPressure": (
        {'vllm:kv_cache_usage_perc{engine="0",%s}' % L: pattern(1, 2).replace("1", "0.96").replace(" 0 ", " 0.6 ")},
        {'vllm:kv_cache_usage_perc{engine="0",%s}' % L: "0.5x240"},
    ),
    "VllmPreemptions": (
        {'vllm:num_preemptions_total{engine="0",%s}' % L: "0+15x240"},
        {'vllm:num_preemptions_total{engine="0",%s}' % L: "7x240"},
    ),
    "VllmRejecting": (
        {'vllm:admission_rejections_total{reason="max_num_queued_reqs",%s}' % L: "0+2x240"},
        {'vllm:admission_rejections_total{reason="max_num_queued_reqs",%s}' % L: "4x240"},
    ),
    "VllmTtftSlow": (SLOW, QUICK),
    "VllmItlSlow": (
        histogram(ITL, {"0.3": "0x240", "0.5": "0+5x240"}, "0+5x240"),
        histogram(ITL, {"0.1": "0+5x240", "0.3": "0+5x240"}, "0+5x240"),
    ),
    # the first of them appears with a value of its own
    "Vllm5xx": (
        {status("2xx"): "0+1x240", status("5xx"): "_x234 5x6"},
        {status("2xx"): "0+9x240", status("5xx"): "5x240"},
    ),
    "GpuMissing": (
        {**UP, 'nvidia_smi_gpu_info{%s}' % GPU: "1x200 stale"},
        {**UP, "nvidia_smi_gpu_info{%s}" % GPU: "1x240",
         "nvidia_smi_gpu_info{%s}" % GPU.replace("GPU-1", "GPU-2"): "1x240"},
    ),
    "GpuHot": ({"nvidia_smi_temperature_gpu{%s}" % GPU: "95x240"}, {"nvidia_smi_temperature_gpu{%s}" % GPU: "60x240"}),
    "GpuMemoryErrors": (
        {"nvidia_smi_ecc_errors_uncorrected_volatile_total{%s}" % GPU: "0x200 2x40"},
        {"nvidia_smi_ecc_errors_uncorrected_volatile_total{%s}" % GPU: "0x240"},
    ),
    # the clock of a test begins at 0; 240 samples later it is 3600
    "GpuXid": (
        {'nvidia_smi_xid_last_timestamp_seconds{xid="79",%s}' % N: "_x220 3300x20"},
        {'nvidia_smi_xid_last_timestamp_seconds{xid="13",%s}' % N: "_x220 3300x20",
         'nvidia_smi_xid_last_timestamp_seconds{xid="79",%s}' % N: "600x240"},
    ),
    "GpuNeedsReset": (
        {"nvidia_smi_gpu_recovery_action{%s}" % GPU: "0x200 1x40"},
        {"nvidia_smi_gpu_recovery_action{%s}" % GPU: "0x240"},
    ),
    "HostExporterDown": ({'up{job="vllm-node",host="h1",instance="h1:9100"}': "0x240"}, UP),
    "HostTextfileStale": (
        {"vllm_textfile_last_run_seconds{%s}" % N: "600x240"},
        {"vllm_textfile_last_run_seconds{%s}" % N: "0+15x240", "node_textfile_scrape_error{%s}" % N: "0x240"},
    ),
    "HostOomKill": ({"node_vmstat_oom_kill{%s}" % N: "3x220 4x20"}, {"node_vmstat_oom_kill{%s}" % N: "3x240"}),
    "HostDiskFull": (
        {DISK % "avail": "5x240", DISK % "size": "100x240"},
        {DISK % "avail": "50x240", DISK % "size": "100x240"},
    ),
    "CertificateExpires": ({EXPIRY: "432000x240"}, {EXPIRY: "8640000x240"}),
    "VllmAvailabilityBurn1h": (OUTAGE, {P % "health": pattern(1, 20)}),
    # what a deployment takes is planned
    "VllmAvailabilityBurn6h": (
        {P % "health": pattern(1, 20)},
        {**OUTAGE, 'vllm_deploying{host="h1",service="medium",instance="h1:9100",job="vllm-node"}': "1x240"},
    ),
    "VllmAvailabilityBurn3d": ({P % "health": pattern(1, 50)}, HEALTHY),
    "VllmTtftBurn1h": (SLOW, QUICK),
    "VllmTtftBurn6h": (SLOW, QUICK),
    "VllmTtftBurn3d": (SLOW, QUICK),
    "GatewayCertificateExpires": (
        {"probe_ssl_earliest_cert_expiry{%s}" % CERTIFICATE: "432000x240"},
        {"probe_ssl_earliest_cert_expiry{%s}" % CERTIFICATE: "8640000x240"},
    ),
    "GatewayDown": ({"up{%s}" % GATEWAY: "0x240"}, {"up{%s}" % GATEWAY: "1x240"}),
    "GatewayServerDown": ({STATUS: "1x240"}, {STATUS: "0x240"}),
    "GatewayNoServer": (
        {BACKEND: "0x240", **dict.fromkeys(SERVERS, "0x240")},
        {BACKEND: "1x240", SERVERS[0]: "1x240", SERVERS[1]: "0x240"},
    ),
    "GatewayRejects": (
        {FRONTEND % "2xx": "0+5x240", FRONTEND % "4xx": "0+5x240"},
        {FRONTEND % "2xx": "0+50x240", FRONTEND % "4xx": "0+1x240"},
    ),
}  # fmt: skip

#: The same of what dcgm-exporter tells. Made up by its default-counters.csv: no recording of it is at hand.
D = 'gpu="0",UUID="GPU-1",host="h1",instance="h1:9400",job="vllm-gpu"'
UP_DCGM = {'up{job="vllm-gpu",host="h1",instance="h1:9400"}': "1x240"}
TWO = {"DCGM_FI_DEV_GPU_TEMP{%s}" % D: "60x240", "DCGM_FI_DEV_GPU_TEMP{%s}" % D.replace("GPU-1", "GPU-2"): "60x240"}
DCGM_CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "GpuMissing": ({**UP_DCGM, "DCGM_FI_DEV_GPU_TEMP{%s}" % D: "60x240"}, {**UP_DCGM, **TWO}),
    # no value is a number, too
    "GpuHot": ({"DCGM_FI_DEV_GPU_TEMP{%s}" % D: "95x240"}, {"DCGM_FI_DEV_GPU_TEMP{%s}" % D: "9223372036854775794x240"}),
    "GpuMemoryErrors": (
        {"DCGM_FI_DEV_ROW_REMAP_FAILURE{%s}" % D: "1x240"},
        {"DCGM_FI_DEV_ROW_REMAP_FAILURE{%s}" % D: "0x240"},
    ),
    "GpuXid": ({"DCGM_FI_DEV_XID_ERRORS{%s}" % D: "79x240"}, {"DCGM_FI_DEV_XID_ERRORS{%s}" % D: "13x240"}),
}
