# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging a host: each check passes once and fails once, and says what it found and what to do."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.myia.vllm.plugins.module_utils import preflight

DEFINITION = {
    "accelerator": "nvidia",
    "gpu_devices": ["0", "1"],
    "port": 5002,
    "project": "vllm-medium",
    "model": "Qwen/x",
    "model_is_local": False,
}
GPUS = [
    {"index": 0, "uuid": "GPU-a", "name": "RTX 4090", "memory_total_mib": 24564, "driver_version": "580.95.05"},
    {"index": 1, "uuid": "GPU-b", "name": "RTX 4090", "memory_total_mib": 24564, "driver_version": "580.95.05"},
]
HOST = {
    "os": {"id": "debian", "id_like": "", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)"},
    "uid": 0,
    "gpu": {"gpus": GPUS, "error": ""},
    "port": {"listening": False, "owner": {}, "containers": []},
    "own_containers": [],
    "free_gib": {"/opt/vllm": 500.0, "/var/lib/docker": 100.0},
    "model_present": False,
}
OURS = {"name": "myia-vllm-medium-qwen3", "project": "vllm-medium"}
OTHER = {"name": "web", "project": ""}


def changed(base: dict, changes: dict) -> dict:
    """A copy with changes by dotted path."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        place = result
        *heads, last = path.split(".")
        for head in heads:
            place = place[head]
        place[last] = value
    return result


def failed(definition: dict, host: dict, min_free: float = 40.0) -> list[dict]:
    """The failed findings."""
    return [item for item in preflight.check(definition, host, min_free) if not item["ok"]]


def test_good_host() -> None:
    """Nothing is wrong, and nothing is to be mended."""
    findings = preflight.check(DEFINITION, HOST, 40.0)
    assert [item["id"] for item in findings] == [
        "operating_system",
        "root",
        "gpu_driver",
        "gpu_devices",
        "port",
        "disk",
    ]
    assert all(item["ok"] and item["fix"] == "" for item in findings)


def test_cpu_asks_for_no_gpu() -> None:
    """Without GPUs to use, none are looked for; a local model is."""
    definition = {**DEFINITION, "accelerator": "cpu", "model_is_local": True, "model": "/m"}
    host = {key: value for key, value in HOST.items() if key != "gpu"}
    findings = preflight.check(definition, {**host, "model_present": True}, 40.0)
    assert [item["id"] for item in findings] == ["operating_system", "root", "port", "disk", "model_path"]
    assert all(item["ok"] for item in findings)


@pytest.mark.parametrize(
    ("host", "definition", "identity", "words"),
    [
        pytest.param(
            {"os.id": "debian", "os.version": "11", "os.name": "Debian 11"},
            {},
            "operating_system",
            "Debian 11",
            id="os",
        ),
        pytest.param({"os.id": "arch", "os.name": ""}, {}, "operating_system", "found arch", id="os-unknown"),
        pytest.param({"os.id": "", "os.name": ""}, {}, "operating_system", "unknown operating system", id="os-empty"),
        pytest.param({"uid": 1000}, {}, "root", "user id 1000", id="root"),
        pytest.param(
            {"gpu": {"gpus": [], "error": "nvidia-smi is not installed"}},
            {},
            "gpu_driver",
            "not installed",
            id="no-smi",
        ),
        pytest.param({"gpu.gpus": GPUS[:1]}, {}, "gpu_devices", "needed GPU 1", id="one-gpu"),
        pytest.param({}, {"gpu_devices": ["GPU-a", "GPU-z"]}, "gpu_devices", "needed GPU GPU-z", id="uuid"),
        pytest.param(
            {"port.listening": True, "port.owner": {"pid": 7, "command": "nginx"}},
            {},
            "port",
            "port 5002 in use by nginx, pid 7",
            id="port-process",
        ),
        pytest.param({"port.listening": True}, {}, "port", "a process that cannot be seen", id="port-hidden"),
        pytest.param({"port.containers": [OTHER]}, {}, "port", "container web", id="port-container"),
        pytest.param({"port.containers": [OURS, OTHER]}, {}, "port", "container web", id="port-ours-and-other"),
        pytest.param({"free_gib./opt/vllm": 3.0}, {}, "disk", "3.0 GiB free on /opt/vllm, needed 40.0", id="disk"),
        pytest.param(
            {"free_gib": {"/x": 1.5}, "own_containers": ["a"]}, {}, "disk", "needed 2.0 GiB", id="disk-redeploy"
        ),
        pytest.param({"free_gib": {"/x": None}}, {}, "disk", "0.0 GiB", id="disk-unknown"),
        pytest.param({}, {"model_is_local": True, "model": "/m"}, "model_path", "/m/config.json missing", id="model"),
    ],
)
def test_fails(host, definition, identity, words) -> None:
    """Exactly this check fails; the report names what was found, what is needed and the fix."""
    bad = failed({**DEFINITION, **definition}, changed(HOST, host))
    assert [item["id"] for item in bad] == [identity]
    assert bad[0]["fix"]
    text = preflight.report(bad, [])
    assert text.startswith("1 preflight check failed; nothing was changed.\n- %s: found " % identity)
    assert words in text
    assert bad[0]["fix"] in text


@pytest.mark.parametrize(
    ("host", "definition"),
    [
        *[
            pytest.param({"os.id": name, "os.version": version}, {}, id="%s-%s" % (name, version))
            for name, version in (
                ("debian", "13"),
                ("ubuntu", "22.04"),
                ("ubuntu", "24.04"),
                ("rocky", "9.4"),
                ("almalinux", "10.0"),
                ("rhel", "9"),
                ("centos", "9"),
            )
        ],
        pytest.param({}, {"gpu_devices": ["GPU-b"]}, id="uuid"),
        pytest.param({"port.listening": True, "port.containers": [OURS]}, {}, id="port-held-by-us"),
        pytest.param({"free_gib": {"/x": 2.0}, "own_containers": ["a"]}, {}, id="disk-redeploy"),
        pytest.param({"free_gib": {"/x": 40.0, "/y": None}}, {}, id="disk-exactly"),
        pytest.param({"model_present": True}, {"model_is_local": True, "model": "/m"}, id="model"),
    ],
)
def test_passes(host, definition) -> None:
    """Nothing fails."""
    assert failed({**DEFINITION, **definition}, changed(HOST, host)) == []


@pytest.mark.parametrize(
    ("system", "version"),
    [("ubuntu", "22.10"), ("ubuntu", "24.041"), ("rocky", "8.10"), ("debian", "120"), ("rocky", "90")],
)
def test_near_misses_of_versions(system, version) -> None:
    """A version that merely begins like a supported one is none."""
    assert [item["id"] for item in failed(DEFINITION, changed(HOST, {"os.id": system, "os.version": version}))] == [
        "operating_system"
    ]


def test_gpus_not_asked_for() -> None:
    """A host that was not asked for GPUs has none that could be used."""
    host = {key: value for key, value in HOST.items() if key != "gpu"}
    assert [item["id"] for item in failed(DEFINITION, host)] == ["gpu_driver"]


def test_report_counts_and_skips() -> None:
    """Skipped checks are not in the report; all others are, together."""
    host = changed(HOST, {"uid": 1000, "free_gib": {"/x": 1.0}, "port.listening": True})
    findings = preflight.check(DEFINITION, host, 40.0)
    text = preflight.report(findings, ["root"])
    assert text.startswith("2 preflight checks failed")
    assert "- root:" not in text
    assert "- port:" in text
    assert "- disk:" in text
