# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles: operator before profile before vLLM, and nothing of a profile in another model or service."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import profiles, serve_options

#: What belongs to the medium's model.
MODEL_BOUND = {
    "vllm_dtype",
    "vllm_gpu_devices",
    "vllm_gpu_memory_utilization",
    "vllm_hf_overrides",
    "vllm_kv_cache_dtype",
    "vllm_max_model_len",
    "vllm_max_num_seqs",
    "vllm_served_model_name",
    "vllm_tensor_parallel_size",
}

#: What the models' own repositories say of their shape (config.json).
SHAPES = {
    "small": {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288,
        "vocab_size": 151936, "max_position_embeddings": 40960,
    },
    "large": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 8192, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8, "intermediate_size": 29568, "vocab_size": 152064,
        "max_position_embeddings": 32768,
    },
    "medium": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 5120, "num_hidden_layers": 64,
        "num_attention_heads": 40, "num_key_value_heads": 8, "intermediate_size": 27648, "vocab_size": 152064,
        "max_position_embeddings": 32768, "rope_theta": 1000000.0,
    },
    "embedding": {
        "architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "hidden_size": 1024,
        "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "vocab_size": 250002,
        "max_position_embeddings": 8194,
    },
}  # fmt: skip
SHAPES["reranker"] = {**SHAPES["embedding"], "architectures": ["XLMRobertaForSequenceClassification"]}
#: Encoders: nothing quantized, and no KV cache.
ENCODERS = ("embedding", "reranker")
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}


def command(found: dict, entries: dict) -> list[str]:
    """The command with its values."""
    return [entries[part[2:-1]] if part.startswith("${") else part for part in found["command"]]


def test_another_model_gets_nothing_of_the_profile(define, env_of) -> None:
    """Not its name, length, YaRN, data types, sequences, nor its GPUs; and the operator is told which."""
    changes = {"vllm_model": "org/Llama-3.1-8B-Instruct", "vllm_gpu_devices": [3]}
    found, problems, notices = define(**changes)
    assert problems == []
    assert command(found, env_of(**changes)) == [
        "org/Llama-3.1-8B-Instruct", "--host", "0.0.0.0", "--port", "5002", "--shutdown-timeout", "300",
    ]  # fmt: skip
    assert (found["served_model_name"], found["container_name"]) == ("org/Llama-3.1-8B-Instruct", "vllm-medium")
    assert (found["gpu_devices"], found["tensor_parallel_size"]) == (["3"], 1)
    assert (found["max_model_len"], found["max_num_seqs"], found["gpu_memory_utilization"]) == (None, None, None)
    (notice,) = notices
    assert notice.startswith("vllm_profile: medium is for vllm_model Qwen/Qwen2.5-32B-Instruct-AWQ")
    assert {name for name in MODEL_BOUND if name in notice} == MODEL_BOUND - {"vllm_gpu_devices"}


def test_gpus_that_nobody_names(define) -> None:
    """The first of the host, as many as there are workers."""
    assert define(vllm_model="org/m")[0]["gpu_devices"] == ["0"]
    found = define(
        vllm_model="org/m", vllm_tensor_parallel_size=2, vllm_extra_options={"data-parallel-size": 2},
    )[0]  # fmt: skip
    assert found["gpu_devices"] == ["0", "1", "2", "3"]
    assert found["sources"]["vllm_gpu_devices"] == {"value": "[0, 1, 2, 3]", "from": "parallel sizes"}
    _found, problems, _notices = define(vllm_model="org/m", vllm_gpu_devices=[0, 1])
    assert "1, which is vLLM's own where nothing is set" in problems[0]["message"]


def test_another_name(define) -> None:
    """Port, container and cache are not those of the medium service; what belongs to its model stays."""
    found, problems, notices = define(vllm_name="chat-2")
    assert problems == []
    assert (found["port"], found["container_name"]) == (8000, "vllm-chat-2")
    assert found["volumes"][1] == "vllm-chat-2-compile-cache:/root/.cache/vllm"
    assert found["volumes"][0] == "vllm-hf-cache:/root/.cache/huggingface"
    assert found["max_model_len"] == 131072
    (notice,) = notices
    assert "vllm_name chat-2 gets none of its values" in notice
    assert "vllm_port" in notice


def test_nothing_to_tell_where_all_is_said(define) -> None:
    """No notice where the operator sets what the profile would have, nor with none."""
    said = dict.fromkeys(MODEL_BOUND)
    said.update(
        vllm_served_model_name="m", vllm_dtype="auto", vllm_kv_cache_dtype="auto", vllm_max_model_len=1024,
        vllm_hf_overrides={"a": 1}, vllm_gpu_memory_utilization=0.5, vllm_gpu_devices=[0],
        vllm_tensor_parallel_size=1, vllm_max_num_seqs=2,
    )  # fmt: skip
    assert define(vllm_model="org/m", **said)[2] == []
    assert define(vllm_model="org/m", vllm_profile="none", vllm_name="m")[1:] == ([], [])


@pytest.mark.parametrize("nothing", [None, "", [], {}])
@pytest.mark.parametrize("name", sorted(MODEL_BOUND - {"vllm_dtype"}))
def test_null_and_empty_say_nothing(name, nothing, define, env_of) -> None:
    """The profile's value is taken, and with another model vLLM's own."""
    usual, other = env_of(), env_of(vllm_model="org/m")
    assert env_of(**{name: nothing}) == usual
    assert env_of(vllm_model="org/m", **{name: nothing}) == other
    notices = define(**{name: nothing})[2]
    assert [text.partition(" ")[0] for text in notices] == (
        [name] if nothing in ([], {}) and nothing is not None else []
    )


@pytest.mark.parametrize("name", sorted(MODEL_BOUND - {"vllm_gpu_devices", "vllm_tensor_parallel_size"}))
def test_unset(name, define) -> None:
    """What is listed stays vLLM's own although the profile has it."""
    found, problems, notices = define(vllm_unset=[name])
    assert (problems, notices) == ([], [])
    flag = next(option.flag for option in serve_options.SERVE_OPTIONS if option.variable == name)
    assert "--" + flag in define()[0]["command"]
    assert "--" + flag not in found["command"]
    assert found["sources"][name] == {"value": "", "from": "vLLM"}


@pytest.mark.parametrize(
    ("changes", "variable", "words"),
    [
        ({"vllm_profile": "mediun"}, "vllm_profile", "Did you mean medium?"),
        ({"vllm_profile": "/nowhere.yml"}, "vllm_profile", "/nowhere.yml cannot be read"),
        ({"vllm_profile": "none"}, "vllm_model", "is not set, and no profile is chosen"),
        ({"vllm_unset": ["vllm_max_num_seq"]}, "vllm_unset", "Did you mean vllm_max_num_seqs?"),
        ({"vllm_unset": ["vllm_dir"]}, "vllm_unset", "nothing that can be left to vLLM"),
        ({"vllm_unset": ["vllm_model"]}, "vllm_unset", "nothing that can be left to vLLM"),
        ({"vllm_unset": {"a": 1}}, "vllm_unset", "is not a list"),
        ({"vllm_unset": ["vllm_max_num_seqs"], "vllm_max_num_seqs": 3}, "vllm_unset", "is set, too"),
    ],
)
def test_refused(changes, variable, words, define) -> None:
    """With the variable and the fix."""
    _found, problems, _notices = define(**changes)
    assert variable in [item["variable"] for item in problems]
    assert words in " ".join(item["message"] for item in problems)


OWN = """
gpus: 1
service: {vllm_name: mine, vllm_port: 9000}
model:
  vllm_model: org/m
  vllm_extra_options: {reasoning-parser: qwen3, max-log-len: 10}
  vllm_extra_env: {A: "1", B: "2"}
"""


def test_own_profile(define, env_of, tmp_path) -> None:
    """A file of the operator's; entries of dictionaries stand beside the operator's, who wins for each."""
    path = tmp_path / "mine.yml"
    path.write_text(OWN, encoding="utf-8")
    changes = {
        "vllm_profile": str(path), "vllm_extra_options": {"max-log-len": 20}, "vllm_extra_env": {"C": "3"},
        "vllm_unset": "reasoning_parser, A",
    }  # fmt: skip
    found, problems, notices = define(**changes)
    assert (problems, notices) == ([], [])
    assert (found["name"], found["port"], found["extra_options"]) == ("mine", 9000, ["max-log-len"])
    entries = env_of(**changes)
    assert entries["EXTRA_OPTION_MAX_LOG_LEN"] == "20"
    assert {name for name in entries if name.startswith("EXTRA_ENV")} == {"EXTRA_ENV_B", "EXTRA_ENV_C"}
    assert found["sources"]["vllm_extra_env"] == {"value": "B, C", "from": "operator, profile mine"}
    assert found["sources"]["vllm_port"] == {"value": "9000", "from": "profile mine"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "no profile"),
        ("a: [", "cannot be read"),
        ("service: 3", "no profile"),
        ("modell: {}", "modell is no part of a profile"),
        ("name: x", "name is no part of a profile"),
        ("model: {vllm_model: a, vllm_modle: b}", "Did you mean vllm_model?"),
        ("model: {vllm_model: a, vllm_dir: /x}", "vllm_dir is nothing that a profile sets"),
        ("model: {vllm_model: a, vllm_api_key: x}", "vllm_api_key is nothing that a profile sets"),
        ("model: {vllm_max_num_seqs: 3}", "model does not say vllm_model"),
    ],
)
def test_own_profile_refused(text, words, define, tmp_path) -> None:
    """What is no profile, or would set what belongs into an inventory."""
    path = tmp_path / "mine.yml"
    path.write_text(text, encoding="utf-8")
    _found, problems, _notices = define(vllm_profile=str(path), vllm_model="org/m", vllm_name="m")
    assert [item["variable"] for item in problems] == ["vllm_profile"]
    assert words in problems[0]["message"]


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_is_a_service(name, define, options) -> None:
    """Accepted as it is, on as many GPUs as it says, by a name, a port and a container of its own."""
    profile = profiles.load(name, options)
    found, problems, notices = define(vllm_profile=name)
    assert (problems, notices) == ([], [])
    assert (found["name"], len(found["gpu_devices"])) == (name, profile.gpus)
    ports = [profiles.load(other, options).service["vllm_port"] for other in profiles.names()]
    assert ports.count(found["port"]) == 1


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_profile_fits(name, define, options) -> None:
    """On the GPUs that it is for, with every vLLM whose defaults differ."""
    profile = profiles.load(name, options)
    for version in ("0.19.1", "0.32.0"):
        found, _problems, _notices = define(vllm_profile=name, vllm_version=version)
        plan = estimate.plan(
            model_config={
                **SHAPES[name],
                "torch_dtype": "float16",
                **({} if name in ENCODERS else {"quantization_config": AWQ}),
            },
            gpu_memory_mib=24564,
            num_gpus=profile.gpus,
            tensor_parallel_size=found["tensor_parallel_size"],
            gpu_memory_utilization=found["gpu_memory_utilization"],
            max_model_len=found["max_model_len"],
            kv_cache_dtype=found["kv_cache_dtype"],
            max_num_seqs=found["max_num_seqs"],
            vllm_version=version,
            hf_overrides=found["hf_overrides"],
        )
        assert plan["fits"] == "yes", plan["explanation"]
        no_cache = any(line.startswith("KV cache: none") for line in plan["explanation"])
        assert no_cache == (name in ENCODERS) == (plan["kv_cache_needed_gib_per_gpu"] == 0)


@pytest.mark.parametrize(
    ("given", "tokens"),
    [("32k", 32000), ("32K", 32768), ("25.6k", 25600), (" 4096 ", 4096), (8192.0, 8192), ("auto", "auto"), (-1, "auto"),
     ("-1", "auto")],
)  # fmt: skip
def test_lengths(given, tokens, define, env_of) -> None:
    """Lengths as vllm serve takes them."""
    found, problems, _notices = define(vllm_max_model_len=given)
    assert (problems, found["max_model_len"]) == ([], tokens)
    assert env_of(vllm_max_model_len=given)["MAX_MODEL_LEN"] == str(tokens)


@pytest.mark.parametrize(
    ("given", "names", "arguments"),
    [
        ("one", ["one"], ["one"]),
        (["one"], ["one"], ["one"]),
        (["one", "two"], ["one", "two"], ["one", "two"]),
        ('["one", "two"]', ["one", "two"], ["one", "two"]),
    ],
)
def test_served_names(given, names, arguments, define, env_of) -> None:
    """One, or several, all of which clients may use; the first is what the model calls itself."""
    changes = {"vllm_served_model_name": given}
    found, problems, _notices = define(**changes)
    assert problems == []
    assert (found["served_model_names"], found["served_model_name"]) == (names, names[0])
    at = found["command"].index("--served-model-name")
    assert command(found, env_of(**changes))[at + 1 : at + 1 + len(names)] == arguments
    assert found["command"][at + 1 + len(names)].startswith("--")
