# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of the service: what is accepted, what is refused with which words, and where secrets go."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition

GPUS_01 = ["0", "1"]


def test_defaults_are_the_medium_service(define, env_of) -> None:
    """Without any setting: the seed's service, with the names its .env had."""
    found, problems, warnings = define()
    assert problems == []
    assert warnings == []
    assert found["command"] == [
        "${VLLM_MODEL_MEDIUM}",
        "--served-model-name",
        "${VLLM_SERVED_MODEL_NAME_MEDIUM}",
        "--dtype",
        "${VLLM_DTYPE_MEDIUM}",
        "--kv-cache-dtype",
        "${VLLM_KV_CACHE_DTYPE_MEDIUM}",
        "--max-model-len",
        "${MAX_MODEL_LEN}",
        "--hf-overrides",
        "${VLLM_HF_OVERRIDES_MEDIUM}",
        "--gpu-memory-utilization",
        "${GPU_MEMORY_UTILIZATION_MEDIUM}",
        "--tensor-parallel-size",
        "${TENSOR_PARALLEL_SIZE_MEDIUM}",
        "--max-num-seqs",
        "${MAX_NUM_SEQS_MEDIUM}",
        "--host",
        "${VLLM_HOST_MEDIUM}",
        "--port",
        "${VLLM_PORT_MEDIUM}",
        "--shutdown-timeout",
        "${VLLM_SHUTDOWN_TIMEOUT_MEDIUM}",
    ]
    assert found["environment"] == {
        "NVIDIA_VISIBLE_DEVICES": "CUDA_VISIBLE_DEVICES_MEDIUM",
        "NVIDIA_DRIVER_CAPABILITIES": "NVIDIA_DRIVER_CAPABILITIES",
        "HF_HUB_OFFLINE": "HF_HUB_OFFLINE",
        "VLLM_NO_USAGE_STATS": "VLLM_NO_USAGE_STATS",
        "DO_NOT_TRACK": "DO_NOT_TRACK",
    }
    assert {
        key: found[key]
        for key in (
            "name",
            "suffix",
            "project",
            "dir",
            "image",
            "container_name",
            "port",
            "publish_address",
            "base_url",
        )
    } == {
        "name": "medium",
        "suffix": "MEDIUM",
        "project": "vllm-medium",
        "dir": "/opt/vllm/medium",
        "image": "vllm/vllm-openai:v0.32.0",
        "container_name": "myia-vllm-medium-qwen3",
        "port": 5002,
        "publish_address": "127.0.0.1",
        "base_url": "http://127.0.0.1:5002",
    }
    assert found["gpu_devices"] == GPUS_01
    assert (found["ipc"], found["shm_size"], found["restart_policy"]) == ("private", "16gb", "unless-stopped")
    assert found["named_volumes"] == ["vllm-hf-cache", "vllm-compile-cache"]
    assert found["volumes"] == ["vllm-hf-cache:/root/.cache/huggingface", "vllm-compile-cache:/root/.cache/vllm"]
    entries = env_of()
    assert entries["CUDA_VISIBLE_DEVICES_MEDIUM"] == "0,1"
    assert entries["GPU_MEMORY_UTILIZATION_MEDIUM"] == "0.9"
    assert entries["MAX_MODEL_LEN"] == "131072"
    assert entries["VLLM_PORT_MEDIUM"] == "5002"
    assert json.loads(entries["VLLM_HF_OVERRIDES_MEDIUM"])["rope_parameters"]["factor"] == 4.0


def test_secrets_stand_in_env_only(define, env_of, planted) -> None:
    """Both secrets are in .env under the seed's names, and nowhere in what travels through facts and logs."""
    secret_value = "extra-PLANTED-env-0123456789"
    changes = {**planted, "vllm_extra_env": {"MY_SECRET": secret_value}, "vllm_publish_address": "0.0.0.0"}
    found, problems, warnings = define(**changes)
    assert problems == []
    shown = json.dumps([found, warnings])
    assert "PLANTED" not in shown
    assert found["api_key_required"] is True
    assert "HF_TOKEN" not in found["environment"]
    assert found["prefetch"]["environment"] == {"HF_TOKEN": "HUGGING_FACE_HUB_TOKEN"}
    assert found["environment"]["VLLM_API_KEY"] == "VLLM_API_KEY_MEDIUM"
    entries = env_of(**changes)
    assert entries["HUGGING_FACE_HUB_TOKEN"] == planted["vllm_hf_token"]
    assert entries["VLLM_API_KEY_MEDIUM"] == planted["vllm_api_key"]
    assert entries["EXTRA_ENV_MY_SECRET"] == secret_value


def test_every_reference_has_its_line(define, env_of, planted) -> None:
    """Whatever the Compose file refers to stands in .env, and nothing more."""
    changes = {
        **planted,
        "vllm_model_revision": "main",
        "vllm_quantization": "awq_marlin",
        "vllm_pipeline_parallel_size": 2,
        "vllm_tensor_parallel_size": 1,
        "vllm_max_num_seqs": 8,
        "vllm_max_num_batched_tokens": 4096,
        "vllm_extra_options": {"chat-template": "x", "logits-processors": ["a", "b"], "mm-processor-kwargs.a": {}},
        "vllm_extra_env": {"A": 1, "b": True, "EMPTY": ""},
    }
    found, problems, _warnings = define(**changes)
    assert problems == []
    used = {argument[2:-1] for argument in found["command"] if argument.startswith("${")}
    used |= set(found["environment"].values()) | set(found["prefetch"]["environment"].values())
    assert used == set(env_of(**changes))
    assert env_of(**changes)["EXTRA_ENV_b"] == "true"


def test_line_breaks_inside_json_are_fine(define, env_of) -> None:
    """JSON writes them as \\n, so such a value has a line of its own."""
    changes = {"vllm_hf_overrides": {"a": "x\ny"}}
    _found, problems, _warnings = define(**changes)
    assert problems == []
    assert json.loads(env_of(**changes)["VLLM_HF_OVERRIDES_MEDIUM"]) == {"a": "x\ny"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vllm_extra_env", {"B": "1", "A": "2", "C": "3"}),
        ("vllm_extra_options", {"seed": 1, "block-size": 16, "swap-space": 4}),
        ("vllm_hf_overrides", {"b": 1, "a": {"d": 2, "c": 3}}),
    ],
)
def test_order_of_keys_makes_no_release(name, value, define, env_of) -> None:
    """AWX keeps variables as JSON, in another order than the file they came from."""
    turned = dict(reversed(value.items()))
    assert list(turned) != list(value)
    settings = {"vllm_check_options": False}
    given, other = (define(**settings, **{name: found})[0] for found in (value, turned))
    assert given == other
    assert list(env_of(**settings, **{name: value}).items()) == list(env_of(**settings, **{name: turned}).items())


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("vllm_prot", "vllm_port"),
        ("vllm_gpu_device", "vllm_gpu_devices"),
        ("vllm_max_model_length", "vllm_max_model_len"),
        ("vllm_zzzzqqqq", ""),
    ],
)
def test_misspelt(given, near, options) -> None:
    """A name that nobody defines is found, with the nearest that exists."""
    assert definition.unknown_variables([given, "vllm_port"], list(options)) == [(given, near)]


def test_nothing_misspelt(options) -> None:
    """Known names are no finding."""
    assert definition.unknown_variables(list(options), list(options)) == []


@pytest.mark.parametrize(
    ("address", "key", "publish", "base_url", "warned"),
    [
        pytest.param("", "", "127.0.0.1", "http://127.0.0.1:5002", False, id="default"),
        pytest.param("", "key", "0.0.0.0", "http://127.0.0.1:5002", False, id="key"),
        pytest.param("0.0.0.0", "", "0.0.0.0", "http://127.0.0.1:5002", True, id="everywhere-without-key"),
        pytest.param("0.0.0.0", "key", "0.0.0.0", "http://127.0.0.1:5002", False, id="everywhere-with-key"),
        pytest.param("192.0.2.7", "", "192.0.2.7", "http://192.0.2.7:5002", True, id="one-address"),
        pytest.param("127.0.0.1", "key", "127.0.0.1", "http://127.0.0.1:5002", False, id="loopback-with-key"),
        pytest.param("localhost", "", "localhost", "http://127.0.0.1:5002", False, id="localhost"),
        pytest.param("::1", "", "::1", "http://[::1]:5002", False, id="loopback-6"),
        pytest.param("::", "", "::", "http://[::1]:5002", True, id="everywhere-6"),
        pytest.param("2001:db8::7", "key", "2001:db8::7", "http://[2001:db8::7]:5002", False, id="one-address-6"),
    ],
)
def test_publish_address(address, key, publish, base_url, warned, define) -> None:
    """Without a key the service is on the loopback, unless asked for otherwise, which gives a warning."""
    found, problems, warnings = define(vllm_publish_address=address, vllm_api_key=key)
    assert problems == []
    assert (found["publish_address"], found["base_url"]) == (publish, base_url)
    assert any(text.startswith("vllm_publish_address: ") for text in warnings) is warned


def test_local_model_and_paths(define) -> None:
    """A local model is mounted read-only at its own path; caches that are paths are no named volumes."""
    found, problems, _warnings = define(
        vllm_model="/srv/models/qwen", vllm_hf_cache="/srv/hf", vllm_extra_volumes=["/a:/b:ro"]
    )
    assert problems == []
    assert found["model_is_local"] is True
    assert found["volumes"] == [
        "/srv/hf:/root/.cache/huggingface",
        "vllm-compile-cache:/root/.cache/vllm",
        "/srv/models/qwen:/srv/models/qwen:ro",
        "/a:/b:ro",
    ]
    assert found["named_volumes"] == ["vllm-compile-cache"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("medium", "MEDIUM"), ("small-2", "SMALL_2"), ("a_b", "A_B")],
    ids=["medium", "dash", "underscore"],
)
def test_suffix(name, suffix, define, env_of) -> None:
    """Names of another service get its suffix, and stay usable names."""
    found, problems, _warnings = define(vllm_name=name)
    assert problems == []
    assert found["suffix"] == suffix
    assert found["dir"] == "/opt/vllm/" + name
    assert "VLLM_PORT_" + suffix in env_of(vllm_name=name)
    assert all(dotenv.NAME.match(entry) for entry in env_of(vllm_name=name))


def test_trust_remote_code_warns(define) -> None:
    """Running the repository's code is never silent."""
    _found, _problems, warnings = define(vllm_trust_remote_code=True)
    assert len(warnings) == 1
    assert "vllm_model_revision" in warnings[0]


@pytest.mark.parametrize(
    ("given", "near"),
    [
        (["vlm_port"], "vllm_port"),
        (["VLLM_PORT"], "vllm_port"),
        (["vllm-port"], "vllm_port"),
        (["vllmport"], "vllm_port"),
        (["Vllm_Model"], "vllm_model"),
        (["vlm_max_model_len"], "vllm_max_model_len"),
        (["dockerengine_install"], "docker_engine_install"),
    ],
)
def test_near_misses(given, near, options) -> None:
    """What is nearly one of ours is named with it, but not where ours is said too: then it is the operator's own."""
    known = [*options, "docker_engine_install"]
    assert definition.near_misses(given, known) == [(given[0], near)]
    assert definition.near_misses([*given, near], known) == []


def test_no_near_misses(options) -> None:
    """Names of Ansible, of other people and of the environment are nobody's slips."""
    theirs = ["ansible_port", "port", "model", "my_port", "VLLM_LOGGING_LEVEL", "llm_model_name", "inventory_dir"]
    assert definition.near_misses(theirs, list(options)) == []
    # what a role keeps for itself
    assert definition.near_misses(["__docker_engine_source"], ["docker_engine_source"]) == []
