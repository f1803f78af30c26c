# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting CUDA in the image: the program with a STAND-IN for libcuda, and what is made of its answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import cuda_test

#: STAND-IN for libcuda: answers what it was compiled to.
LIBRARY = """
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = 13010; return 0; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_STANDIN"; return NAMED; }
"""


@pytest.fixture
def program(tmp_path):
    """Run the program with a library (None: without one); returns its output."""

    def call(init: int | None = 0, count: int = 2, named: int = 0) -> str:
        if init is not None:
            flags = ["-DINIT=%d" % init, "-DCOUNT=%d" % count, "-DNAMED=%d" % named]
            subprocess.run(
                ["gcc", "-shared", "-fPIC", *flags, "-x", "c", "-", "-o", str(tmp_path / "libcuda.so.1")],
                input=LIBRARY.encode(), check=True,
            )  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", cuda_test.PROGRAM], env={"LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True,
            text=True, check=True,
        ).stdout  # fmt: skip

    return call


@pytest.mark.parametrize(
    ("library", "devices", "identity"),
    [
        pytest.param({}, ["0", "1"], None, id="all-well"),
        pytest.param({"count": 1}, ["MIG-a", "MIG-b"], None, id="mig-shows-one"),
        pytest.param({"count": 4}, ["all"], None, id="every-one"),
        pytest.param({"count": 1}, ["0", "1"], "cuda_devices", id="one-is-missing"),
        pytest.param({"count": 0}, ["all"], "cuda_devices", id="none"),
        pytest.param({"init": 999}, ["0"], "cuda_unknown", id="uvm"),
        pytest.param({"init": 802}, ["0"], "cuda_system_not_ready", id="fabric-manager"),
        pytest.param({"init": 803}, ["0"], "cuda_driver_mismatch", id="mismatch"),
        pytest.param({"init": 100}, ["0"], "cuda_no_device", id="no-device"),
        pytest.param({"init": 12345, "named": 1}, ["0"], "cuda_failed", id="a-code-that-nobody-knows"),
        pytest.param({"init": None}, ["0"], "cuda_library_missing", id="no-library"),
    ],
)
def test_program_and_judgement(library, devices, identity, program) -> None:
    """The real program with a stand-in library, judged: an id with its text and fix, or none."""
    found = cuda_test.judge(0, program(**library), "", devices)
    assert found["ok"] is (identity is None)
    assert (found["error"] or {}).get("id") == identity
    if identity:
        assert found["error"]["text"]
        assert found["error"]["fix"]
    else:
        assert (found["driver"], found["devices"]) == ("13.1", library.get("count", 2))
        assert found["library"].endswith("libcuda.so.1")


def test_named_error(program) -> None:
    """The library's own name of the error is told, where it has one."""
    assert cuda_test.judge(0, program(init=999), "", ["0"])["error"]["text"] == "cuInit gives 999 (CUDA_ERROR_STANDIN)"
    assert cuda_test.judge(0, program(init=999, named=1), "", ["0"])["error"]["text"] == "cuInit gives 999"


@pytest.mark.parametrize(
    ("status", "err", "identity"),
    [
        (125, "docker: Error response from daemon: unknown or invalid runtime name: nvidia.", "runtime_unknown"),
        (127, 'exec: "python3": executable file not found in $PATH', "no_python"),
        (139, "Segmentation fault", "other"),
    ],
)
def test_container_that_does_not_start(status, err, identity) -> None:
    """What the engine said, explained as by the GPU test."""
    found = cuda_test.judge(status, "", err, ["0"])
    assert (found["ok"], found["error"]["id"], found["devices"]) == (False, identity, None)


def test_command() -> None:
    """As the service: its image, its GPUs, the variables that decide; no network, nothing pulled."""
    command = cuda_test.run_command(
        "runtime", ["0"], "image:1", "name", {"LD_LIBRARY_PATH": "/x", "CUDA_VISIBLE_DEVICES": "0"}
    )
    assert {"--rm", "--pull=never", "--network=none", "--runtime=nvidia", "--env=LD_LIBRARY_PATH=/x"} <= set(command)
    assert command[command.index("--entrypoint=python3") + 1 :] == ["image:1", "-c", cuda_test.PROGRAM]


def test_program_is_old_python() -> None:
    """It runs in any image of vLLM."""
    assert json.loads(re.search(r"found = (\{.*\})", cuda_test.PROGRAM)[1].replace("None", "null"))["step"] == "load"
