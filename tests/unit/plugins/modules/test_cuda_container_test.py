# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cuda_container_test, run as a program with a STAND-IN for docker."""

from __future__ import annotations

import pytest

GOOD = 'cuda-test={"step": "done", "code": 0, "text": "", "devices": 1, "driver": 13000, "library": "/x/libcuda.so.1"}'


@pytest.fixture
def run(run_module, tools, tmp_path):
    """Run the module with a docker that does ``script``; the log of its calls comes along."""

    def call(script: str = "echo '%s'" % GOOD, **more):
        log = tmp_path / "docker.log"
        folder = tools("docker", 'echo "$@" >>%s\ncase "$1" in run) %s\n;; esac' % (log, script))
        answer = run_module(
            "cuda_container_test", search="%s:/usr/bin:/bin" % folder, devices=["0"], image="vllm:1", **more
        )
        return answer, log.read_text(encoding="utf-8")

    return call


def test_good(run, documentation) -> None:
    """What was seen, with the documented keys."""
    answer, log = run(access="cdi")
    assert answer["cuda_test"] == {
        "ok": True, "devices": 1, "driver": "13.0", "library": "/x/libcuda.so.1", "error": None}  # fmt: skip
    assert set(answer["cuda_test"]) == set(documentation("cuda_container_test", "RETURN")["cuda_test"]["contains"])
    assert "--device=nvidia.com/gpu=0 --entrypoint=python3 vllm:1 -c import ctypes" in log


def test_only_what_decides_is_given(run, tmp_path) -> None:
    """The values come from the release's .env on the host; no secret is among them."""
    (tmp_path / ".env").write_text("EXTRA_ENV_LIB='/opt/it\\'s'\nVLLM_API_KEY_M='PLANTED'\n", encoding="utf-8")
    environment = {"LD_LIBRARY_PATH": "EXTRA_ENV_LIB", "VLLM_API_KEY": "VLLM_API_KEY_M", "CUDA_VISIBLE_DEVICES": "NONE"}
    answer, log = run(release=str(tmp_path), environment=environment)
    assert answer["cuda_test"]["ok"] is True
    assert "--env=LD_LIBRARY_PATH=/opt/it's" in log
    assert "PLANTED" not in log + answer["_output"]
    assert "CUDA_VISIBLE_DEVICES" not in log


def test_hang(run) -> None:
    """A driver that hangs hangs no deployment."""
    answer, log = run("exec sleep 30", timeout_s=0.5)
    assert answer["cuda_test"]["error"]["id"] == "hang"
    assert "rm --force myia-vllm-cuda-test-" in log
