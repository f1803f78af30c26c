# SPDX-License-Identifier: GPL-3.0-or-later
"""Every preflight check failing once; that each passes is what converge shows. The GPUs are STAND-INS."""

from __future__ import annotations

import contextlib
import json

import pytest

#: the host without Docker; converge shows that every check passes on both, the other file has the one with an engine
testinfra_hosts = ["ansible://preflight-bookworm"]

FAULT = "/etc/myia-standin/nvidia-smi.fault"
GPUS = "/etc/myia-standin/gpus.json"
#: A model that fits anywhere.
TINY = {"vllm_model": "/srv/models/tiny-qwen3", "vllm_max_model_len": 2048, "vllm_hf_overrides": {}}


def refused(play, host, untouched, *arguments: str) -> str:
    """Run the role, see it fail without touching the host, and return the folded output."""
    run = play("--limit", host.backend.host, *arguments)
    assert run.status != 0, run.output
    assert "nothing was changed" in run.flat
    assert untouched() == []
    return run.flat


@pytest.mark.full
def test_operating_system(host, play, unsupported_system) -> None:
    """An unsupported system is named, and can be tried at one's own risk."""
    run = play("--limit", host.backend.host)
    skipped = play("--limit", host.backend.host, "-e", '{"vllm_preflight_skip": ["operating_system"]}')
    assert run.status != 0
    assert "operating_system: found Plan 9, needed Debian 12 or 13" in run.flat
    assert skipped.status == 0, skipped.output
    assert "preflight check operating_system failed and was skipped" in skipped.flat


def test_root(host, play, untouched) -> None:
    """Without root the fix names become."""
    host.check_output("id tester >/dev/null 2>&1 || useradd --create-home tester")
    host.check_output("touch /tmp/myia-mark; sleep 1.1")
    output = refused(play, host, untouched, "-e", "ansible_user=tester", "-e", "ansible_become=false")
    assert "root: found user id" in output
    assert "become: true" in output


@contextlib.contextmanager
def changed(host, before: str, after: str):
    """Change the host for the time of a block; the change is not one that ``untouched`` sees."""
    host.check_output("%s; touch /tmp/myia-mark; sleep 1.1" % before)
    try:
        yield
    finally:
        host.check_output(after)


@contextlib.contextmanager
def gpus(host, description: list[dict]):
    """Let the host have other GPUs."""
    text = json.dumps({"check_nodes": True, "gpus": description})
    with changed(host, "cp %s /tmp/gpus; echo '%s' > %s" % (GPUS, text, GPUS), "cat /tmp/gpus > %s" % GPUS):
        yield


@pytest.mark.parametrize(
    ("fault", "said", "fix"),
    [
        (
            "mismatch",
            "driver_library_mismatch: found module of another version loaded, library 580.95",
            "Reboot the host",
        ),
        ("not-loaded", "driver_module_missing: found", "couldn't communicate with the NVIDIA driver"),
        ("permissions", "nvidia_smi: found Failed to initialize NVML: Insufficient Permissions", "SELinux"),
        ("no-devices", "gpu_devices: found No devices were found", "lspci"),
    ],
)
def test_driver(host, play, untouched, fault: str, said: str, fix: str) -> None:
    """Each fault of the driver has its own name and fix."""
    with changed(host, "echo %s > %s" % (fault, FAULT), "rm -f %s" % FAULT):
        output = refused(play, host, untouched)
    assert "1 preflight check failed" in output
    assert said in output
    assert fix in output


@pytest.mark.full
def test_driver_that_hangs(host, play, untouched) -> None:
    """A driver that does not answer is told so after the time limit."""
    with changed(host, "echo hang > %s" % FAULT, "rm -f %s" % FAULT):
        output = refused(play, host, untouched)
    assert "nvidia_smi: found nvidia-smi gave no answer within its time limit" in output


def test_driver_missing(host, play, untouched) -> None:
    """A host without anything of NVIDIA is told so."""
    with changed(host, "mv /usr/bin/nvidia-smi /usr/bin/smi.away", "mv /usr/bin/smi.away /usr/bin/nvidia-smi"):
        output = refused(play, host, untouched)
    assert "driver_missing: found no NVIDIA driver" in output


@pytest.mark.full
def test_device_nodes(host, play, untouched) -> None:
    """A missing node is named."""
    make = "mknod -m 0666 /dev/nvidiactl c 1 3"
    with changed(host, "rm /dev/nvidiactl", make):
        output = refused(play, host, untouched)
    assert "device_nodes_missing: found no /dev/nvidiactl" in output
    assert "nvidia-modprobe" in output


@pytest.mark.full
def test_gpu_lost(host, play, untouched) -> None:
    """A GPU that fell off the bus is told from one that never was there, and stops only who asks for it."""
    with gpus(host, [{}, {"lost": True}]):
        output = refused(play, host, untouched)
        one = {**TINY, "vllm_gpu_devices": [0], "vllm_tensor_parallel_size": 1}
        other = play("--limit", host.backend.host, "-e", json.dumps(one))
    assert "gpu_lost: found Unable to determine the device handle for GPU1" in output
    assert other.status == 0, other.output


def test_gpu_devices(host, play, untouched) -> None:
    """A GPU that is not there is named beside those that are."""
    output = refused(play, host, untouched, "-e", '{"vllm_gpu_devices": [0, 7]}')
    assert "gpu_devices: found 0 (" in output
    assert "needed GPU 7" in output
    assert "vllm_gpu_devices" in output


@pytest.mark.full
def test_gpu_in_mig_mode(host, play, untouched) -> None:
    """A GPU in MIG mode cannot be asked for as a whole; its MIG devices are named."""
    with gpus(host, [{}, {"mig_mode": "Enabled", "mig_devices": [{"uuid": "MIG-standin"}]}]):
        output = refused(play, host, untouched)
        named = {**TINY, "vllm_gpu_devices": ["MIG-standin"], "vllm_tensor_parallel_size": 1}
        mig = play("--limit", host.backend.host, "-e", json.dumps(named))
    assert "needed GPU 1 as a whole" in output
    assert "name its MIG devices (MIG-standin)" in output
    assert mig.status == 0, mig.output


@pytest.mark.full
def test_port(host, play, untouched) -> None:
    """A port in use is refused with who has it."""
    host.check_output("systemd-run --unit port-holder python3 -m http.server 5002 --bind 127.0.0.1; sleep 1")
    try:
        output = refused(play, host, untouched)
    finally:
        host.run("systemctl stop port-holder")
    assert "port: found port 5002 in use by python3" in output
    assert "vllm_port" in output


def test_disk(host, play, untouched) -> None:
    """Too little space is refused with the figures."""
    output = refused(play, host, untouched, "-e", "vllm_preflight_min_free_gib=1000000")
    assert "disk: found" in output
    assert "needed 1000000.0 GiB" in output


@pytest.mark.full
def test_secure_boot(host, play, untouched) -> None:
    """A module that the firmware does not trust is told from one that is not there."""
    kernel = "/usr/lib/modules/$(uname -r)"
    before = (
        "mount -t tmpfs none /sys/firmware; mkdir -p /sys/firmware/efi/efivars %s/updates/dkms; "
        "printf '\\6\\0\\0\\0\\1' > /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c; "
        "touch %s/updates/dkms/nvidia.ko; echo not-loaded > %s" % (kernel, kernel, FAULT)
    )
    with changed(host, before, "umount /sys/firmware; rm -rf %s; rm -f %s" % (kernel, FAULT)):
        output = refused(play, host, untouched)
    assert "secure_boot: found Secure Boot on, nvidia module on disk, not loaded" in output


@pytest.mark.full
def test_model_path(host, play, untouched) -> None:
    """A local model that is not there is refused."""
    output = refused(play, host, untouched, "-e", "vllm_model=/srv/models/none")
    assert "model_path: found /srv/models/none/config.json missing" in output
    run = play("--limit", host.backend.host, "-e", json.dumps(TINY))
    assert run.status == 0, run.output


def test_all_problems_in_one_report(host, play, untouched) -> None:
    """Nobody has to run it three times to see three problems."""
    output = refused(
        play, host, untouched,
        "-e", "vllm_preflight_min_free_gib=1000000", "-e", '{"vllm_gpu_devices": [0, 7]}', "-e", "vllm_model=/srv/none",
        "-e", "vllm_tensor_parallel_size=2",
    )  # fmt: skip
    assert "3 preflight checks failed" in output


def test_check_mode(host, play) -> None:
    """The checks run under --check too."""
    run = play("--limit", host.backend.host, "--check", "-e", "vllm_preflight_min_free_gib=1000000")
    assert run.status != 0
    assert "disk: found" in run.flat
