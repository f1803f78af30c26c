# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM is started with."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition


@pytest.mark.parametrize(
    ("given", "arguments", "entries"),
    [
        pytest.param({"enable-x": True}, ["--enable-x"], {}, id="true"),
        pytest.param({"enable-x": False}, ["--no-enable-x"], {}, id="false"),
        pytest.param({"x": 5}, ["--x", "${EXTRA_OPTION_X}"], {"EXTRA_OPTION_X": "5"}, id="number"),
        pytest.param({"x": 0}, ["--x", "${EXTRA_OPTION_X}"], {"EXTRA_OPTION_X": "0"}, id="zero"),
        pytest.param({"x": ""}, ["--x", "${EXTRA_OPTION_X}"], {"EXTRA_OPTION_X": ""}, id="empty-text"),
        pytest.param({"--x_y": "a b"}, ["--x-y", "${EXTRA_OPTION_X_Y}"], {"EXTRA_OPTION_X_Y": "a b"}, id="text"),
        pytest.param(
            {"x": ["a", 2, True]},
            ["--x", "${EXTRA_OPTION_X_0}", "${EXTRA_OPTION_X_1}", "${EXTRA_OPTION_X_2}"],
            {"EXTRA_OPTION_X_0": "a", "EXTRA_OPTION_X_1": "2", "EXTRA_OPTION_X_2": "true"},
            id="list",
        ),
        pytest.param(
            {"x": {"b": 1, "a": "$"}}, ["--x", "${EXTRA_OPTION_X}"], {"EXTRA_OPTION_X": '{"a": "$", "b": 1}'}, id="dict"
        ),
        pytest.param(
            {"x-y.z_w": 1}, ["--x-y.z_w", "${EXTRA_OPTION_X_Y_Z_W}"], {"EXTRA_OPTION_X_Y_Z_W": "1"}, id="dotted"
        ),
        # vLLM takes what stands behind a dotted option for its value
        pytest.param({"x.y": True}, ["--x.y", "${EXTRA_OPTION_X_Y}"], {"EXTRA_OPTION_X_Y": "true"}, id="dotted-true"),
        pytest.param(
            {"x.y": False}, ["--x.y", "${EXTRA_OPTION_X_Y}"], {"EXTRA_OPTION_X_Y": "false"}, id="dotted-false"
        ),
        # of several words behind a dotted option vLLM takes the first
        pytest.param(
            {"x.y": [1, "a"]}, ["--x.y", "${EXTRA_OPTION_X_Y}"], {"EXTRA_OPTION_X_Y": '[1, "a"]'}, id="dotted-list"
        ),
        pytest.param(
            {"allowed-origins": ["a", "b"]},
            ["--allowed-origins", "${EXTRA_OPTION_ALLOWED_ORIGINS}"],
            {"EXTRA_OPTION_ALLOWED_ORIGINS": '["a", "b"]'},
            id="json-list",
        ),
        pytest.param(
            {"middleware": ["a.B", "c.D"]},
            ["--middleware", "${EXTRA_OPTION_MIDDLEWARE_0}", "--middleware", "${EXTRA_OPTION_MIDDLEWARE_1}"],
            {"EXTRA_OPTION_MIDDLEWARE_0": "a.B", "EXTRA_OPTION_MIDDLEWARE_1": "c.D"},
            id="repeated",
        ),
        pytest.param({"b": 1, "a": True}, ["--a", "--b", "${EXTRA_OPTION_B}"], {"EXTRA_OPTION_B": "1"}, id="by-name"),
    ],
)
def test_extra_options(given, arguments, entries, define, env_of) -> None:
    """Extra options come last; their values stand in .env."""
    changes = {"vllm_extra_options": given, "vllm_check_options": False}  # names that vLLM does not have
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["command"][-len(arguments) :] == arguments
    assert found["command"][-len(arguments) - 1] == "${VLLM_SHUTDOWN_TIMEOUT_MEDIUM}"
    extra = {name: value for name, value in env_of(**changes).items() if name.startswith("EXTRA_")}
    assert extra == entries


def test_cpu(define, env_of) -> None:
    """On a CPU: its image, no GPU anywhere, its own two variables."""
    changes = {"vllm_accelerator": "cpu", "vllm_gpu_devices": "", "vllm_tensor_parallel_size": 1}
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["image"] == "vllm/vllm-openai-cpu:v0.32.0"
    assert found["gpu_devices"] == []
    assert found["environment"]["VLLM_CPU_KVCACHE_SPACE"] == "VLLM_CPU_KVCACHE_SPACE"
    assert "NVIDIA_VISIBLE_DEVICES" not in found["environment"]
    assert env_of(**changes)["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert not [name for name in env_of(**changes) if "CUDA" in name or "NVIDIA" in name]


@pytest.mark.parametrize("access", ["deploy", "cdi"])
def test_gpu_access_without_runtime(access, define) -> None:
    """Asked for by `deploy`, the GPUs are not named by a container variable too."""
    found, problems, _warnings = define(vllm_gpu_access=access)
    assert problems == []
    assert "NVIDIA_VISIBLE_DEVICES" not in found["environment"]


def test_unset_leaves_the_default_of_vllm(define) -> None:
    """Options without a value are not on the command line."""
    found, _problems, _warnings = define(
        vllm_unset=["vllm_hf_overrides"], vllm_enforce_eager=True, vllm_trust_remote_code=True
    )
    assert "--hf-overrides" not in found["command"]
    assert "--max-num-batched-tokens" not in found["command"]
    assert "--revision" not in found["command"]
    assert "--enforce-eager" in found["command"]
    assert "--trust-remote-code" in found["command"]


@pytest.mark.parametrize(("version", "key"), [("0.11.2", "rope_scaling"), ("0.12.0", "rope_parameters")])
def test_yarn_under_the_name_that_the_release_reads(version, key, env_of) -> None:
    """0.11 would ignore rope_parameters and serve garbage beyond 32768 tokens."""
    overrides = json.loads(env_of(vllm_version=version)["VLLM_HF_OVERRIDES_MEDIUM"])
    assert overrides[key]["factor"] == 4.0
    assert len([name for name in overrides if name.startswith("rope_") and name != "rope_theta"]) == 1
    assert overrides["max_position_embeddings"] == 131072
    assert (overrides if key == "rope_scaling" else overrides[key])["rope_theta"] == 1e6


def test_short_name_is_written_out(define, env_of) -> None:
    """--dp is no option; --data-parallel-size is."""
    changes = {"vllm_extra_options": {"dp": 1}}
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["command"][-2:] == ["--data-parallel-size", "${EXTRA_OPTION_DATA_PARALLEL_SIZE}"]
    assert env_of(**changes)["EXTRA_OPTION_DATA_PARALLEL_SIZE"] == "1"


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        pytest.param("0.32.0", [1, 2, 4], ["--cudagraph-capture-sizes", "1", "2", "4"], id="newest"),
        pytest.param("0.11.1", "8,16", ["--cudagraph-capture-sizes", "8", "16"], id="a survey's text"),
        pytest.param("0.11.0", [1, 2], ["--cuda-graph-sizes", "1", "2"], id="the seed's"),
        pytest.param("0.32.0", [], [], id="vLLM's own"),
    ],
)
def test_capture_sizes(values, options, version, given, expected) -> None:
    """Sizes of CUDA graphs are given under the name that the release knows."""
    given = values(vllm_version=version, vllm_unset=["vllm_hf_overrides"], vllm_cudagraph_capture_sizes=given)
    found, problems, _warnings = definition.define(given, options)
    assert problems == []
    entries = dict(definition.env_entries(given, options))
    command = [re.sub(r"\$\{(\w+)\}", lambda name: entries[name[1]], part) for part in found["command"]]
    first = next((index for index, part in enumerate(command) if "graph" in part), len(command))
    assert command[first : first + len(expected)] == expected
