# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that tells node_exporter of containers, releases and GPUs."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import promql

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROMTOOL = ROOT / ".cache/prometheus/usr/bin/promtool"
SPEC = importlib.util.spec_from_file_location("vllm_textfile", ROOT / "roles/vllm_monitoring/files/vllm_textfile.py")
textfile = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(textfile)

#: As nvidia-smi 580 prints them (--format=csv,noheader,nounits): an H200, and a GeForce that knows no ECC.
TABLE = """\
GPU-a, NVIDIA H200, 34, 1024, 143771, 50, 77.5, 0, No, No
GPU-b, NVIDIA GeForce RTX 4080 SUPER, 41, 2, 16376, 0, 15.2, [N/A], [N/A], [N/A]
"""
RECOVERY = "GPU-a, None\nGPU-b, Reset\n"
KERNEL = """\
1764000000.5 host kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.
1764000100.5 host kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.
1764000050.5 host kernel: something else
"""


def by_name(samples: list) -> dict:
    """The samples by name and labels."""
    return {(name, *sorted(labels.values())): value for name, labels, value in samples}


@pytest.fixture
def service(tmp_path) -> dict:
    """A service with a release that is current, and one before."""
    for name, identity in (("20260101T000000Z-aaaaaaaaaaaa", "old"), ("20260201T000000Z-bbbbbbbbbbbb", "new" * 20)):
        folder = tmp_path / "releases" / name
        folder.mkdir(parents=True)
        about = {"container_id": identity, "good_since": "2026-02-01T00:00:10Z"}
        (folder / "release.json").write_text(json.dumps(about), encoding="utf-8")
    (tmp_path / "current").symlink_to("releases/20260201T000000Z-bbbbbbbbbbbb")
    return {"name": "medium", "container": "c", "dir": str(tmp_path)}


def inspected(identity: str, **state) -> str:
    """What docker inspect says."""
    return json.dumps([{"Id": identity, "RestartCount": 3, "State": {"Running": True, "ExitCode": 0, **state}}])


def test_service(service) -> None:
    """The release that the container was accepted with is found by the container's id."""
    found = by_name(textfile.of_service(service, inspected("new" * 20, OOMKilled=True)))
    assert found["vllm_container_release_info", "20260201T000000Z-bbbbbbbbbbbb", "medium"] == 1
    assert found["vllm_release_info", "20260201T000000Z-bbbbbbbbbbbb", "medium"] == 1
    assert found["vllm_deployment_time_seconds", "20260201T000000Z-bbbbbbbbbbbb", "medium"] == 1769904010
    assert found["vllm_container_restarts", "medium", "newnewnewnew"] == 3
    assert found["vllm_container_oom_killed", "medium", "newnewnewnew"] == 1
    drifted = by_name(textfile.of_service(service, inspected("other")))
    assert drifted["vllm_container_release_info", "medium", "unknown"] == 1


def test_deploying(service, tmp_path) -> None:
    """By the lock's sign of life; one that a dead run left does not count."""
    assert by_name(textfile.of_service(service, None))["vllm_deploying", "medium"] == 0
    lock = tmp_path / "deployment.lock"
    lock.touch()
    assert by_name(textfile.of_service(service, None))["vllm_deploying", "medium"] == 1
    os.utime(lock, (1, 1))
    assert by_name(textfile.of_service(service, None))["vllm_deploying", "medium"] == 0


def test_stopped(service, tmp_path) -> None:
    """By the note of who stopped it, while the container does not run and was not started since."""
    ended = {"Running": False, "StartedAt": "2026-02-01T00:00:00.123456789Z"}

    def told(answer: dict):
        return by_name(textfile.of_service(service, answer))["vllm_stopped", "medium"]

    assert told(inspected("x", **ended)) == 0
    (tmp_path / "stopped.json").write_text(json.dumps({"at_s": 1769904100.0, "who": "ann"}), encoding="utf-8")
    assert told(inspected("x", **ended)) == 1
    assert told(None) == 1
    assert told(inspected("x", Running=True, StartedAt=ended["StartedAt"])) == 0
    # started by hand since, and ended by itself
    assert told(inspected("x", **{**ended, "StartedAt": "2026-02-01T00:02:00Z"})) == 0


@pytest.mark.parametrize("answer", [None, "", "[]", "no JSON"])
def test_no_container(service, answer) -> None:
    """It does not run, and nothing else is claimed."""
    found = by_name(textfile.of_service(service, answer))
    assert found["vllm_container_running", "", "medium"] == 0
    assert not [name for name in found if name[0] == "vllm_container_restarts"]


def test_gpus() -> None:
    """What a card does not know is left out, not 0."""
    found = by_name(textfile.of_gpus(TABLE, RECOVERY, KERNEL))
    assert found["nvidia_smi_last_collect_success",] == 1
    assert found["nvidia_smi_temperature_gpu", "GPU-a"] == 34
    assert found["nvidia_smi_memory_used_bytes", "GPU-a"] == 1073741824
    assert found["nvidia_smi_utilization_gpu_ratio", "GPU-a"] == 0.5
    assert found["nvidia_smi_ecc_errors_uncorrected_volatile_total", "GPU-a"] == 0
    assert ("nvidia_smi_ecc_errors_uncorrected_volatile_total", "GPU-b") not in found
    assert found["nvidia_smi_gpu_recovery_action", "GPU-b"] == 1
    assert found["nvidia_smi_xid_last_timestamp_seconds", "0000:3b:00", "79"] == 1764000100.5
    silent = by_name(textfile.of_gpus(None, None, None))
    assert silent == {("nvidia_smi_last_collect_success",): 0}


def test_exposition(service, tmp_path) -> None:
    """One TYPE line a name, as promtool wants it, and no name that the rules do not know."""
    samples = textfile.of_service(service, inspected("x")) + textfile.of_gpus(TABLE, RECOVERY, KERNEL)
    text = textfile.exposition([*samples, ("vllm_textfile_last_run_seconds", {}, 1.0)])
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    assert set(names) <= promql.OF_THE_TEXTFILE
    path = tmp_path / "x.prom"
    textfile.write(str(path), text)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.glob("*.tmp")) == []
    if PROMTOOL.exists():
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        wrong = [line for line in done.stderr.splitlines() if "_total" not in line]
        assert wrong == [], done.stderr
