# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a service is named, worst first."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.bundle import findings, kernel_log, metrics
from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue

CATALOGUE = failure_catalogue.load()
RUNNING = json.dumps([{"State": {"Status": "running", "ExitCode": 0}, "RestartCount": 0}])

#: Lines as the kernel writes them (mm/oom_kill.c) and NVIDIA's driver (docs.nvidia.com/deploy/xid-errors).
OOM = "Out of memory: Killed process 4242 (VLLM::EngineCor) total-vm:90000000kB, anon-rss:60000000kB, shmem-rss:0kB"
CGROUP_OOM = "Memory cgroup out of memory: Killed process 4242 (python3) total-vm:9000kB, anon-rss:6000kB"
XID = "NVRM: Xid (PCI:0000:3b:00): %d, pid=1234, name=python3"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", []),
        ("nvidia: module license 'NVIDIA' taints kernel.", []),
        (OOM, [("kernel_oom", "error", "VLLM::EngineCor", "Give the host more memory")]),
        (CGROUP_OOM, [("kernel_oom", "error", "at the limit of a container", "vllm_memory_limit")]),
        (XID % 79, [("kernel_xid_79", "error", "fallen off the bus", "power")]),
        ("\n".join([XID % 45, XID % 45]), [("kernel_xid_45", "warning", "2 times, GPU 0000:3b:00", "before")]),
        (XID % 999, [("kernel_xid_999", "warning", "Xid 999", "docs.nvidia.com")]),
    ],
)
def test_kernel_log(log, expected) -> None:
    found = kernel_log.findings("2026-11-29T10:00:00 host kernel: %s\n" % log)
    assert [(item["id"], item["severity"]) for item in found] == [item[:2] for item in expected]
    for item, (_id, _severity, text, fix) in zip(found, expected):
        assert text in item["found"] and fix in item["fix"]


def series(**values: float) -> str:
    return "# HELP x\n" + "".join('vllm:%s{engine="0"} %s\n' % item for item in values.items())


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("process_cpu_seconds_total 3\n", []),
        (series(kv_cache_usage_perc=0.2, num_requests_running=3, num_requests_waiting=0), ["load"]),
        (series(kv_cache_usage_perc=0.97, num_requests_running=9, num_requests_waiting=4), ["kv_cache_full"]),
        (series(gpu_cache_usage_perc=0.97), ["kv_cache_full"]),
        (series(kv_cache_usage_perc=0.3, num_requests_running=4, num_requests_waiting=40), ["batch_full"]),
        (series(num_preemptions_total=5, request_success_total=100), ["preemptions"]),
        (series(num_preemptions_total=1, request_success_total=1000), ["load"]),
        (series(request_success_total=100, request_queue_time_seconds_sum=700, request_queue_time_seconds_count=100,
                e2e_request_latency_seconds_sum=1000, e2e_request_latency_seconds_count=100), ["queue"]),
        ('vllm:request_success_total{finished_reason="abort"} 30\n'
         'vllm:request_success_total{finished_reason="stop"} 70\n', ["aborted"]),
        (series(kv_cache_usage_perc="NaN"), []),
    ],
)  # fmt: skip
def test_bottlenecks_are_named(text, ids) -> None:
    found = metrics.findings(text)
    assert [item["id"] for item in found] == ids
    assert all(item["fix"] for item in found if item["severity"] != "info")


def test_the_worst_comes_first() -> None:
    """Errors of any source before warnings of another."""
    parts = {
        "service/inspect.json": RUNNING,
        "service/metrics.txt": series(kv_cache_usage_perc=0.97),
        "host/kernel.log": XID % 79,
    }
    preflight = {"findings": [
        {"id": "clock", "ok": False, "severity": "warning", "found": "1 h ahead", "needed": "2 min", "fix": "chrony"},
        {"id": "disk", "ok": False, "severity": "error", "found": "1 GiB", "needed": "9 GiB", "fix": "free space"},
        {"id": "port", "ok": True, "severity": "error", "found": "free", "needed": "free", "fix": ""},
    ]}  # fmt: skip
    found = findings.collect({"vllm_preflight_result": preflight}, parts, CATALOGUE, [])
    assert [item["id"] for item in found] == ["kernel_xid_79", "preflight_disk", "preflight_clock", "kv_cache_full"]


@pytest.mark.parametrize(
    ("inspected", "ids"),
    [
        ("[]\nError response from daemon: No such container: x\n(exit status 1)\n", ["no_container"]),
        ("[]\nError: No such container: x\n(exit status 1)\n", ["no_container"]),
        # whether there is one nobody has said
        ("", ["container_not_seen"]),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n(exit status 1)\n",
         ["container_not_seen"]),
        (RUNNING, []),
        (json.dumps([{"State": {"Status": "exited", "OOMKilled": True}}]), ["container_oom", "not_running"]),
        (json.dumps([{"State": {"Status": "running", "Health": {"Status": "unhealthy"}}, "RestartCount": 2}]),
         ["unhealthy", "restarts"]),
    ],
)  # fmt: skip
def test_the_container(inspected, ids) -> None:
    found = findings.collect({}, {"service/inspect.json": inspected}, CATALOGUE, [])
    assert [item["id"] for item in found] == ids


def test_logs_are_compared_with_the_catalogue() -> None:
    """The log of the service that runs, and those of starts that failed."""
    line = (
        "ValueError: Free memory on device cuda:0 (3.2/23.6 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 21.2 GiB)."
    )
    begin = "(EngineCore_DP0 pid=1) ERROR 11-29 10:00:00 [core.py:708] "
    log = "%sEngineCore failed to start.\n%s%s\n" % (begin, begin, line)
    parts = {"service/inspect.json": RUNNING, "service/log.txt": log, "service/failed-start-x.log": log}
    found = findings.collect({}, parts, CATALOGUE, [])
    assert [(item["severity"], item["where"]) for item in found] == [
        ("error", "service/log.txt"), ("warning", "service/failed-start-x.log")]  # fmt: skip
    assert found[0]["id"].startswith("log_") and found[0]["id"] != "log_unknown" and found[0]["fix"]
