# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts about a machine and its GPUs, about gateways, and about monitoring itself.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.alerts import Alert
from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring.service import Service, Timing

#: Xid codes after which the GPU, or the program on it, does not work on (NVIDIA's "Xid Errors" guide, 2025): double
#: bit ECC, page retirement failed, GPU hung, fell off the bus, NVLink, uncontained ECC, GSP, GPU recovery needed.
XID_FATAL = "48|62|64|74|79|95|119|120|143|154"

#: The names of what a GPU tells, by who tells it. Our own textfile uses those of nvidia_gpu_exporter.
GPU_NAMES = {
    "nvidia_smi": {
        "count": "nvidia_smi_gpu_info",
        "temperature": "nvidia_smi_temperature_gpu",
        "ecc": "nvidia_smi_ecc_errors_uncorrected_volatile_total",
        "remap": "nvidia_smi_remapped_rows_failure",
    },
    "dcgm": {
        "count": "DCGM_FI_DEV_GPU_TEMP",
        "temperature": "DCGM_FI_DEV_GPU_TEMP",
        # the ECC counters are switched off in dcgm-exporter's default list
        "ecc": "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "remap": "DCGM_FI_DEV_ROW_REMAP_FAILURE",
    },
}

#: Above this a value of dcgm-exporter stands for "none" (dcgm_fields.h: DCGM_INT64_BLANK and above).
_DCGM_BLANK = 9.2e18


def of_host(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    """Return the alerts about the machine of a service."""
    return [*_gpus(service, timing, limits), *_node(service, timing, limits)]


def _gpus(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    if service.gpu_metrics == "none" or not service.gpus:
        return []
    names = GPU_NAMES["dcgm" if service.gpu_metrics == "dcgm" else "nvidia_smi"]
    select = service.on_host()
    dcgm = service.gpu_metrics == "dcgm"
    number = "count by (host) (%s%s)" % (names["count"], select)
    job = 'job="%s"' % ("vllm-gpu" if service.gpu_address else "vllm-node")
    found = [
        Alert(
            "GpuMissing", "page",
            "(%s or on () vector(0)) < %d and on () (up%s == 1)"
            % (number, service.gpus, service.on_host(job)),
            4 * timing.probe_s,
            "%s has {{ $value }} GPUs, and its service needs %d" % (service.host, service.gpus),
            "One has fallen off the bus, or the driver is gone: nvidia-smi and dmesg on the host. Usually a reboot.",
            "host",
        ),
        Alert(
            "GpuHot", "ticket",
            "%s%s > %s%s" % (names["temperature"], select, limits["gpu_temperature_c"],
                             " < %g" % _DCGM_BLANK if dcgm else ""),
            20 * timing.scrape_s,
            "a GPU of {{ $labels.host }} has {{ $value }} degrees Celsius",
            "It slows down by itself. See fans, air and the power limit.", "host",
        ),
        Alert(
            "GpuMemoryErrors", "ticket",
            "%s%s > 0%s or %s%s > 0%s" % (names["ecc"], select, " < %g" % _DCGM_BLANK if dcgm else "", names["remap"],
                                          select, " < %g" % _DCGM_BLANK if dcgm else ""),
            0,
            "a GPU of {{ $labels.host }} has memory errors that could not be corrected",
            "Plan a reset of the GPU. If they come back, or rows cannot be remapped any more, have it "
            "replaced.", "host",
        ),
    ]  # fmt: skip
    if dcgm:
        xid = "DCGM_FI_DEV_XID_ERRORS%s" % select
        fatal = " or ".join("%s == %s" % (xid, code) for code in XID_FATAL.split("|"))
    else:
        xid = "nvidia_smi_xid_last_timestamp_seconds%s" % service.on_host('xid=~"%s"' % XID_FATAL)
        fatal = "time() - %s < %d" % (xid, timing.hour_s // 6)
    found.append(
        Alert(
            "GpuXid", "page", fatal, 0,
            "the driver of {{ $labels.host }} reported an Xid error that ends work on a GPU",
            "dmesg on the host has the line with the Xid. Drain the host; most of these need a reset or "
            "a reboot.", "host",
        )
    )  # fmt: skip
    if not dcgm:
        found.append(
            Alert(
                "GpuNeedsReset", "page", "nvidia_smi_gpu_recovery_action%s > 0" % select, 2 * timing.scrape_s,
                "the driver asks for a reset of a GPU of {{ $labels.host }}",
                "nvidia-smi -q says which. Drain the host, then nvidia-smi -r or a reboot.", "host",
            )
        )  # fmt: skip
    return found


def _node(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    if not service.node_address:
        return []
    job, select = service.on_host('job="vllm-node"'), service.on_host()
    disks = service.on_host('fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs"', 'mountpoint!~"/run.*|/etc/.*"')
    return [
        Alert(
            "HostExporterDown", "ticket", "up%s == 0 or absent(up%s)" % (job, job), 8 * timing.scrape_s,
            "node_exporter of %s does not answer: restarts, OOM kills, disks and GPUs are not seen" % service.host,
            "systemctl status prometheus-node-exporter on the host.", "host",
        ),
        Alert(
            "HostTextfileStale", "ticket",
            "time() - vllm_textfile_last_run_seconds%s > %d or node_textfile_scrape_error%s > 0 "
            "or absent(vllm_textfile_last_run_seconds%s)" % (select, 8 * timing.probe_s, select, select),
            8 * timing.scrape_s, "what %s says of containers and GPUs is old" % service.host,
            "systemctl status vllm-textfile.timer vllm-textfile.service on the host.", "host",
        ),
        Alert(
            "HostOomKill", "ticket", "increase(node_vmstat_oom_kill%s[%s]) > 0" % (select, timing.quarter), 0,
            "the kernel of {{ $labels.host }} ended a process for want of memory",
            "dmesg on the host names it. If it was the service's, VllmOomKilled says so too.", "host",
        ),
        Alert(
            "HostDiskFull", "ticket",
            "node_filesystem_avail_bytes%s / "
            "node_filesystem_size_bytes%s < %s" % (disks, disks, limits["disk_free_ratio"]),
            8 * timing.scrape_s,
            "{{ $labels.mountpoint }} of {{ $labels.host }} is nearly full: {{ $value | humanizePercentage }} are free",
            "Models, images and logs grow: docker system df on the host, and old models in the cache.", "host",
        ),
    ]  # fmt: skip


def of_certificate(service: Service, timing: Timing, limits: dict[str, float]) -> list[Alert]:
    """Return the alert about a service's own certificate, where it speaks TLS."""
    if service.scheme != "https":
        return []
    select = service.select('job="vllm-health"')
    return [_expires("CertificateExpires", select, "certificate", "vLLM takes it with the next deployment.", limits)]


def _expires(name: str, select: str, scope: str, then: str, limits: dict[str, float]) -> Alert:
    return Alert(
        name, "ticket", "probe_ssl_earliest_cert_expiry%s - time() < %d" % (select, limits["certificate_days"] * 86400),
        0, "the certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}",
        "Renew it; %s" % then, scope,
    )  # fmt: skip


#: The state of each server of a service, as HAProxy's exporter tells it: 1 for the state that it is in.
_SERVER_STATUS = 'haproxy_server_status{job="vllm-gateway",state="%s",proxy=~"vllm_.*"}'


def _unless_stopped() -> str:
    """Return what leaves out the servers of services that were stopped on purpose."""
    stopped = 'label_replace(vllm_stopped == 1, "proxy", "vllm_$1", "service", "(.+)")'
    # a server has the name of its host, or in a run about all services of a machine one that ends in the service's
    return "unless on (proxy, server) (%s or %s)" % (
        'label_replace(%s, "server", "$1", "host", "(.+)")' % stopped,
        'label_join(%s, "server", "-", "host", "service")' % stopped,
    )


def _no_server() -> str:
    """Return when no server of a service is left, with the label ``server`` where it has only one.

    While that one is switched nobody has to be called, and by its name the alert is kept quiet.
    """
    none = '(haproxy_backend_active_servers{job="vllm-gateway",proxy=~"vllm_.*"} == 0)'
    any_state = _SERVER_STATUS % "UP"
    only = "(%s and on (gateway, proxy) (count by (gateway, proxy) (%s) == 1))" % (any_state, any_state)
    return "(%s and on (gateway, proxy) %s) %s or (%s unless on (gateway, proxy) %s)" % (
        only, none, _unless_stopped(), none, only,
    )  # fmt: skip


def of_gateway(timing: Timing, limits: dict[str, float]) -> list[Alert]:
    """Return the alerts about all gateways; they have the label ``gateway``."""
    job = '{job="vllm-gateway"}'
    responses = 'haproxy_frontend_http_responses_total{job="vllm-gateway",code="%s"}'
    return [
        Alert(
            "GatewayDown", "page", "up%s == 0" % job, 4 * timing.scrape_s,
            "the gateway {{ $labels.gateway }} does not answer",
            "systemctl status haproxy on the gateway; haproxy -c -f /etc/haproxy/haproxy.cfg checks "
            "its file.", "gateway",
        ),
        Alert(
            "GatewayServerDown", "ticket",
            "%s == 1 %s" % (_SERVER_STATUS % "DOWN", _unless_stopped()), 4 * timing.scrape_s,
            "the gateway {{ $labels.gateway }} takes {{ $labels.server }} of {{ $labels.proxy }} for down",
            "If VllmDown says so too, mend that. Else the way between gateway and host is broken.", "gateway",
        ),
        Alert(
            "GatewayNoServer", "page", _no_server(), 2 * timing.scrape_s,
            "no server of {{ $labels.proxy }} is left at the gateway {{ $labels.gateway }}",
            "Clients get 503. Bring a host back: diagnose_medium.yml, or admit one that was drained.", "gateway",
        ),
        Alert(
            "GatewayRejects", "ticket",
            "sum by (gateway, proxy) (rate(%s[%s])) / sum by (gateway, proxy) (rate("
            'haproxy_frontend_http_responses_total{job="vllm-gateway"}[%s])) > %s'
            % (responses % "4xx", timing.window, timing.window, limits["rejected_keys_ratio"]),
            8 * timing.scrape_s,
            "{{ $value | humanizePercentage }} of the requests at {{ $labels.gateway }} are refused",
            "A wrong or expired key, a limit of a key, or a client with a wrong path: the gateway's log has the codes.",
            "gateway",
        ),
        _expires(
            "GatewayCertificateExpires", '{job="vllm-certificate"}', "gateway",
            "the program vllm-gateway-certificate hands it to HAProxy without a reload.", limits,
        ),
    ]  # fmt: skip
