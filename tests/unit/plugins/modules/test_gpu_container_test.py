# SPDX-License-Identifier: GPL-3.0-or-later
"""The module gpu_container_test, run as a program with stand-ins for docker and nvidia-smi."""

from __future__ import annotations

import pytest

HOST = "GPU 0: NVIDIA X (UUID: GPU-aaaa)\nGPU 1: NVIDIA X (UUID: GPU-bbbb)"


@pytest.fixture
def run(run_module, tools, tmp_path):
    """Run the module on a host with two GPUs whose docker prints ``out``; the log of docker's calls comes along."""

    def call(out: str = "visible=0,1\n" + HOST, script: str = "", **more):
        log = tmp_path / "docker.log"
        tools("nvidia-smi", "cat <<'END'\n%s\nEND" % HOST)
        folder = tools(
            "docker",
            'echo "$@" >>%s\ncase "$1" in run) %s\n;; image) exit 1 ;; import) cat >/dev/null ;; esac'
            % (log, script or "cat <<'END'\n%s\nEND" % out),
        )
        answer = run_module("gpu_container_test", search="%s:/usr/bin:/bin" % folder, devices=["0", "1"], **more)
        return answer, log.read_text(encoding="utf-8")

    return call


def test_both_gpus(run) -> None:
    """Exactly the GPUs asked for; the image was made, and the container asks as the service does."""
    answer, log = run()
    assert answer["gpu_test"]["ok"] is True
    assert [gpu["uuid"] for gpu in answer["gpu_test"]["gpus"]] == ["GPU-aaaa", "GPU-bbbb"]
    assert answer["changed"] is True
    assert "import --change=LABEL" in log
    assert "run --rm --pull=never --network=none" in log
    assert "--runtime=nvidia --env=NVIDIA_VISIBLE_DEVICES=0,1" in log


def test_given_image(run) -> None:
    """An image that is named is used, and nothing is made."""
    answer, log = run(image="mine:1", access="cdi")
    assert (answer["changed"], answer["gpu_test"]["image"]) == (False, "mine:1")
    assert "import" not in log
    assert "--device=nvidia.com/gpu=0 --device=nvidia.com/gpu=1 --entrypoint=/bin/sh mine:1" in log


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"out": HOST.splitlines()[0]}, {"missing": ["GPU-bbbb"], "error": None}, id="one-missing"),
        pytest.param(
            {"out": HOST + "\nGPU 2: NVIDIA X (UUID: GPU-cccc)"}, {"extra": ["GPU-cccc"], "error": None}, id="one-more"
        ),
        pytest.param(
            {"script": "echo 'docker: Unknown runtime specified nvidia.' >&2; exit 125"},
            "runtime_unknown",
            id="refused",
        ),
        pytest.param({"script": "exec sleep 30", "timeout_s": 0.5}, "hang", id="hang"),
    ],
)
def test_not_proved(given, expected, run) -> None:
    """Each is an answer that says what was seen, not a failure of the module."""
    answer, log = run(image="mine:1", **given)
    found = answer["gpu_test"]
    assert found["ok"] is False
    if isinstance(expected, str):
        assert found["error"]["id"] == expected
        assert found["error"]["fix"]
    else:
        assert {key: found[key] for key in expected} == expected
    if expected == "hang":
        assert "rm --force myia-vllm-gpu-test-" in log


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    answer, _log = run()
    assert set(answer["gpu_test"]) == set(documentation("gpu_container_test", "RETURN")["gpu_test"]["contains"])
