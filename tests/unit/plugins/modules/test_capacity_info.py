# SPDX-License-Identifier: GPL-3.0-or-later
"""The module capacity_info, run as a program."""

from __future__ import annotations

import json
import pathlib

import pytest

MODEL = pathlib.Path(__file__).resolve().parents[2] / "data" / "qwen2.5-32b-instruct-awq"
OPTIONS = {"gpu_memory_mib": [24564, 24564], "num_gpus": 2, "tensor_parallel_size": 2, "vllm_version": "0.11.0"}


@pytest.fixture
def run(run_module):
    """Run the module for two RTX 4090."""
    return lambda **options: run_module("capacity_info", **{"model_config": str(MODEL), **OPTIONS, **options})


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(str(MODEL), id="folder"),
        pytest.param(str(MODEL / "config.json"), id="file"),
        pytest.param(json.loads((MODEL / "config.json").read_text(encoding="utf-8")), id="dictionary"),
    ],
)
def test_model_config(model, run) -> None:
    """The configuration may be a folder, its file or the content; nothing changes."""
    answer = run(model_config=model, max_model_len=131072, kv_cache_dtype="fp8")
    assert answer["changed"] is False
    assert answer["capacity"]["fits"] == "yes"
    assert answer["capacity"]["weights_source"] == "estimated"
    assert answer["capacity"]["length"]["within"] is False


@pytest.mark.parametrize(
    ("options", "key", "expected"),
    [
        pytest.param({"weights_bytes": 18 * 1024**3}, "weights_gib_per_gpu", 9.0, id="weights"),
        pytest.param({"kv_cache_dtype": "auto"}, "kv_bytes_per_token_per_gpu", 131072, id="cache"),
        pytest.param({"max_model_len": 131072}, "fits", "no", id="verdict"),
        pytest.param({"gpu_memory_mib": "24564"}, "fits", "yes", id="memory-as-text"),
        pytest.param({"max_model_len": 4096}, "auto_max_model_len", None, id="length"),
        pytest.param(
            {"max_model_len": "auto", "vllm_version": "0.32.0"},
            "auto_max_model_len",
            {"low": 32768, "high": 32768},
            id="auto",
        ),
        pytest.param(
            {"max_model_len": -1, "vllm_version": "0.32.0"},
            "auto_max_model_len",
            {"low": 32768, "high": 32768},
            id="minus-one",
        ),
        pytest.param(
            {"environment": {}},
            "unknown",
            ["whether the sampler sorts: whether the image has FlashInfer (VLLM_USE_FLASHINFER_SAMPLER)"],
            id="environment",
        ),
        pytest.param({"runner": "pooling"}, "unknown", [], id="runner"),
        pytest.param(
            {"environment": {"VLLM_USE_FLASHINFER_SAMPLER": "0"}, "speculative_config": {"model": "org/small"}},
            "unknown",
            ["the draft model of speculative-config (org/small): its config.json was not read"],
            id="speculation",
        ),
    ],
)
def test_options(options, key, expected, run) -> None:
    """Options reach the plan."""
    assert run(**options)["capacity"][key] == expected


def test_weights_of_files(run, tmp_path) -> None:
    """Weight files beside the configuration are counted."""
    (tmp_path / "config.json").write_bytes((MODEL / "config.json").read_bytes())
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"metadata": {"total_size": 19328235520}}', encoding="utf-8"
    )
    found = run(model_config=str(tmp_path))["capacity"]
    assert found["weights_source"] == "index"
    assert found["weights_gib_per_gpu"] == pytest.approx(9.0, rel=0.01)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        pytest.param({"model_config": "/nowhere"}, "missing", "/nowhere cannot be read", id="missing"),
        pytest.param({"model_config": "no model"}, "invalid", "neither an absolute path", id="no-id"),
        pytest.param({"model_config": {"a": 1}}, "invalid", "no num_hidden_layers", id="no-model"),
        pytest.param({"gpu_memory_mib": "many"}, "invalid", "many", id="memory"),
        pytest.param(
            {"model_config": "a/b", "hf_endpoint": "http://127.0.0.1:9", "hf_token": "hf_PLANTED"},
            "unreachable",
            "127.0.0.1:9 does not answer",
            id="unreachable",
        ),
    ],
)
def test_refused(options, kind, text, run) -> None:
    """What cannot be read or planned is a failure with its kind, without the token."""
    answer = run(**options, environ={"no_proxy": "127.0.0.1"})
    assert answer["failed"] is True
    assert answer["error_kind"] == kind
    assert text in answer["msg"]
    assert "PLANTED" not in answer["_output"].replace("********", "")


def test_documented_keys(run, documentation) -> None:
    """RETURN names exactly what is returned."""
    assert set(run()["capacity"]) == set(documentation("capacity_info", "RETURN")["capacity"]["contains"])


@pytest.mark.parametrize("value", ["soon", 0])
def test_no_length(value, run) -> None:
    """What is no length is refused with what it may be, not with a traceback."""
    answer = run(max_model_len=value)
    assert answer["failed"] is True
    assert "max_model_len is %s; it must be" % value in answer["msg"]
