# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of the service: what is accepted, what is refused with which words, and where secrets go."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition, vllm_options

GPUS_01 = ["0", "1"]
UUIDS = ["GPU-57a4d140-0000-4000-8000-000000000000", "GPU-57a4d140-0000-4000-8000-000000000001"]


def messages(problems: list[dict]) -> str:
    """All messages as one text."""
    return "\n".join(item["message"] for item in problems)


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
        "vllm_extra_options": {"chat-template": "x", "logits-processors": ["a", "b"], "kernel-config.a": {"b": 1}},
        "vllm_extra_env": {"A": 1, "b": True, "EMPTY": ""},
    }
    found, problems, _warnings = define(**changes)
    assert problems == []
    used = {argument[2:-1] for argument in found["command"] if argument.startswith("${")}
    used |= set(found["environment"].values()) | set(found["prefetch"]["environment"].values())
    assert used == set(env_of(**changes))
    assert env_of(**changes)["EXTRA_ENV_b"] == "true"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param([0, 1], GPUS_01, id="list"),
        pytest.param((0, 1), GPUS_01, id="tuple"),
        pytest.param("0,1", GPUS_01, id="text"),
        pytest.param(" 0 , 1 ", GPUS_01, id="text-with-spaces"),
        pytest.param(["0", "1"], GPUS_01, id="list-of-texts"),
        pytest.param("[0,1]", GPUS_01, id="list-in-text"),
        pytest.param("['0', '1']", GPUS_01, id="list-of-texts-in-text"),
        pytest.param([1, 0], ["1", "0"], id="order-kept"),
        pytest.param(0, ["0"], id="number-0"),
        pytest.param("0", ["0"], id="text-0"),
        pytest.param("00", ["0"], id="leading-zero"),
        pytest.param(UUIDS, UUIDS, id="uuids"),
        pytest.param(",".join(UUIDS), UUIDS, id="uuids-in-text"),
        pytest.param(["MIG-57a4d140-1/2/3".replace("/", "-")], ["MIG-57a4d140-1-2-3"], id="mig"),
    ],
)
def test_gpu_devices_accepted(given, expected, define, env_of) -> None:
    """Every spelling gives the same ids, in the definition and in .env."""
    changes = {"vllm_gpu_devices": given, "vllm_tensor_parallel_size": len(expected)}
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["gpu_devices"] == expected
    assert env_of(**changes)["CUDA_VISIBLE_DEVICES_MEDIUM"] == ",".join(expected)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("0,,1", id="empty-entry"),
        pytest.param("0,1,", id="comma-at-end"),
        pytest.param([0, 0], id="twice"),
        pytest.param("0,0", id="twice-in-text"),
        pytest.param([0, "00"], id="twice-by-other-spelling"),
        pytest.param("", id="empty-text"),
        pytest.param([], id="empty-list"),
        pytest.param("a", id="letter"),
        pytest.param("all", id="all"),
        pytest.param("0 1", id="space-for-comma"),
        pytest.param("[0,1", id="broken-list"),
        pytest.param("{}", id="braces"),
        pytest.param({"0": 1}, id="dict"),
        pytest.param(True, id="true"),
        pytest.param([True], id="list-of-true"),
        pytest.param(None, id="null"),
        pytest.param([None], id="list-of-null"),
        pytest.param([-1], id="negative"),
        pytest.param("-1", id="negative-text"),
        pytest.param(1.5, id="fraction"),
        pytest.param([0.5], id="list-of-fraction"),
    ],
)
def test_gpu_devices_refused(given, define) -> None:
    """Nothing is guessed: what names no GPU, or one twice, is refused by name."""
    found, problems, _warnings = define(vllm_gpu_devices=given, vllm_tensor_parallel_size=1)
    assert found == {}
    assert [item["variable"] for item in problems] == ["vllm_gpu_devices"]
    assert problems[0]["message"].startswith("vllm_gpu_devices: ")


BAD = [
    pytest.param({"vllm_port": "abc"}, ["vllm_port"], "'abc' is not a whole number", id="port-text"),
    pytest.param({"vllm_port": 0}, ["vllm_port"], "1 to 65535", id="port-0"),
    pytest.param({"vllm_port": 70000}, ["vllm_port"], "70000 is not a TCP port", id="port-70000"),
    pytest.param({"vllm_port": True}, ["vllm_port"], "whole number", id="port-true"),
    pytest.param({"vllm_port": 5002.5}, ["vllm_port"], "whole number", id="port-fraction"),
    pytest.param({"vllm_port": None}, ["vllm_port"], "null", id="port-null"),
    pytest.param({"vllm_port": ""}, ["vllm_port"], "whole number", id="port-empty"),
    pytest.param({"vllm_port": [5002]}, ["vllm_port"], "whole number", id="port-list"),
    pytest.param(
        {"vllm_tensor_parallel_size": 4}, ["vllm_tensor_parallel_size"], "differs from the 2 GPUs", id="tp-not-gpus"
    ),
    pytest.param(
        {"vllm_pipeline_parallel_size": 2}, ["vllm_tensor_parallel_size"], "= 4 GPUs", id="tp-times-pp-not-gpus"
    ),
    pytest.param({"vllm_tensor_parallel_size": 0}, ["vllm_tensor_parallel_size"], "1 or more", id="tp-0"),
    pytest.param({"vllm_gpu_memory_utilization": 0}, ["vllm_gpu_memory_utilization"], "(0, 1]", id="share-0"),
    pytest.param({"vllm_gpu_memory_utilization": 1.2}, ["vllm_gpu_memory_utilization"], "(0, 1]", id="share-1.2"),
    pytest.param({"vllm_gpu_memory_utilization": "abc"}, ["vllm_gpu_memory_utilization"], "a number", id="share-abc"),
    pytest.param({"vllm_gpu_memory_utilization": "nan"}, ["vllm_gpu_memory_utilization"], "(0, 1]", id="share-nan"),
    pytest.param({"vllm_gpu_memory_utilization": True}, ["vllm_gpu_memory_utilization"], "a number", id="share-true"),
    pytest.param({"vllm_accelerator": "nvida"}, ["vllm_accelerator"], "Did you mean nvidia?", id="accelerator"),
    pytest.param({"vllm_accelerator": "rocm"}, ["vllm_accelerator"], "nvidia, cpu", id="accelerator-rocm"),
    pytest.param({"vllm_restart_policy": False}, ["vllm_restart_policy"], "choose one of", id="restart-no-unquoted"),
    pytest.param({"vllm_model_gated": True}, ["vllm_hf_token"], "gated", id="gated-without-token"),
    pytest.param({"vllm_model_gated": "perhaps"}, ["vllm_model_gated"], "true or false", id="gated-perhaps"),
    pytest.param({"vllm_ipc": "host"}, ["vllm_shm_size"], "ignored by Docker", id="ipc-host-with-shm"),
    pytest.param({"vllm_shm_size": ""}, ["vllm_shm_size"], "64 MiB", id="ipc-private-without-shm"),
    pytest.param({"vllm_shm_size": "lots"}, ["vllm_shm_size"], "no size", id="shm-lots"),
    pytest.param({"vllm_shm_size": "0gb"}, ["vllm_shm_size"], "no size", id="shm-0"),
    pytest.param({"vllm_shm_size": "-1gb"}, ["vllm_shm_size"], "no size", id="shm-negative"),
    pytest.param({"vllm_shm_size": "16tb"}, ["vllm_shm_size"], "no size", id="shm-unit"),
    pytest.param({"vllm_max_model_len": 0}, ["vllm_max_model_len"], "out of range", id="len-0"),
    pytest.param({"vllm_max_num_seqs": 0}, ["vllm_max_num_seqs"], "out of range", id="seqs-0"),
    pytest.param({"vllm_healthcheck_start_period_s": -1}, ["vllm_healthcheck_start_period_s"], "0 or more", id="start"),
    pytest.param({"vllm_healthcheck_interval_s": 0}, ["vllm_healthcheck_interval_s"], "1 or more", id="interval-0"),
    pytest.param({"vllm_name": "Medium"}, ["vllm_name"], "lower-case", id="name-upper-case"),
    pytest.param({"vllm_name": ""}, ["vllm_name"], "no service name", id="name-empty"),
    pytest.param({"vllm_name": "../x"}, ["vllm_name"], "no service name", id="name-path"),
    pytest.param({"vllm_name": "m" * 41}, ["vllm_name"], "at most 40", id="name-long"),
    pytest.param({"vllm_container_name": "a b"}, ["vllm_container_name"], "no container name", id="container-space"),
    pytest.param({"vllm_version": "latest"}, ["vllm_version"], "no version", id="version-latest"),
    pytest.param({"vllm_model": "a/b/c"}, ["vllm_model"], "Hugging Face id", id="model-slashes"),
    pytest.param({"vllm_model": "./here"}, ["vllm_model"], "Hugging Face id", id="model-relative"),
    pytest.param({"vllm_model": "/with space"}, ["vllm_model"], "mounted safely", id="model-space"),
    pytest.param({"vllm_model": "/a:b"}, ["vllm_model"], "mounted safely", id="model-colon"),
    pytest.param({"vllm_served_model_name": "  "}, ["vllm_served_model_name"], "is empty", id="served-empty"),
    pytest.param({"vllm_dir": "opt/vllm"}, ["vllm_dir"], "absolute", id="dir-relative"),
    pytest.param({"vllm_dir": "/"}, ["vllm_dir"], "below /", id="dir-root"),
    pytest.param({"vllm_image": "a b"}, ["vllm_image"], "no image reference", id="image-space"),
    pytest.param({"vllm_image": "${X}"}, ["vllm_image"], "no image reference", id="image-dollar"),
    pytest.param({"vllm_hf_cache": "rel/path"}, ["vllm_hf_cache"], "volume name", id="cache-relative"),
    pytest.param({"vllm_hf_cache": "vllm-compile-cache"}, ["vllm_compile_cache"], "the same", id="caches-same"),
    pytest.param({"vllm_extra_volumes": ["/data"]}, ["vllm_extra_volumes"], "no mount", id="mount-without-target"),
    pytest.param({"vllm_extra_volumes": ["a:b"]}, ["vllm_extra_volumes"], "no mount", id="mount-relative"),
    pytest.param({"vllm_extra_volumes": ["$X:/b"]}, ["vllm_extra_volumes"], "no mount", id="mount-dollar"),
    pytest.param({"vllm_extra_volumes": [":/b"]}, ["vllm_extra_volumes"], "no mount", id="mount-no-source"),
    pytest.param({"vllm_extra_volumes": {"a": 1}}, ["vllm_extra_volumes"], "not a list", id="mounts-dict"),
    pytest.param({"vllm_hf_overrides": "{bad"}, ["vllm_hf_overrides"], "not a dictionary", id="overrides-no-json"),
    pytest.param({"vllm_extra_options": ["a"]}, ["vllm_extra_options"], "not a dictionary", id="options-list"),
    pytest.param({"vllm_extra_options": {"a": None}}, ["vllm_extra_options"], "no value", id="option-null"),
    pytest.param({"vllm_extra_options": {"a b": 1}}, ["vllm_extra_options"], "no option name", id="option-space"),
    pytest.param({"vllm_extra_options": {"a=b": 1}}, ["vllm_extra_options"], "no option name", id="option-equals"),
    pytest.param({"vllm_extra_options": {"A": 1}}, ["vllm_extra_options"], "no option name", id="option-upper-case"),
    pytest.param({"vllm_extra_options": {"": 1}}, ["vllm_extra_options"], "no option name", id="option-empty"),
    pytest.param(
        {"vllm_extra_options": {"max-log-len": 1, "--max_log_len": 2}},
        ["vllm_extra_options"],
        "the same option",
        id="option-2x",
    ),
    pytest.param(
        {"vllm_extra_options": {"no-numa-bind": True, "numa-bind": True}},
        ["vllm_extra_options"],
        "the same option",
        id="option-no",
    ),
    pytest.param(
        {"vllm_extra_options": {"kernel-config.a_b": 1, "kernel-config.a.b": 2}},
        ["vllm_extra_options"],
        "same",
        id="options-with-one-env-name",
    ),
    pytest.param({"vllm_extra_env": {"A-B": 1}}, ["vllm_extra_env"], "no variable name", id="env-dash"),
    pytest.param({"vllm_extra_env": {"1A": 1}}, ["vllm_extra_env"], "no variable name", id="env-digit"),
    pytest.param({"vllm_extra_env": {"A\n": 1}}, ["vllm_extra_env"], "no variable name", id="env-newline-in-name"),
    pytest.param({"vllm_extra_env": {"A": None}}, ["vllm_extra_env"], "no plain value", id="env-null"),
    pytest.param({"vllm_extra_env": {"A": [1]}}, ["vllm_extra_env"], "no plain value", id="env-list"),
    pytest.param({"vllm_extra_env": {"VLLM_PORT": "1"}}, ["vllm_extra_env"], "use vllm_port", id="env-vllm-port"),
    pytest.param(
        {"vllm_extra_env": {"VLLM_SERVER_DEV_MODE": "1"}}, ["vllm_extra_env"], "unauthenticated", id="env-dev-mode"
    ),
]


@pytest.mark.parametrize(("changes", "variables", "words"), BAD)
def test_refused(changes, variables, words, define) -> None:
    """A bad value gives one problem, which names the variable first, and no definition."""
    found, problems, _warnings = define(**changes)
    assert found == {}
    assert [item["variable"] for item in problems] == variables, messages(problems)
    assert problems[0]["message"].startswith(variables[0] + ": ")
    assert words in problems[0]["message"]


def test_all_problems_at_once(define) -> None:
    """The operator gets the whole list, not the first entry."""
    _found, problems, _warnings = define(vllm_port="abc", vllm_gpu_memory_utilization=2, vllm_gpu_devices="")
    assert {item["variable"] for item in problems} == {"vllm_port", "vllm_gpu_memory_utilization", "vllm_gpu_devices"}


TEXT_VARIABLES = (
    "vllm_name",
    "vllm_version",
    "vllm_image",
    "vllm_model",
    "vllm_model_revision",
    "vllm_served_model_name",
    "vllm_quantization",
    "vllm_kv_cache_dtype",
    "vllm_host",
    "vllm_publish_address",
    "vllm_container_name",
    "vllm_shm_size",
    "vllm_dir",
    "vllm_hf_cache",
    "vllm_compile_cache",
    "vllm_cpu_omp_threads_bind",
    "vllm_hf_token",
    "vllm_api_key",
)


@pytest.mark.parametrize("ending", ["\n", "\nX", "\r"], ids=["newline-at-end", "newline-inside", "carriage-return"])
@pytest.mark.parametrize("name", TEXT_VARIABLES)
def test_line_breaks_refused(name, ending, define, values) -> None:
    """A line break would put a second line into .env or the Compose file; `$` in a pattern lets one at the end pass."""
    text = {"vllm_image": "a/b", "vllm_publish_address": "127.0.0.1"}.get(name) or values()[name] or "abc"
    found, problems, _warnings = define(**{name: text + ending})
    assert found == {}
    assert {item["variable"] for item in problems} == {name}


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        pytest.param({"vllm_extra_env": {"A": "x\ny"}}, "vllm_extra_env", id="env"),
        pytest.param({"vllm_extra_options": {"a": "x\ny"}}, "vllm_extra_options", id="option"),
        pytest.param({"vllm_extra_options": {"a": ["x", "x\ny"]}}, "vllm_extra_options", id="option-list"),
        pytest.param({"vllm_extra_volumes": ["a:/b\n"]}, "vllm_extra_volumes", id="mount"),
        pytest.param({"vllm_extra_env": {"A": "x\\"}}, "vllm_extra_env", id="env-backslash-at-end"),
        pytest.param(
            {"vllm_extra_options": {"a": {"b": "\\'"}}}, "vllm_extra_options", id="option-dict-backslash-quote"
        ),
        pytest.param({"vllm_hf_overrides": {"b": "\\'"}}, "vllm_hf_overrides", id="overrides-backslash-quote"),
        pytest.param({"vllm_served_model_name": "a\\"}, "vllm_served_model_name", id="served-backslash-at-end"),
    ],
)
def test_what_no_env_line_can_carry(changes, variable, define) -> None:
    """Refused with the variable's name here, not by a filter that knows no names later."""
    found, problems, _warnings = define(**changes)
    assert found == {}
    assert [item["variable"] for item in problems] == [variable]


def test_line_breaks_inside_json_are_fine(define, env_of) -> None:
    """JSON writes them as \\n, so such a value has a line of its own."""
    changes = {"vllm_hf_overrides": {"a": "x\ny"}}
    _found, problems, _warnings = define(**changes)
    assert problems == []
    assert json.loads(env_of(**changes)["VLLM_HF_OVERRIDES_MEDIUM"]) == {"a": "x\ny"}


@pytest.mark.parametrize("accepted", [5002, "5002", " 5002 ", 5002.0], ids=repr)
def test_numbers_from_the_command_line(accepted, define) -> None:
    """`-e vllm_port=5002` is a text."""
    found, problems, _warnings = define(vllm_port=accepted)
    assert problems == []
    assert found["port"] == 5002


@pytest.mark.parametrize(
    "spelling",
    [
        *definition.FIRST_CLASS_OPTIONS,
        "max_model_len",
        "--max-model-len",
        "--max_model_len",
        " --max-model-len ",
        "-tp",
        "tp",
        "-pp",
        "-q",
        "no-trust-remote-code",
        "--no-enforce-eager",
        "no_enforce_eager",
        "hf_overrides.rope_parameters.factor",
        "--hf-overrides.rope",
        "served_model_name",
    ],
)
def test_first_class_options_refused_in_every_spelling(spelling, define) -> None:
    """An option with a variable of its own would stand on the command line twice."""
    _found, problems, _warnings = define(vllm_extra_options={spelling: 1})
    assert [item["variable"] for item in problems] == ["vllm_extra_options"]
    wanted = definition.FIRST_CLASS_OPTIONS[definition.option_name(spelling).partition(".")[0].removeprefix("no-")]
    assert problems[0]["message"].endswith("set %s." % wanted)


@pytest.mark.parametrize(
    ("accelerator", "name", "refused"),
    [
        *[pytest.param("nvidia", name, True, id="nvidia-" + name) for name in definition.FIRST_CLASS_ENV],
        *[pytest.param("nvidia", name, True, id="nvidia-" + name) for name in definition.FORBIDDEN_ENV],
        *[pytest.param("nvidia", name, False, id="nvidia-" + name) for name in definition.FIRST_CLASS_ENV_CPU],
        *[pytest.param("cpu", name, True, id="cpu-" + name) for name in definition.FIRST_CLASS_ENV_CPU],
        pytest.param("cpu", "HTTPS_PROXY", False, id="free"),
    ],
)
def test_first_class_env(accelerator, name, refused, define) -> None:
    """A container variable that the collection sets itself is refused, with the variable to use."""
    _found, problems, _warnings = define(vllm_accelerator=accelerator, vllm_extra_env={name: "x"})
    assert bool(problems) is refused
    if refused:
        assert problems[0]["message"].startswith("vllm_extra_env: %s " % name)


def test_first_class_names_exist(options) -> None:
    """Messages send the operator to variables that there are."""
    named = {
        *definition.FIRST_CLASS_OPTIONS.values(),
        *definition.FIRST_CLASS_ENV.values(),
        *definition.FIRST_CLASS_ENV_CPU.values(),
        *definition.INT_LIMITS,
        *definition.SECRETS,
    }
    assert named <= set(options)


@pytest.mark.parametrize("name", definition.SECRETS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("PLANTED\nsecond", id="line-break"),
        pytest.param("PLANTED\x00", id="nul"),
        pytest.param("PLANTED\\", id="backslash-at-end"),
        pytest.param("PLANTED\\'x", id="backslash-quote"),
        pytest.param(" PLANTED", id="space-before"),
        pytest.param("PLANTED ", id="space-after"),
        pytest.param(["PLANTED"], id="list"),
        pytest.param({"PLANTED": 1}, id="dict"),
    ],
)
def test_bad_secrets_are_not_shown(name, value, define) -> None:
    """The message says what is wrong with a secret without showing it."""
    found, problems, warnings = define(**{name: value})
    assert found == {}
    assert [item["variable"] for item in problems] == [name]
    assert "PLANTED" not in json.dumps([problems, warnings])


@pytest.mark.parametrize(("changes", "variables", "words"), [*BAD])
def test_no_message_shows_a_secret(changes, variables, words, define, planted) -> None:
    """Whatever is wrong elsewhere: no message and no warning holds a secret."""
    _found, problems, warnings = define(**{**planted, "vllm_trust_remote_code": True, **changes})
    assert "PLANTED" not in json.dumps([problems, warnings])


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
    "given",
    [
        pytest.param("KEY=PLANTED", id="text"),
        pytest.param(["KEY=PLANTED"], id="list"),
        pytest.param({"KEY": "PLANTED\nx"}, id="line-break"),
        pytest.param({"KEY": ["PLANTED"]}, id="list-in-dict"),
    ],
)
def test_extra_env_values_are_not_shown(given, define) -> None:
    """Values of vllm_extra_env stand in .env only, in a message neither."""
    _found, problems, warnings = define(vllm_extra_env=given)
    assert problems
    assert "PLANTED" not in json.dumps([problems, warnings])


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
        pytest.param("::", "", "::", "http://127.0.0.1:5002", True, id="everywhere-6"),
        pytest.param("2001:db8::7", "key", "2001:db8::7", "http://[2001:db8::7]:5002", False, id="one-address-6"),
    ],
)
def test_publish_address(address, key, publish, base_url, warned, define) -> None:
    """Without a key the service is on the loopback, unless asked for otherwise, which gives a warning."""
    found, problems, warnings = define(vllm_publish_address=address, vllm_api_key=key)
    assert problems == []
    assert (found["publish_address"], found["base_url"]) == (publish, base_url)
    assert any(text.startswith("vllm_publish_address: ") for text in warnings) is warned


@pytest.mark.parametrize("address", ["gpu-host", "999.1.1.1", "1.2.3", "...", "5002", ":::", "0.0.0.0:80", "$X"])
def test_publish_address_refused(address, define) -> None:
    """Docker publishes on IP addresses only."""
    _found, problems, _warnings = define(vllm_publish_address=address)
    assert [item["variable"] for item in problems] == ["vllm_publish_address"]


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
        pytest.param({"b": 1, "a": True}, ["--a", "--b", "${EXTRA_OPTION_B}"], {"EXTRA_OPTION_B": "1"}, id="by-name"),
    ],
)
def test_extra_options(given, arguments, entries, define, env_of) -> None:
    """Extra options come last; their values stand in .env."""
    changes = {"vllm_extra_options": given, "vllm_check_options": False}  # names that vLLM does not have
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert found["command"][-len(arguments) :] == arguments
    assert found["command"][-len(arguments) - 1] == "${VLLM_PORT_MEDIUM}"
    extra = {name: value for name, value in env_of(**changes).items() if name.startswith("EXTRA_")}
    assert extra == entries


def test_cpu(define, env_of) -> None:
    """On a CPU: its image, no GPU anywhere, its own two variables."""
    changes = {"vllm_accelerator": "cpu", "vllm_gpu_devices": None, "vllm_tensor_parallel_size": 1}
    _found, problems, _warnings = define(**changes)
    assert [item["variable"] for item in problems] == ["vllm_gpu_devices"]
    changes["vllm_gpu_devices"] = ""
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


def test_unset_leaves_the_default_of_vllm(define) -> None:
    """Options without a value are not on the command line; empty overrides neither."""
    found, _problems, _warnings = define(vllm_hf_overrides={}, vllm_enforce_eager=True, vllm_trust_remote_code=True)
    assert "--hf-overrides" not in found["command"]
    assert "--max-num-batched-tokens" not in found["command"]
    assert "--revision" not in found["command"]
    assert "--enforce-eager" in found["command"]
    assert "--trust-remote-code" in found["command"]


def test_trust_remote_code_warns(define) -> None:
    """Running the repository's code is never silent."""
    _found, _problems, warnings = define(vllm_trust_remote_code=True)
    assert len(warnings) == 1
    assert "vllm_model_revision" in warnings[0]


@pytest.mark.parametrize(
    ("changes", "variable", "words"),
    [
        pytest.param(
            {"vllm_version": "0.11.1", "vllm_extra_options": {"rope_scaling": "{}"}},
            "vllm_extra_options",
            "rope-scaling is not taken by vLLM 0.11.1; 0.11.1 removed it. Instead: set rope_parameters",
            id="removed",
        ),
        pytest.param(
            {"vllm_extra_options": {"--max-log-lenn": 1}}, "vllm_extra_options", "Did you mean max-log-len?", id="typo"
        ),
        pytest.param(
            {"vllm_version": "0.11.0", "vllm_kv_cache_dtype": "nvfp4"},
            "vllm_kv_cache_dtype",
            "does not take 'nvfp4' in vLLM 0.11.0",
            id="value-of-a-variable",
        ),
        pytest.param(
            {"vllm_image": "team/vllm:stable", "vllm_extra_options": {"swap-space": 4}},
            "vllm_extra_options",
            "(vllm_image is taken to hold vLLM 0.32.0, as vllm_version says.)",
            id="own-image",
        ),
        pytest.param(
            {"vllm_extra_options": {"device-memory-utilization": 0.5}},
            "vllm_extra_options",
            "set vllm_gpu_memory_utilization.",
            id="other-name-of-a-variable",
        ),
        pytest.param(
            {"vllm_extra_options": {"dp": 1, "data-parallel-size": 2}},
            "vllm_extra_options",
            "are the same option",
            id="two-names-of-one",
        ),
        pytest.param(
            {"vllm_hf_overrides": {"rope_scaling": {"rope_type": "yarn"}}},
            "vllm_hf_overrides",
            "Name it rope_parameters",
            id="old-name-in-overrides",
        ),
    ],
)
def test_what_the_release_does_not_take(changes, variable, words, define) -> None:
    """One problem among the others, under the variable to change."""
    found, problems, _warnings = define(**changes)
    assert found == {}
    assert [item["variable"] for item in problems] == [variable], messages(problems)
    assert words in problems[0]["message"]


def test_release_and_other_problems_in_one_report(define) -> None:
    """A wrong option does not hide a wrong port; a wrong version hides what depends on it."""
    _found, problems, _warnings = define(vllm_port=0, vllm_extra_options={"swap-space": 4})
    assert {item["variable"] for item in problems} == {"vllm_port", "vllm_extra_options"}
    _found, problems, _warnings = define(vllm_version="latest", vllm_extra_options={"swap-space": 4})
    assert [item["variable"] for item in problems] == ["vllm_version"]


@pytest.mark.parametrize("version", vllm_options.versions())
def test_defaults_suit_every_release(version, define) -> None:
    """The medium service and every option with a variable are accepted from 0.11.0 on."""
    _found, problems, warnings = define(
        vllm_version=version,
        vllm_model_revision="main",
        vllm_quantization="awq_marlin",
        vllm_dtype="float16",
        vllm_max_num_seqs=8,
        vllm_max_num_batched_tokens=2048,
        vllm_enforce_eager=True,
        vllm_pipeline_parallel_size=2,
        vllm_tensor_parallel_size=1,
    )
    assert problems == []
    assert warnings == []


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
    ("changes", "words"),
    [
        pytest.param({"vllm_version": "0.99.0"}, "vllm_version: vLLM 0.99.0 is newer than", id="newer"),
        pytest.param({"vllm_image": "x/vllm:v0.11.0"}, "vllm_image: its tag says vLLM 0.11.0", id="tag"),
        pytest.param(
            {"vllm_version": "0.16.0", "vllm_extra_options": {"disable-log-requests": True}},
            "vllm_extra_options: disable-log-requests is deprecated in vLLM 0.16.0: leave it out",
            id="deprecated",
        ),
    ],
)
def test_warned_not_refused(changes, words, define) -> None:
    """What may work is said, once."""
    _found, problems, warnings = define(**changes)
    assert problems == []
    assert len(warnings) == 1
    assert words in warnings[0]


@pytest.mark.parametrize("image", ["", "myia-vllm-cpu:0.32.0", "vllm/vllm-openai:v0.32.0-cu129", "team/vllm@sha256:0"])
def test_images_without_a_warning(image, define) -> None:
    """A tag that agrees, or says nothing."""
    assert define(vllm_image=image)[2] == []


def test_check_can_be_turned_off(define) -> None:
    """For a vLLM with options of its own."""
    changes = {"vllm_extra_options": {"swap-space": 4}, "vllm_kv_cache_dtype": "mine"}
    assert len(define(**changes)[1]) == 2
    assert define(**changes, vllm_check_options=False)[1] == []


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
    given = values(vllm_version=version, vllm_hf_overrides={}, vllm_cudagraph_capture_sizes=given)
    found, problems, _warnings = definition.define(given, options)
    assert problems == []
    entries = dict(definition.env_entries(given, options))
    command = [re.sub(r"\$\{(\w+)\}", lambda name: entries[name[1]], part) for part in found["command"]]
    first = next((index for index, part in enumerate(command) if "graph" in part), len(command))
    assert command[first : first + len(expected)] == expected


@pytest.mark.parametrize("given", [[0], ["many"], [True], [1, 1]])
def test_capture_sizes_that_are_none(values, options, given) -> None:
    """What is no batch size is refused with its variable."""
    _found, problems, _warnings = definition.define(values(vllm_cudagraph_capture_sizes=given), options)
    assert [item["variable"] for item in problems] == ["vllm_cudagraph_capture_sizes"]


def test_capture_sizes_without_graphs(values, options) -> None:
    """Two variables that contradict each other are refused."""
    given = values(vllm_cudagraph_capture_sizes=[1, 2], vllm_enforce_eager=True)
    _found, problems, _warnings = definition.define(given, options)
    assert "vllm_enforce_eager" in problems[0]["message"]


MODEL = {"id": "Qwen/Qwen2.5-32B-Instruct-AWQ", "revision": "", "load_format": "auto"}


def test_prefetch_of_the_medium_service(define) -> None:
    """The model is downloaded before the switch, by a container beside the service's own."""
    found, _problems, _warnings = define()
    assert found["prefetch"] == {
        "models": [MODEL],
        "service": "medium-prefetch",
        "container_name": "myia-vllm-medium-qwen3-prefetch",
        "environment": {},
    }


@pytest.mark.parametrize(
    ("changes", "offline", "token", "models"),
    [
        pytest.param({}, "HF_HUB_OFFLINE", False, 1, id="usual"),
        pytest.param({"vllm_prefetch": False}, None, True, 0, id="off"),
        pytest.param({"vllm_prefetch": "no"}, None, True, 0, id="off-as-text"),
        pytest.param(
            {"vllm_extra_env": {"HF_HUB_OFFLINE": 0}}, "EXTRA_ENV_HF_HUB_OFFLINE", True, 1, id="online-wished"
        ),
        pytest.param({"vllm_extra_env": {"HF_HUB_OFFLINE": 1}}, "EXTRA_ENV_HF_HUB_OFFLINE", False, 1, id="offline-own"),
        pytest.param({"vllm_extra_env": {"VLLM_USE_MODELSCOPE": "True"}}, None, True, 0, id="modelscope"),
        pytest.param({"vllm_model": "/srv/m"}, None, True, 0, id="folder"),
        pytest.param({"vllm_model": "/srv/m", "vllm_prefetch_models": ["a/b"]}, None, True, 1, id="folder-and-more"),
    ],
)
def test_who_asks_the_hub(changes, offline, token, models, define, env_of, planted) -> None:
    """A service that serves offline gets no token; who downloads does. The token stands in .env either way."""
    found, problems, _warnings = define(**planted, **changes)
    assert problems == []
    assert found["environment"].get("HF_HUB_OFFLINE") == offline
    assert ("HF_TOKEN" in found["environment"]) is token
    assert len(found["prefetch"]["models"]) == models
    assert found["prefetch"]["environment"]["HF_TOKEN"] == "HUGGING_FACE_HUB_TOKEN"
    assert env_of(**planted, **changes)["HUGGING_FACE_HUB_TOKEN"] == planted["vllm_hf_token"]


def test_further_repositories_are_found(define) -> None:
    """What options name is downloaded too, each once; folders and methods without a model are not."""
    found, problems, _warnings = define(
        vllm_model_revision="v1",
        vllm_extra_options={
            "load-format": "safetensors",
            "tokenizer": "a/tokenizer",
            "tokenizer-revision": "t1",
            "hf-config-path": "/srv/config",
            "speculative-config": '{"model": "a/draft", "num_speculative_tokens": 3}',
            "lora-modules": ["x=a/adapter", "y=/srv/adapter", {"name": "z", "path": "a/other"}],
        },
        vllm_prefetch_models=["a/draft", "a/code@refs/pr/1"],
    )
    assert problems == []
    assert [tuple(model.values()) for model in found["prefetch"]["models"]] == [
        (MODEL["id"], "v1", "safetensors"),
        ("a/tokenizer", "t1", "auto"),
        ("a/draft", "", "auto"),
        ("a/adapter", "", "auto"),
        ("a/other", "", "auto"),
        ("a/code", "refs/pr/1", "auto"),
    ]
    for speculation in ({"method": "ngram", "model": "ngram"}, "no JSON", {"method": "mtp"}):
        found, _problems, _warnings = define(
            vllm_extra_options={"speculative-config": speculation}, vllm_check_options=False
        )
        assert found["prefetch"]["models"] == [MODEL]


@pytest.mark.parametrize("given", ["a/b/c", "a b", "", "a/b@", "/srv/x", 5, {"id": "a/b"}], ids=str)
def test_prefetch_models_that_are_none(given, define) -> None:
    """Refused with the form that is expected."""
    _found, problems, _warnings = define(vllm_prefetch_models=[given])
    assert "vllm_prefetch_models: %r is no Hugging Face id" % (given,) in messages(problems)


def test_what_the_download_needs_of_the_environment(define) -> None:
    """The hub's own variables, proxies and certificates; nothing else, as it may be a secret of the service."""
    names = ("HF_ENDPOINT", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    others = ("AWS_SECRET_ACCESS_KEY", "NCCL_DEBUG", "MY_HF_THING")
    found, _problems, _warnings = define(vllm_extra_env=dict.fromkeys((*names, *others), "x"))
    assert found["prefetch"]["environment"] == {name: "EXTRA_ENV_" + name for name in names}
