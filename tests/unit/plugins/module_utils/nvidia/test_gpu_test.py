# SPDX-License-Identifier: GPL-3.0-or-later
"""The test by a container: what it is asked, what its answer means, and what its image is made of."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.host import command as host_command
from ansible_collections.myia.vllm.plugins.module_utils.nvidia import gpu_test

GPUS = (
    "GPU 0: NVIDIA GeForce RTX 4090 (UUID: GPU-aaaa)\n"
    "GPU 1: NVIDIA GeForce RTX 4090 (UUID: GPU-bbbb)\n"
)  # fmt: skip
MIG = (
    "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aaaa)\n"
    "  MIG 3g.40gb     Device  0: (UUID: MIG-1111)\n"
    "  MIG 3g.40gb     Device  1: (UUID: MIG-2222)\n"
    "GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-bbbb)\n"
)
ON_HOST = gpu_test.listing(GPUS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("No devices were found\n", [], id="none"),
        pytest.param("visible=void\n" + GPUS, [("0", "GPU-aaaa"), ("1", "GPU-bbbb")], id="two"),
        pytest.param(MIG, [("0:0", "MIG-1111"), ("0:1", "MIG-2222"), ("1", "GPU-bbbb")], id="mig"),
    ],
)
def test_listing(text, expected) -> None:
    """Index and UUID of each; MIG devices in place of the GPU that is divided."""
    assert sorted((gpu["index"], gpu["uuid"]) for gpu in gpu_test.listing(text)) == expected


@pytest.mark.parametrize(
    ("devices", "uuids", "unknown"),
    [
        (["all"], ["GPU-aaaa", "GPU-bbbb"], []),
        (["1"], ["GPU-bbbb"], []),
        (["GPU-bbbb", "0"], ["GPU-bbbb", "GPU-aaaa"], []),
        (["0", "7"], ["GPU-aaaa"], ["7"]),
    ],
)
def test_wanted_uuids(devices, uuids, unknown) -> None:
    """By index and by UUID; what the host does not have is told apart."""
    assert gpu_test.wanted_uuids(devices, ON_HOST) == (uuids, unknown)


@pytest.mark.parametrize(
    ("access", "devices", "options"),
    [
        ("runtime", ["0", "1"], ["--runtime=nvidia", "--env=NVIDIA_VISIBLE_DEVICES=0,1"]),
        ("cdi", ["0", "GPU-x"], ["--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=GPU-x"]),
        ("deploy", ["0", "1"], ['--gpus="device=0,1"']),
        ("deploy", ["all"], ["--gpus=all"]),
    ],
)
def test_gpu_options(access, devices, options) -> None:
    """As the service asks for them."""
    assert gpu_test.gpu_options(access, devices) == options
    command = gpu_test.run_command(access, devices, "image:tag", "name", ["/usr/bin", "/opt/nv"])
    assert "--env=PATH=/usr/bin:/opt/nv" in command
    position = command.index(options[0])
    assert command[position : position + len(options)] == options
    assert {"--rm", "--pull=never", "--network=none", "--name=name"} <= set(command)


def test_smi_folders(tmp_path) -> None:
    """The host's own folder, that of a link and that of its target; and where others keep it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "nvidia-smi").write_text("")
    (tmp_path / "nvidia-smi").symlink_to("real/nvidia-smi")
    folders = gpu_test.smi_folders(str(tmp_path / "nvidia-smi"))
    assert folders[:4] == ["/usr/bin", "/bin", str(tmp_path), str(tmp_path / "real")]
    assert gpu_test.smi_folders("/usr/bin/nvidia-smi")[:2] == ["/usr/bin", "/bin"]
    assert "/usr/local/nvidia/bin" in gpu_test.smi_folders(None)


@pytest.mark.parametrize(
    ("out", "missing", "extra", "by"),
    [
        pytest.param("visible=0,1\n" + GPUS, [], [], "toolkit", id="both"),
        pytest.param("visible=void\n" + GPUS, [], [], "cdi", id="void-is-no-fault"),
        pytest.param("visible=0\n" + GPUS.splitlines()[0], ["GPU-bbbb"], [], "toolkit", id="one-missing"),
        pytest.param(GPUS + "GPU 2: X (UUID: GPU-cccc)\n", [], ["GPU-cccc"], "toolkit", id="one-too-many"),
        pytest.param("", ["GPU-aaaa", "GPU-bbbb"], [], "toolkit", id="none"),
    ],
)
def test_judge(out, missing, extra, by) -> None:
    """Exactly those asked for; NVIDIA_VISIBLE_DEVICES=void says that CDI brought them."""
    found = gpu_test.judge(out, ["GPU-aaaa", "GPU-bbbb"])
    assert (found["missing"], found["extra"], found["injected_by"]) == (missing, extra, by)


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (
            'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
            "device_driver_missing",
        ),
        ("docker: Error response from daemon: Unknown runtime specified nvidia.", "runtime_unknown"),
        ("unknown or invalid runtime name: nvidia", "runtime_unknown"),
        ("/bin/sh: 1: exec: nvidia-smi: not found", "nvidia_smi_missing"),
        ("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all", "cdi_device_unknown"),
        ("nvml error: driver/library version mismatch", "driver_library_mismatch"),
        ("Failed to initialize NVML: Unknown Error", "nvml_unknown"),
        ("nvidia-container-cli: initialization error: nvml error: insufficient permissions", "selinux"),
        ("bpf_prog_query(BPF_CGROUP_DEVICE) failed: operation not permitted", "rootless"),
        ("nvidia-container-cli: device error: 7: unknown device", "device_unknown"),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "driver_not_loaded"),
        ("failed to create shim task: OCI runtime create failed: something new", "other"),
    ],
)  # fmt: skip
def test_explain(text, identity) -> None:
    """Each wording has its name and a fix; an unknown one is called so and shown."""
    found = gpu_test.explain(text)
    assert found["id"] == identity
    assert found["fix"]
    assert found["text"] in text


def test_image_runs_the_shell_of_the_host(tmp_path) -> None:
    """The archive is a file system in which the shell starts: unpacked, and run by its own loader."""
    files = gpu_test.image_files(host_command.run)
    assert "bin/sh" in files
    assert all(os.path.isfile(source) for source in files.values())
    with tarfile.open(fileobj=io.BytesIO(gpu_test.image_archive(files))) as archive:
        # Python before 3.11.4 has no filters, and does the same
        archive.extractall(
            tmp_path, **({"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {})
        )
    assert {"bin", "etc", "tmp", "usr"} <= set(os.listdir(tmp_path))
    loader = next(path for path in files if "/ld-" in path)
    folders = sorted({str(tmp_path / os.path.dirname(path)) for path in files if ".so" in path})
    done = subprocess.run(
        [tmp_path / loader, "--library-path", ":".join(folders), tmp_path / "bin/sh", "-c", "echo $((6 * 7))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "42\n", done.stderr


def test_image_tag_follows_the_files(tmp_path) -> None:
    """Another C library makes another image; the same files the same one."""
    source = tmp_path / "libc.so.6"
    source.write_text("one", encoding="utf-8")
    files = {"lib/libc.so.6": str(source)}
    first = gpu_test.image_tag(files)
    assert first == gpu_test.image_tag(files)
    assert first.startswith(gpu_test.IMAGE + ":")
    source.write_text("longer", encoding="utf-8")
    assert gpu_test.image_tag(files) != first
