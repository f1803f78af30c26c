# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role refuses, and how it says so. The packages, the runtime and the GPUs are STAND-INS.

None of it depends on the system, so one host is enough.
"""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://toolkit-trixie"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("nvidia-container-toolkit*_1.20.1-1_*", "no file of libnvidia-container1"),
        ("*_1.18.2-1_*", "CVE-2026-24260"),
        ("*_1.*", "several versions"),
    ],
)
def test_unfit_package_files(host, run_role, untouched, pattern, words) -> None:
    """One of the four missing, an unsafe version, a mixture: named, nothing changed."""
    files = host.check_output("ls /srv/standin-repo/stable/deb/*/%s.deb" % pattern).split()
    run = run_role(nvidia_container_toolkit_package_files=files)
    assert run.status != 0
    assert words in run.flat
    assert untouched() == []


# the unit tests have every kind of broken file
@pytest.mark.parametrize("content", ["// comment\n{}", '{"a": 1} x', "null", '{"runtimes": []}'])
def test_broken_daemon_json_is_left_alone(run_role, daemon_json, content: str) -> None:
    """A file that cannot be merged into is named, with the place, and stays as it is, byte for byte."""
    daemon_json.write(content)
    run = run_role()
    assert run.status != 0
    assert "/etc/docker/daemon.json" in run.output
    assert "column" in run.flat
    assert "left as it is" in run.flat
    assert daemon_json.text() == content


@pytest.mark.full
def test_cdi_specification_too_new(host, run_role, untouched) -> None:
    """An engine that cannot read the specification's version is named with both versions (given by hand)."""
    host.check_output("mkdir -p /etc/cdi")
    host.check_output(
        "printf 'cdiVersion: 0.7.0\\nkind: nvidia.com/gpu\\ndevices:\\n- name: \"0\"\\n' > /etc/cdi/x.yaml"
    )
    engine = {
        "answering": True, "version": "25.0.3", "desktop": False, "wsl": False, "rootless": False, "runtimes": [],
        "cdi_spec_dirs": ["/etc/cdi"], "cgroup_driver": "systemd", "engine_sufficient": True,
        "compose_sufficient": True, "error": "", "compose_version": "2.30", "installed": True,
    }  # fmt: skip
    try:
        run = run_role(vllm_gpu_access="cdi", docker_engine_result={"engine": engine})
    finally:
        host.check_output("rm -r /etc/cdi")
    assert run.status != 0
    assert "Docker 25.0.3, and CDI specifications of version 0.7.0" in run.flat
    assert "Docker 26.1 or later" in run.flat


@pytest.mark.full
def test_rootless_engine(run_role, untouched) -> None:
    """A rootless engine (given by hand) is refused with what it would need."""
    engine = {
        "answering": True, "version": "26.1.5", "desktop": False, "wsl": False, "rootless": True, "runtimes": [],
        "cdi_spec_dirs": [], "cgroup_driver": "systemd", "engine_sufficient": True, "compose_sufficient": True,
        "error": "", "compose_version": "2.30", "installed": True,
    }  # fmt: skip
    run = run_role(docker_engine_result={"engine": engine})
    assert run.status != 0
    assert "rootless: found a rootless engine" in run.flat
    assert untouched() == []


@pytest.mark.full
def test_no_cgroups_is_explained(host, run_role) -> None:
    """A setting for rootless engines on a host with an engine of root: what would happen, and the fix."""
    host.check_output("nvidia-ctk config --set nvidia-container-cli.no-cgroups=true --in-place")
    try:
        run = run_role()
    finally:
        host.check_output("nvidia-ctk config --set nvidia-container-cli.no-cgroups=false --in-place")
    assert run.status != 0
    assert "Failed to initialize NVML: Unknown Error" in run.flat
    assert "no-cgroups=false" in run.flat


@pytest.mark.full
def test_version_below_the_floor_is_refused(host, run_role, untouched) -> None:
    """A toolkit with a known way out of the container needs an explicit word."""
    run = run_role(nvidia_container_toolkit_version="1.18.2")
    assert run.status != 0
    assert "CVE-2026-24260" in run.flat
    assert "nvidia_container_toolkit_allow_vulnerable" in run.flat
    assert untouched() == []


def test_cpu_needs_no_toolkit(run_role, untouched) -> None:
    """With vllm_accelerator cpu the role says why it does nothing."""
    run = run_role(vllm_accelerator="cpu")
    assert run.status == 0, run.output
    assert "no container toolkit is needed" in run.flat
    assert untouched() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("mismatch", ["driver_library_mismatch", "reboot"]),
        ("not-loaded", ["driver_module_missing", "headers of the running kernel"]),
        ("no-devices", ["gpu_devices"]),
    ],
)
def test_driver_faults(host, run_role, untouched, fault, words) -> None:
    """A driver that does not work is named with its fix; Docker is not touched."""
    host.check_output("printf %s > /etc/myia-standin/nvidia-smi.fault" % fault)
    host.check_output("touch /tmp/myia-mark; sleep 1.1")
    try:
        run = run_role()
        assert run.status != 0
        for word in words:
            assert word.lower() in run.flat.lower()
        assert "Merge the keys into daemon.json" not in run.output
        assert untouched() == []
    finally:
        host.check_output("rm /etc/myia-standin/nvidia-smi.fault")


@pytest.mark.full
def test_missing_device_node(host, run_role) -> None:
    """A node in /dev that is not there is named."""
    host.check_output("mv /dev/nvidiactl /dev/nvidiactl-away")
    try:
        run = run_role()
    finally:
        host.check_output("mv /dev/nvidiactl-away /dev/nvidiactl")
    assert run.status != 0
    assert "device_nodes_missing" in run.flat
    assert "/dev/nvidiactl" in run.flat


@pytest.mark.full
def test_unknown_gpu(run_role, untouched) -> None:
    """A GPU that the host does not have is refused with those that it has."""
    run = run_role(vllm_gpu_devices=["0", "7"])
    assert run.status != 0
    assert "gpu_devices" in run.flat
    assert "RTX 4090" in run.flat
    assert untouched() == []


def test_gpus_that_do_not_reach_the_container(host, run_role) -> None:
    """A runtime that injects nothing is found out by the container, before any service is."""
    runtime = "/usr/bin/nvidia-container-runtime"
    host.check_output("mv %s /root/runtime && printf '#!/bin/sh\\nexec runc \"$@\"\\n' > %s && chmod 755 %s" % (
        runtime, runtime, runtime))  # fmt: skip
    try:
        run = run_role()
    finally:
        host.check_output("mv /root/runtime %s" % runtime)
    assert run.status != 0
    assert "A container that asks for GPU 0,1 (vllm_gpu_access runtime) did not start" in run.flat


@pytest.mark.full
def test_more_gpus_than_asked_for(host, run_role, uuids) -> None:
    """A container that gets another GPU besides is no success."""
    runtime = "/usr/bin/nvidia-container-runtime"
    everything = 's/^    chosen = select(value, /    chosen = select("all", /'
    host.check_output("cp -p %s /root/runtime && sed -i '%s' %s" % (runtime, everything, runtime))
    try:
        run = run_role(vllm_gpu_devices=["1"], vllm_tensor_parallel_size=1)
    finally:
        host.check_output("mv /root/runtime %s" % runtime)
    assert run.status != 0
    assert "not asked for: %s" % uuids[0] in run.flat
