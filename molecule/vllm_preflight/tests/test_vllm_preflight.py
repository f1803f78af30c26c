# SPDX-License-Identifier: GPL-3.0-or-later
"""Every preflight check failing once; that each passes is what converge shows. The GPUs are STAND-INS."""

from __future__ import annotations

import pytest

FAULT = "/etc/myia-standin/nvidia-smi.fault"


def refused(play, host, untouched, *arguments: str) -> str:
    """Run the role, see it fail without touching the host, and return the folded output."""
    run = play("--limit", host.backend.host, *arguments)
    assert run.status != 0, run.output
    assert "nothing was changed" in run.flat
    assert untouched() == []
    return run.flat


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


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("mismatch", "Driver/library version mismatch"),
        ("no-devices", "No devices were found"),
        ("not-loaded", "couldn't communicate with the NVIDIA driver"),
    ],
)
def test_gpu_driver(host, play, untouched, fault: str, said: str) -> None:
    """What nvidia-smi says is shown with the fix."""
    host.check_output("echo %s > %s; touch /tmp/myia-mark; sleep 1.1" % (fault, FAULT))
    try:
        output = refused(play, host, untouched)
    finally:
        host.run("rm -f %s" % FAULT)
    assert "gpu_driver: found" in output
    assert said in output
    assert "Install the NVIDIA driver" in output


def test_gpu_driver_missing(host, play) -> None:
    """A host without nvidia-smi is told so."""
    host.check_output("mv /usr/bin/nvidia-smi /usr/bin/nvidia-smi.away")
    try:
        run = play("--limit", host.backend.host)
    finally:
        host.check_output("mv /usr/bin/nvidia-smi.away /usr/bin/nvidia-smi")
    assert run.status != 0
    assert "nvidia-smi is not installed" in run.flat


def test_gpu_devices(host, play, untouched) -> None:
    """A GPU that is not there is named beside those that are."""
    output = refused(play, host, untouched, "-e", '{"vllm_gpu_devices": [0, 7]}')
    assert "gpu_devices: found 0 (" in output
    assert "needed GPU 7" in output
    assert "vllm_gpu_devices" in output


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


def test_model_path(host, play, untouched) -> None:
    """A local model that is not there is refused."""
    output = refused(play, host, untouched, "-e", "vllm_model=/srv/models/none")
    assert "model_path: found /srv/models/none/config.json missing" in output


def test_all_problems_in_one_report(host, play, untouched) -> None:
    """Nobody has to run it three times to see three problems."""
    output = refused(
        play, host, untouched,
        "-e", "vllm_preflight_min_free_gib=1000000", "-e", '{"vllm_gpu_devices": [0, 7]}', "-e", "vllm_model=/srv/none",
    )  # fmt: skip
    assert "3 preflight checks failed" in output


def test_check_mode(host, play) -> None:
    """The checks run under --check too."""
    run = play("--limit", host.backend.host, "--check", "-e", "vllm_preflight_min_free_gib=1000000")
    assert run.status != 0
    assert "disk: found" in run.flat
