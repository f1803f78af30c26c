# SPDX-License-Identifier: GPL-3.0-or-later
"""The module gpu_info, run as a program with the samples and with failing programs in place of nvidia-smi."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi

SAMPLES = pathlib.Path(__file__).parents[2] / "data" / "nvidia_smi"
MISMATCH = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18"


@pytest.fixture
def run(run_module, tools, bare_path):
    """Run the module with a shell script as nvidia-smi."""

    def call(script: str, **args) -> dict:
        return run_module("gpu_info", search="%s:%s" % (tools("nvidia-smi", script), bare_path), **args)

    return call


def replaying(name: str) -> str:
    """A script that prints a sample."""
    base = SAMPLES / name
    return 'case "$1" in -q) cat %s.xml ;; -L) cat %s.list.txt ;; *) cat %s.compute_cap.txt ;; esac' % (
        base,
        base,
        base,
    )


def test_gpus(run, documentation) -> None:
    """All that the sample holds is returned, under the documented keys."""
    answer = run(replaying("driver-550-a100-mig"))
    expected = json.loads((SAMPLES / "driver-550-a100-mig.json").read_text())
    assert {key: answer[key] for key in expected} == expected
    assert answer["changed"] is False
    documented = documentation("gpu_info", "RETURN")
    assert set(documented) == set(expected)
    contains = documented["gpus"]["contains"]
    assert set(contains) == set(answer["gpus"][0])
    assert set(contains["mig_devices"]["contains"]) == set(answer["gpus"][0]["mig_devices"][0])
    assert set(contains["processes"]["contains"]) == set(answer["gpus"][0]["processes"][0])


def test_documented_errors(documentation) -> None:
    """Every id that the code can return is documented, and no other."""
    text = documentation("gpu_info", "RETURN")["error"]["contains"]["id"]["description"][0]
    identities = {item[2] for item in nvidia_smi.FAILURES} | {"not_installed", "hang", "other"}
    assert {word.partition(")")[0] for word in text.split("V(")[1:]} == identities


@pytest.mark.parametrize("check", [True, False])
def test_broken_driver(check, run, documentation) -> None:
    """A broken driver is an answer; with fail=true it is a failure that says what to do."""
    answer = run(MISMATCH, check=check)
    assert (answer["gpus"], answer["driver_version"], answer["error"]["id"]) == ([], None, "driver_library_mismatch")
    assert set(documentation("gpu_info", "RETURN")["error"]["contains"]) == set(answer["error"])
    failed = run(MISMATCH, check=check, fail=True)
    assert failed["failed"] is True
    assert failed["msg"].startswith("driver_library_mismatch: Failed to initialize NVML")
    assert "Reboot the host" in failed["msg"]
    assert failed["error"] == answer["error"]


def test_no_nvidia_smi(run_module, bare_path) -> None:
    """A host that has none."""
    answer = run_module("gpu_info", search=bare_path)
    assert (answer["gpus"], answer["error"]["id"]) == ([], "not_installed")


def test_hang(run) -> None:
    """The time limit is kept."""
    start = time.monotonic()
    answer = run("sleep 60", timeout_s=1)
    assert time.monotonic() - start < 6
    assert answer["error"]["id"] == "hang"


def test_lost_gpu(run) -> None:
    """The others are returned beside the error."""
    answer = run(replaying("driver-570-h100-lost"))
    assert [gpu["fault"] for gpu in answer["gpus"]] == [None, "GPU is lost"]
    assert answer["error"]["id"] == "gpu_lost"
    assert run(replaying("driver-570-h100-lost"), fail=True)["failed"] is True


def test_time_limit_that_is_none(run) -> None:
    """Nothing can be asked in no time."""
    assert "timeout_s is 0" in run("exit 0", timeout_s=0)["msg"]
