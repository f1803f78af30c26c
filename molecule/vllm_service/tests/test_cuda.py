# SPDX-License-Identifier: GPL-3.0-or-later
"""CUDA is started in the service's own image before the switch: a host on which it does not start keeps its service.

There is no GPU here. A STAND-IN for libcuda.so.1, compiled into images of its own, answers what a test wants; NVIDIA's
runtime is runc under its name, and the service the STAND-IN for vLLM.
"""

from __future__ import annotations

import json
import subprocess

import pytest
from replays import NAME, container_of, healthy, install

IMAGE = "myia-vllm-cpu:0.32.0"

LIBCUDA = """\
/* STAND-IN for libcuda.so.1: answers what it was compiled to; not NVIDIA software */
int cuInit(unsigned flags) { return INIT; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuGetErrorName(int code, const char **name) { *name = "CUDA_ERROR_OF_THE_STANDIN"; return 0; }
"""

pytestmark = pytest.mark.full


@pytest.fixture
def image(host):
    """Return a function that makes an image with the stand-in for libcuda, whose cuInit gives a code."""
    made = []

    def make(code: int) -> str:
        subprocess.run(
            ["docker", "exec", "--interactive", container_of(host).name, "sh", "-c", "cat > /srv/standin/libcuda.c"],
            input=LIBCUDA.encode(), check=True,
        )  # fmt: skip
        made.append("standin-cuda:%d" % code)
        host.check_output(
            "docker run --name standin-build -v /srv/standin:/standin:ro --entrypoint gcc %s -shared -fPIC -DINIT=%d "
            "-x c /standin/libcuda.c -o /usr/lib/x86_64-linux-gnu/libcuda.so.1 && docker commit standin-build %s && "
            "docker rm standin-build" % (IMAGE, code, made[-1])
        )
        return made[-1]

    return make


@pytest.fixture
def runtime(host, daemon_json):
    """Let the engine know runc as the runtime nvidia."""
    daemon_json.write('{"runtimes": {"nvidia": {"path": "runc"}}}', then="systemctl reload docker")


@pytest.fixture
def served(host, play) -> dict:
    """The variables of a service on the CPU that serves, and that is there again afterwards."""
    install(host)
    variables = {**healthy(host), "vllm_health_poll_s": 0.5}
    run = play("-e", json.dumps(variables))
    assert run.status == 0, run.output
    yield variables
    run = play("-e", json.dumps(variables))
    assert run.status == 0, run.output


def container(host) -> str:
    """Id and start of the service's container."""
    return host.check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' %s" % NAME)


def test_cuda_in_the_image(host, play, runtime, served, image) -> None:
    """Without libcuda and with one that does not start the old service stays; with a good one the release serves."""
    before = container(host)
    nvidia = {**served, "vllm_accelerator": "nvidia", "vllm_gpu_devices": "0"}
    for name, words in ((IMAGE, "cuda_library_missing: in the image"), (image(999), "cuInit gives 999 (CUDA_")):
        run = play("-e", json.dumps({**nvidia, "vllm_image": name}))
        assert run.status != 0
        assert words in run.flat
        assert "The service was not touched." in run.flat
        assert container(host) == before
        assert not host.file("/opt/vllm/medium/deployment.lock").exists
    run = play("-e", json.dumps({**nvidia, "vllm_image": image(0)}))
    assert run.status == 0, run.output
    assert host.check_output("docker inspect -f '{{.HostConfig.Runtime}} {{.Config.Image}}' %s" % NAME) == (
        "nvidia standin-cuda:0"
    )
    again = play("-e", json.dumps({**nvidia, "vllm_image": "standin-cuda:0"}))
    assert "Test CUDA in the image" not in again.output
    assert again.recap["changed"] == 0


@pytest.mark.full
def test_cuda_test_left_out(host, play, runtime, served) -> None:
    """What the operator left out is left out, and what comes of it is told as a start that failed."""
    run = play("-e", json.dumps({**served, "vllm_accelerator": "nvidia", "vllm_gpu_devices": "0",
                                 "vllm_service_cuda_test": False}))  # fmt: skip
    assert run.status == 0, run.output
    assert "cuda_library_missing" not in run.output
