# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service is, out of what Docker, vLLM and nvidia-smi say."""

from __future__ import annotations

import os

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import vitals


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [
        ("", {"running": None, "waiting": None, "kv_cache_usage": None}),
        (
            'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 0.0\n'
            'vllm:kv_cache_usage_perc{engine="0"} 0.25\n',
            {"running": 3, "waiting": 0, "kv_cache_usage": 0.25},
        ),
        # two engines
        (
            'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_running{engine="1"} 4.0\n'
            'vllm:kv_cache_usage_perc{engine="0"} 0.1\nvllm:kv_cache_usage_perc{engine="1"} 0.9\n',
            {"running": 7, "waiting": None, "kv_cache_usage": 0.9},
        ),
        # the name of 0.11
        ("vllm:gpu_cache_usage_perc 0.5\n", {"running": None, "waiting": None, "kv_cache_usage": 0.5}),
        # another gauge that begins alike
        ("vllm:kv_cache_usage_percent 0.5\n", {"running": None, "waiting": None, "kv_cache_usage": None}),
    ],
)
def test_load(metrics, wanted) -> None:
    """Requests add up, the fullest cache counts, and what is not told is not zero."""
    assert vitals.load(metrics) == wanted


def test_gpus() -> None:
    """What nvidia-smi does not know is not zero; a line of another form is none."""
    text = "0, GPU-a, NVIDIA H200, 1024, 143771, 41, 97\n1, GPU-b, NVIDIA H200, [N/A], 143771, [N/A], 0\nNo devices\n"
    first, second = vitals.gpus(text)
    assert (first["index"], first["name"], first["memory_used_mib"], first["temperature_c"]) == (
        0, "NVIDIA H200", 1024, 41,
    )  # fmt: skip
    assert (second["memory_used_mib"], second["temperature_c"], second["utilization_percent"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("env", "words", "guards"),
    [
        (["VLLM_API_KEY=secret"], ["--port", "8000"], {"api_key": True, "tls": False}),
        (["VLLM_API_KEY="], ["--port", "8000"], {"api_key": False, "tls": False}),
        ([], ["--api-key", "x", "--ssl-keyfile=/k"], {"api_key": True, "tls": True}),
        (None, None, {"api_key": False, "tls": False}),
        # a shell that starts the server has its arguments in one word
        (None, ["-c", "exec vllm serve m --api-key $KEY --ssl-keyfile k"], {"api_key": True, "tls": True}),
        (None, ["-c", "vllm serve m --api-key-file-of-others x"], {"api_key": False, "tls": False}),
    ],
)
def test_guards(env, words, guards) -> None:
    """By names alone."""
    assert vitals.guards({"Config": {"Env": env, "Cmd": words}}) == guards


def test_a_key_as_a_file() -> None:
    """With vllm_secrets_as_files no variable of the container has it, and the service asks for it all the same."""
    mounted = {"Config": {"Env": ["HF_HOME=/x"]}, "Mounts": [{"Destination": "/run/secrets/env_VLLM_API_KEY"}]}
    assert vitals.guards(mounted)["api_key"] is True
    other = {"Config": {}, "Mounts": [{"Destination": "/run/secrets/env_HF_TOKEN"}]}
    assert vitals.guards(other)["api_key"] is False


def test_ports_and_networks() -> None:
    """Where Docker publishes; a port that is only exposed is not published."""
    bound = [{"HostIp": "0.0.0.0", "HostPort": "5002"}, {"HostIp": "::", "HostPort": "5002"}]
    inspected = {"NetworkSettings": {"Ports": {"8000/tcp": bound, "9000/tcp": None}, "Networks": {"b": {}, "a": {}}}}
    assert vitals.ports(inspected) == [
        {"address": "0.0.0.0", "port": 5002, "inside": 8000},
        {"address": "::", "port": 5002, "inside": 8000},
    ]
    assert vitals.networks(inspected) == ["a", "b"]
    assert (vitals.ports({}), vitals.networks({})) == ([], [])


def test_weights(tmp_path) -> None:
    """The time of the folder of this commit."""
    folder = tmp_path / "hub" / "models--a--b" / "snapshots" / ("c" * 40)
    folder.mkdir(parents=True)
    os.utime(folder, (1000, 1000))
    mounted = {"Mounts": [{"Destination": "/root/.cache/huggingface", "Source": str(tmp_path)}]}
    assert vitals.weights_s(mounted, "a/b", "c" * 40) == 1000
    assert vitals.weights_s(mounted, "a/b", "d" * 40) == 0
    assert vitals.weights_s({}, "a/b", "c" * 40) == 0
