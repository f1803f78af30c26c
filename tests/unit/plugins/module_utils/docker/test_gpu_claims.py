# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPUs a container was given, and whose container a process is in."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.docker import gpu_claims

ID, INNER = "ab" * 32, "cd" * 32
WEB = {"container": "web", "project": "p"}


@pytest.mark.parametrize(
    ("host", "env", "default", "gpus"),
    [
        pytest.param({}, [], "", [], id="none"),
        pytest.param({"Runtime": "runc"}, ["NVIDIA_VISIBLE_DEVICES=all"], "", [], id="other-runtime"),
        pytest.param({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=0,GPU-a"], "", ["0", "GPU-a"], id="runtime"),
        pytest.param({"Runtime": "nvidia"}, ["NVIDIA_VISIBLE_DEVICES=void"], "", [], id="void"),
        pytest.param({"Runtime": "nvidia"}, [], "", [], id="runtime-alone"),
        pytest.param({"Runtime": ""}, ["NVIDIA_VISIBLE_DEVICES=1"], "nvidia", ["1"], id="default-runtime"),
        pytest.param({"DeviceRequests": [{"Count": -1}]}, [], "", ["all"], id="gpus-all"),
        pytest.param({"DeviceRequests": [{"Count": 2}]}, [], "", ["0", "1"], id="gpus-2"),
        pytest.param({"DeviceRequests": [{"Count": 0, "DeviceIDs": ["1"]}]}, [], "", ["1"], id="device"),
        pytest.param(
            {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0", "nvidia.com/gpu=all"]}]},
            [], "", ["0", "all"], id="cdi",
        ),
    ],
)  # fmt: skip
def test_gpus_of(host, env, default, gpus) -> None:
    """Three ways to give GPUs."""
    assert gpu_claims.gpus_of({"HostConfig": host, "Config": {"Env": env}}, default) == gpus


@pytest.mark.parametrize(
    ("cgroup", "expected"),
    [
        pytest.param("0::/system.slice/ssh.service\n", {"container": "", "project": ""}, id="none"),
        pytest.param("0::/system.slice/docker-%s.scope\n" % ID, WEB, id="v2"),
        pytest.param("5:devices:/docker/%s\n4:cpu:/docker/%s\n" % (ID, ID), WEB, id="v1"),
        pytest.param("0::/docker/%s/docker/%s\n" % (INNER, ID), WEB, id="nested"),
        pytest.param("0::/docker/%s/libpod-%s.scope\n" % (ID, INNER), WEB, id="outer"),
        pytest.param("0::/libpod-%s.scope" % INNER, {"container": INNER[:12], "project": ""}, id="podman"),
        pytest.param("", {"container": "", "project": ""}, id="ended"),
    ],
)  # fmt: skip
def test_container_of(cgroup, expected) -> None:
    """The innermost container that the engine knows, else the start of the id."""
    assert gpu_claims.container_of(cgroup, [{"id": ID, "name": "web", "project": "p"}]) == expected


def test_innermost_of_two_known() -> None:
    """Of a container in a container that the engine both knows, the inner one is the process's."""
    containers = [{"id": INNER, "name": "outer", "project": ""}, {"id": ID, "name": "web", "project": "p"}]
    assert gpu_claims.container_of("0::/docker/%s/docker/%s" % (INNER, ID), containers) == WEB


def test_running() -> None:
    """Names, projects and GPUs; a container that has ended is left out, and no variable comes along."""
    answers = {
        "ps": (0, ID + "\n" + INNER + "\n", ""),
        "inspect": (
            1,
            json.dumps(
                [
                    {"Id": ID, "Name": "/web", "State": {"Running": True}, "Config": {"Env": ["A=PLANTED"]},
                     "HostConfig": {"DeviceRequests": [{"Count": -1}]}},
                    {"Id": INNER, "Name": "/old", "State": {"Running": False}},
                ]
            ),
            "",
        ),
    }  # fmt: skip
    found = gpu_claims.running(lambda argv: answers[argv[1]])
    assert found == [{"id": ID, "name": "web", "project": "", "gpus": ["all"]}]


@pytest.mark.parametrize(
    "answers", [{"ps": (1, "", "")}, {"ps": (0, "", "")}, {"ps": (0, ID, ""), "inspect": (1, "", "")}]
)
def test_nothing_running(answers) -> None:
    """No container, no engine, or one that gives no answer."""
    assert gpu_claims.running(lambda argv: answers[argv[1]]) == []
