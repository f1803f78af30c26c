# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, and in which words."""

from __future__ import annotations

import json

import pytest
from definition_cases import messages

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    definition,
    names,
    rules,
    serve_options,
    vllm_options,
)

BAD = [
    pytest.param({"vllm_port": "abc"}, ["vllm_port"], "'abc' is not a whole number", id="port-text"),
    pytest.param({"vllm_port": 0}, ["vllm_port"], "1 to 65535", id="port-0"),
    pytest.param({"vllm_port": 70000}, ["vllm_port"], "70000 is not a TCP port", id="port-70000"),
    pytest.param({"vllm_port": True}, ["vllm_port"], "whole number", id="port-true"),
    pytest.param({"vllm_port": 5002.5}, ["vllm_port"], "whole number", id="port-fraction"),
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
    pytest.param({"vllm_restart_policy": False}, ["vllm_restart_policy"], "need quotes", id="restart-no-unquoted"),
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
    pytest.param({"vllm_name": "../x"}, ["vllm_name"], "no service name", id="name-path"),
    pytest.param({"vllm_name": "m" * 41}, ["vllm_name"], "at most 40", id="name-long"),
    pytest.param({"vllm_container_name": "a b"}, ["vllm_container_name"], "no container name", id="container-space"),
    pytest.param({"vllm_version": "latest"}, ["vllm_version"], "no version", id="version-latest"),
    pytest.param({"vllm_model": "a/b/c"}, ["vllm_model"], "Hugging Face id", id="model-slashes"),
    pytest.param({"vllm_model": "./here"}, ["vllm_model"], "Hugging Face id", id="model-relative"),
    pytest.param({"vllm_model": "/with space"}, ["vllm_model"], "mounted safely", id="model-space"),
    pytest.param({"vllm_model": "/a:b"}, ["vllm_model"], "mounted safely", id="model-colon"),
    pytest.param({"vllm_served_model_name": ["a", ""]}, ["vllm_served_model_name"], "is empty", id="served-empty"),
    pytest.param({"vllm_served_model_name": {"a": 1}}, ["vllm_served_model_name"], "not usable", id="served-dict"),
    pytest.param({"vllm_max_model_len": "long"}, ["vllm_max_model_len"], "a number of tokens", id="length-word"),
    pytest.param({"vllm_max_model_len": True}, ["vllm_max_model_len"], "a number of tokens", id="length-bool"),
    pytest.param({"vllm_max_model_len": "1.5"}, ["vllm_max_model_len"], "a number of tokens", id="length-half"),
    pytest.param(
        {"vllm_max_model_len": "auto", "vllm_version": "0.13.0"},
        ["vllm_max_model_len"],
        "0.14 is the first",
        id="length-auto-old",
    ),
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
    *[
        pytest.param({"vllm_extra_volumes": [mount]}, ["vllm_extra_volumes"], words, id="mount-" + mount)
        for mount, words in (
            ("./x:/x", "absolute path"),
            ("~/x:/x", "absolute path"),
            ("x/y:/x", "absolute path"),
            ("/:/host", "hands the whole host"),
            ("//:/host:ro", "hands the whole host"),
            ("/var/run/docker.sock:/s", "hands Docker"),
            ("/run/../run/docker.sock:/s", "hands Docker"),
            ("/a:/root/.cache/huggingface", "would hide the downloaded models"),
            ("/a:/root", "would hide the downloaded models"),
            ("/a:/root/.cache/vllm/", "would hide vLLM's compile cache"),
            ("/a:/", "would hide the whole image"),
            ("/a:/b:readonly", "is no way to mount"),
        )
    ],
    pytest.param({"vllm_extra_volumes": ["/a:/b", "/c:/b"]}, ["vllm_extra_volumes"], "hide another", id="mount-twice"),
    pytest.param(
        {"vllm_extra_env": {"HF_HOME": "/data/hf"}}, ["vllm_extra_env"], "nothing is mounted", id="env-hf-home"
    ),
    *[
        pytest.param({"vllm_dir": folder}, ["vllm_dir"], "belongs to the system", id="dir-" + folder)
        for folder in (
            "/etc",
            "/etc/vllm",
            "/usr/",
            "/var/lib/docker",
            "/opt",
            "/opt/",
            "//etc",
            "/opt/../etc/x",
            "/root",
        )
    ],
    *[
        pytest.param({"vllm_host": host}, ["vllm_host"], words, id="host-" + host)
        for host, words in (
            ("local host", "no IP address"),
            ("localhost", "no IP address"),
            ("127.0.0.1", "reached by nobody"),
            ("::1", "reached by nobody"),
            ("192.0.2.7", "reached by nobody"),
        )
    ],
    *[
        pytest.param({name: 10**30}, [name], "Use 1 to 2147483647", id="%s-too-many" % name)
        for name in ("vllm_max_num_seqs", "vllm_max_model_len")
    ],
    *[
        pytest.param({"vllm_api_key": key}, ["vllm_api_key"], "no HTTP header carries", id="key-" + what)
        for key, what in (("a b", "space"), ("schlüssel", "not-ascii"), ("a\tb", "tab"))
    ],
    *[
        pytest.param({"vllm_extra_env": {name: "x"}}, ["vllm_extra_env"], "is refused", id="env-" + name)
        for name in ("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONHOME")
    ],
    *[
        pytest.param({"vllm_extra_options": {name: value}}, ["vllm_extra_options"], "is refused", id="option-" + name)
        for name, value in (
            ("config", "/srv/vllm.yml"),
            ("headless", True),
            ("uds", "/run/vllm.sock"),
            ("ssl-cert-reqs", 2),
        )
    ],
    pytest.param(
        {"vllm_extra_options": {"enable-auto-tool-choice": True}},
        ["vllm_extra_options"],
        "needs tool-call-parser",
        id="tools-without-parser",
    ),
    *[
        pytest.param(
            {"vllm_gpu_devices": gpus, "vllm_tensor_parallel_size": size, "vllm_extra_options": options},
            ["vllm_tensor_parallel_size"],
            words,
            id="parallel-" + what,
        )
        for gpus, size, options, words, what in (
            (
                [0],
                1,
                {"data-parallel-size": 2},
                "x data-parallel-size 2 = 2 GPUs) differs from the 1",
                "one-gpu-for-two",
            ),
            ([0, 1], 2, {"dp": "2"}, "x data-parallel-size 2 = 4 GPUs) differs from the 2", "two-gpus-for-four"),
            ([0, 1], 1, {"data-parallel-size": 4, "data-parallel-size-local": 4}, "-local 4 = 4 GPUs", "local"),
            (["MIG-1", "MIG-2"], 2, {}, "cannot be split over MIG instances", "mig"),
        )
    ],
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
        {"vllm_extra_options": {"mm-processor-kwargs.a_b": 1, "mm-processor-kwargs.a.b": 2}},
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
        {"vllm_extra_env": {"VLLM_SERVER_DEV_MODE": "1"}}, ["vllm_extra_env"], "set vllm_dev_mode", id="env-dev-mode"
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
    _found, problems, _warnings = define(vllm_port="abc", vllm_gpu_memory_utilization=2, vllm_gpu_devices="x")
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


@pytest.mark.parametrize(
    "spelling",
    [
        *serve_options.variables(),
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
    wanted = serve_options.variables()[serve_options.option_name(spelling).partition(".")[0].removeprefix("no-")]
    assert problems[0]["message"].endswith("set %s." % wanted)


@pytest.mark.parametrize(
    ("accelerator", "name", "refused"),
    [
        *[pytest.param("nvidia", name, True, id="nvidia-" + name) for name in names.FIRST_CLASS_ENV],
        *[pytest.param("nvidia", name, True, id="nvidia-" + name) for name in names.FORBIDDEN_ENV],
        *[pytest.param("nvidia", name, False, id="nvidia-" + name) for name in names.FIRST_CLASS_ENV_CPU],
        *[pytest.param("cpu", name, True, id="cpu-" + name) for name in names.FIRST_CLASS_ENV_CPU],
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
        *serve_options.variables().values(),
        *names.FIRST_CLASS_ENV.values(),
        *names.FIRST_CLASS_ENV_CPU.values(),
        *rules.INT_LIMITS,
        *names.SECRETS,
    }
    assert named <= set(options)


@pytest.mark.parametrize("name", names.SECRETS)
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


@pytest.mark.parametrize("address", ["gpu-host", "999.1.1.1", "1.2.3", "...", "5002", ":::", "0.0.0.0:80", "$X"])
def test_publish_address_refused(address, define) -> None:
    """Docker publishes on IP addresses only."""
    _found, problems, _warnings = define(vllm_publish_address=address)
    assert [item["variable"] for item in problems] == ["vllm_publish_address"]


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
    ("changes", "variable", "words"),
    [
        ({"vllm_quantization": "awqq"}, "vllm_quantization", "knows no 'awqq'. Did you mean awq?"),
        ({"vllm_extra_options": {"tool-call-parser": "hermez"}}, "vllm_extra_options", "Did you mean hermes?"),
        ({"vllm_extra_options": {"attention_backend": "FLASHIN"}}, "vllm_extra_options", "Did you mean FLASHINFER?"),
        (
            {"vllm_version": "0.33.0", "vllm_kv_cache_dtype": "fp88"},
            "vllm_kv_cache_dtype",
            "vLLM 0.33.0 knows no 'fp88'",
        ),
    ],
    ids=str,
)
def test_what_the_release_does_not_know(changes, variable, words, define) -> None:
    """Its engine would end on it minutes later; an image of one's own may know more than its release."""
    found, problems, _warnings = define(**changes)
    assert found == {}
    assert [item["variable"] for item in problems] == [variable]
    assert words in problems[0]["message"]
    assert len(define(**changes, vllm_image="own/vllm:v%s" % changes.get("vllm_version", "0.32.0"))[1]) == 1
    assert define(**changes, vllm_image="own/vllm:ours")[1] == []
    assert define(**changes, vllm_check_options=False)[1] == []


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


@pytest.mark.parametrize(
    "changes",
    [
        {"vllm_gpu_devices": [0, 1], "vllm_tensor_parallel_size": 1, "vllm_extra_options": {"data-parallel-size": 2}},
        {
            "vllm_gpu_devices": [0],
            "vllm_tensor_parallel_size": 1,
            "vllm_extra_options": {"data-parallel-size": 2, "data-parallel-size-local": 1},
        },
        {"vllm_gpu_devices": ["MIG-1"], "vllm_tensor_parallel_size": 1},
        {"vllm_host": "::"},
        # paths without it are answered, too: starlette/_utils.py, get_route_path
        {"vllm_extra_options": {"root-path": "/llm"}},
        {"vllm_dir": "/var/lib/vllm"},
        {"vllm_dir": "/root/vllm"},
        {"vllm_extra_volumes": ["models:/models:ro", "/srv/x:/x:ro,z"], "vllm_extra_env": {"HF_HOME": "/models/hf"}},
        {"vllm_extra_env": {"HF_HOME": "/root/.cache/huggingface"}},
        {"vllm_extra_options": {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}},
        {"vllm_api_key": "a!#$%&*+-./:=?@_~9Z"},
    ],
    ids=str,
)
def test_accepted(changes, define) -> None:
    """What is near to something refused, and right."""
    assert define(**changes)[1] == []
