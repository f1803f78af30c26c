# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and metrics by release, out of the derived table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options

MINORS = ["0.%d" % minor for minor in range(11, 34)]


def test_every_minor_is_there() -> None:
    """From 0.11 without a gap."""
    assert (
        list(dict.fromkeys(version.rpartition(".")[0] for version in vllm_options.versions()))[: len(MINORS)] == MINORS
    )


@pytest.mark.parametrize(
    ("version", "known", "warned"),
    [
        ("0.11.0", "0.11.0", False),
        ("0.11", "0.11.0", False),
        ("0.10.2", "0.11.0", False),
        ("0.19.5", "0.19.1", False),
        ("0.20.1rc1", "0.20.1", False),
        ("0.99.0", vllm_options.versions()[-1], True),
        ("1.0.0", vllm_options.versions()[-1], True),
    ],
)
def test_nearest_known(version, known, warned) -> None:
    """A new patch release is silent, a new minor version is said."""
    found, warning = vllm_options.nearest_known(version)
    assert (found, bool(warning)) == (known, warned)
    assert not warned or (version in warning and known in warning)


#: version, option, value, words of the problem ("" for none)
CASES = [
    # removed, each at its border
    ("0.11.0", "rope-scaling", "{}", ""),
    ("0.11.1", "rope-scaling", "{}", "0.11.1 removed it. Instead: set rope_parameters in vllm_hf_overrides"),
    ("0.16.0", "disable-log-requests", True, ""),
    ("0.17.0", "disable-log-requests", True, "0.17.0 removed it. Instead: leave it out: requests are not logged"),
    ("0.12.0", "cuda-graph-sizes", [1, 2], ""),
    ("0.13.0", "cuda-graph-sizes", [1, 2], "use cudagraph-capture-sizes"),
    ("0.17.1", "swap-space", 4, ""),
    ("0.18.0", "swap-space", 4, "swap-space is not taken by vLLM 0.18.0; 0.18.0 removed it"),
    ("0.12.0", "task", "embed", ""),
    ("0.13.0", "task", "embed", "use runner"),
    ("0.11.2", "guided-decoding-backend", "auto", ""),
    ("0.12.0", "guided-decoding-backend", "auto", "use structured-outputs-config.backend"),
    ("0.26.0", "max-num-partial-prefills", 2, ""),
    ("0.27.0", "max-num-partial-prefills", 2, "0.27.0 removed it"),
    ("0.27.1", "calculate-kv-scales", True, ""),
    ("0.28.0", "calculate-kv-scales", True, "scales come from the model"),
    ("0.12.0", "no-enable-lora-bias", True, "0.11.1 removed it"),
    ("0.99.0", "swap-space", 4, "not taken by vLLM 0.99.0"),
    # not there yet
    ("0.11.0", "cudagraph-capture-sizes", [1], "not there yet in vLLM 0.11.0; it came with 0.11.1"),
    ("0.11.1", "cudagraph-capture-sizes", [1], ""),
    ("0.31.0", "grpc-port", 1, "it came with 0.32.0. Leave it out, or raise vllm_version"),
    # spelling
    ("0.32.0", "max-log-lenn", 1, "Did you mean max-log-len?"),
    ("0.32.0", "max-log-l", 1, "is an abbreviation. Write it in full: max-log-len"),
    ("0.32.0", "qqqqqq", 1, "is no option of vLLM 0.32.0. `vllm serve --help=all`"),
    ("0.32.0", "dp", 2, ""),
    ("0.30.0", "device-memory-utilization", 0.5, "is no option of vLLM 0.30.0"),
    ("0.31.0", "device-memory-utilization", 0.5, ""),
    # forms
    ("0.32.0", "enable-prefix-caching", True, ""),
    ("0.32.0", "enable-prefix-caching", False, ""),
    ("0.32.0", "no-enable-prefix-caching", True, ""),
    ("0.32.0", "no-enable-prefix-caching", False, "Leave it out, or set enable-prefix-caching"),
    ("0.33.0", "disable-prefix-caching", True, ""),
    ("0.32.0", "disable-prefix-caching", True, "is no option of vLLM 0.32.0. Set enable-prefix-caching: false"),
    (
        "0.32.0",
        "enable-prefix-caching",
        "true",
        "takes no value in vLLM 0.32.0. Write enable-prefix-caching: true or f",
    ),
    ("0.32.0", "disable-log-stats", True, ""),
    ("0.32.0", "disable-log-stats", False, "has no --no- form"),
    ("0.32.0", "no-disable-log-stats", True, "disable-log-stats has no --no- form"),
    ("0.32.0", "disable-log-stats", 1, "Write disable-log-stats: true."),
    ("0.32.0", "chat-template", True, "needs a value"),
    ("0.32.0", "chat-template", ["a", "b"], "takes one value"),
    ("0.32.0", "allowed-origins", ["*"], ""),
    ("0.32.0", "middleware", ["a.B", "c.D"], ""),
    ("0.32.0", "middleware", "a.B", ""),
    ("0.32.0", "allowed-origins", '["*"]', ""),
    ("0.32.0", "allowed-origins", "*", "needs JSON"),
    ("0.32.0", "logits-processors", ["a", "b"], ""),
    ("0.32.0", "logits-processors", "a", ""),
    ("0.32.0", "logits-processors", [], "needs a value"),
    ("0.32.0", "compilation-config", {"mode": 1}, ""),
    ("0.32.0", "kv-transfer-config", '{"cpu_bytes_to_use": 80m}', ""),
    ("0.32.0", "compilation-config.mode", 3, ""),
    ("0.32.0", "enable-prefix-caching.x", 1, "nothing can follow a dot"),
    ("0.32.0", "runner", {"a": 1}, "takes no JSON"),
    # values
    ("0.32.0", "runner", "pooling", ""),
    ("0.32.0", "runner", "poling", "Set another value: auto, draft, generate, pooling"),
    ("0.32.0", "kv-cache-dtype", "nvfp4", ""),
    (
        "0.11.0",
        "kv-cache-dtype",
        "nvfp4",
        "does not take 'nvfp4' in vLLM 0.11.0. Set another value: auto, bfloat16, fp8",
    ),
    ("0.32.0", "kv-cache-dtype", "fp9", "for example fp8"),
    ("0.32.0", "max-num-seqs", "8", ""),
    ("0.32.0", "max-num-seqs", "eight", "needs a whole number"),
    ("0.32.0", "max-num-seqs", 8.5, "needs a whole number"),
    ("0.32.0", "max-model-len", "25.6k", ""),
    ("0.32.0", "max-model-len", "auto", ""),
    ("0.32.0", "max-num-seqs", "None", ""),
    ("0.32.0", "gpu-memory-utilization", "x", "needs a number"),
]


@pytest.mark.parametrize(
    ("version", "option", "value", "words"), CASES, ids=["%s-%s-%s" % (v, o, str(x)[:9]) for v, o, x, _w in CASES]
)
def test_check_options(version, option, value, words) -> None:
    """Each names the option, the release and the way out."""
    problems = vllm_options.check_options(version, {option: value})
    if not words:
        assert problems == []
        return
    assert [item["option"] for item in problems] == [option]
    assert words in problems[0]["message"]
    assert option.partition(".")[0].removeprefix("no-") in problems[0]["message"]


#: version, options, words of the problem ("" for none)
KNOWN_CASES = [
    ("0.32.0", {"tool-call-parser": "hermez"}, "vLLM 0.32.0 knows no 'hermez'. Did you mean hermes?"),
    ("0.11.0", {"tool-call-parser": "hermes"}, ""),
    ("0.11.0", {"tool-call-parser": "glm47"}, "Did you mean glm45?"),
    ("0.20.0", {"tool-call-parser": "glm47"}, ""),
    ("0.32.0", {"tool-call-parser": "hermez", "tool-parser-plugin": "/parsers/own.py"}, ""),
    ("0.32.0", {"tool-call-parser": "hermez", "reasoning-parser-plugin": "/parsers/own.py"}, "hermes"),
    ("0.32.0", {"reasoning-parser": "qwen33"}, "Did you mean qwen3? Set reasoning-parser-plugin for one of your own."),
    ("0.32.0", {"reasoning-parser": "qwen33", "reasoning-parser-plugin": "/parsers/own.py"}, ""),
    ("0.32.0", {"reasoning-parser": "none"}, "knows no 'none'"),
    ("0.33.0", {"reasoning-parser": "none"}, ""),
    ("0.32.0", {"quantization": "awqq"}, "Did you mean awq?"),
    ("0.32.0", {"quantization": "AWQ"}, ""),
    ("0.32.0", {"q": "awqq"}, "Did you mean awq?"),
    ("0.23.0", {"quantization": "gguf"}, ""),
    ("0.24.0", {"quantization": "gguf"}, "knows no 'gguf'"),
    ("0.32.0", {"load-format": "safetensor"}, "Did you mean safetensors?"),
    ("0.32.0", {"load-format": "Dummy"}, ""),
    ("0.33.0", {"kv-cache-dtype": "fp88"}, "Did you mean fp8?"),
    ("0.33.0", {"kv-cache-dtype": "FP8"}, "knows no 'FP8'"),
    ("0.33.0", {"kv-cache-dtype": "fp8"}, ""),
    ("0.32.0", {"attention-backend": "flashinfer"}, ""),
    ("0.32.0", {"attention-backend": "FLASHINFERR"}, "Did you mean FLASHINFER?"),
    ("0.17.1", {"attention-backend": "auto"}, "knows no 'auto'"),
    ("0.32.0", {"attention-backend": "xyz"}, "It knows AMX_MLA"),
    ("0.18.0", {"attention-backend": "auto"}, ""),
    ("0.32.0", {"mm-encoder-attn-backend": "TORCH_SDPA"}, ""),
    ("0.32.0", {"mm-encoder-attn-backend": "auto"}, "knows no 'auto'"),
    ("0.32.0", {"distributed-executor-backend": "rai"}, "Did you mean ray?"),
    ("0.32.0", {"distributed-executor-backend": "own.executors.Fast"}, ""),
    ("0.32.0", {"data-parallel-backend": "mpp"}, "Did you mean mp?"),
    ("0.11.0", {"data-parallel-backend": "mpp"}, ""),
    ("0.32.0", {"tokenizer-mode": "mistrall"}, "Did you mean mistral?"),
    ("0.29.0", {"tokenizer-mode": "slow"}, ""),
    ("0.12.0", {"tokenizer-mode": "of-ones-own"}, ""),
    ("0.32.0", {"quantization": "None"}, ""),
    ("0.32.0", {"config-format": "mistrall"}, "Did you mean mistral?"),
    ("0.32.0", {"config-format": "auto"}, ""),
    ("0.32.0", {"mamba-backend": "triton"}, ""),
    ("0.32.0", {"mamba-backend": "tritonn"}, "Did you mean TRITON?"),
    ("0.26.0", {"mamba-backend": "cpu"}, "knows no 'cpu'"),
    ("0.27.0", {"mamba-backend": "cpu"}, ""),
    # may have come with a release that nobody here knows
    ("0.99.0", {"quantization": "newer"}, ""),
    ("0.99.0", {"tool-call-parser": "newer"}, ""),
]


@pytest.mark.parametrize(("version", "given", "words"), KNOWN_CASES, ids=[str(case[:2])[1:-1] for case in KNOWN_CASES])
def test_known_values(version, given, words) -> None:
    """What the engine would refuse minutes later is refused at once; what cannot be known is left to it."""
    problems = vllm_options.check_options(version, given)
    assert len(problems) == bool(words), problems
    assert not words or words in problems[0]["message"]


#: version, options, words of the problem ("" for none)
KEY_CASES = [
    ("0.32.0", {"attention-config.backend": "FLASHINFER"}, ""),
    ("0.32.0", {"attention-config.bakend": "x"}, "vLLM 0.32.0 knows no key 'bakend' in it. Did you mean backend?"),
    ("0.32.0", {"attention-config": {"bakend": "x"}}, "attention-config: vLLM 0.32.0 knows no key 'bakend'"),
    ("0.32.0", {"attention-config": '{"bakend": "x"}'}, "knows no key 'bakend'"),
    ("0.32.0", {"ac.bakend": "x"}, "ac: vLLM 0.32.0 knows no key 'bakend'"),
    ("0.32.0", {"attention_config.backend": "x"}, "no option"),  # the caller turns underscores into dashes
    ("0.29.0", {"attention-config.use_fp4_indexer_cache": True}, ""),
    (
        "0.33.0",
        {"attention-config.use_fp4_indexer_cache": True},
        "key 'use_fp4_indexer_cache' in it. 0.29.0 still has it.",
    ),
    ("0.13.0", {"compilation-config": {"use_inductor": False}}, "knows no key 'use_inductor'"),
    ("0.12.0", {"compilation-config": {"use_inductor": False}}, ""),  # its class forbids nothing
    ("0.13.0", {"compilation-config.fast_moe_cold_start": True}, "key 'fast_moe_cold_start' in it. 0.16.0 has it."),
    ("0.32.0", {"compilation-config.qqqqqq": 1}, "It knows backend, "),
    ("0.32.0", {"compilation-config.pass_config.no_such": 1}, ""),  # only the outermost is looked at
    ("0.32.0", {"compilation-config": '{"mode": 3'}, ""),  # no JSON: vLLM says so
    ("0.32.0", {"kv-transfer-config": {"kv_connector": "C", "kv_role": "kv_both"}}, ""),
    ("0.32.0", {"kv-transfer-config": {"kv_conector": "C"}}, "Did you mean kv_connector?"),
    # read by another reader than the class, or into a class that takes more than its fields
    ("0.32.0", {"speculative-config": {"anything": 1}}, ""),
    ("0.32.0", {"pooler-config": {"anything": 1}}, ""),
    ("0.32.0", {"default-chat-template-kwargs": {"anything": 1}}, ""),
    ("0.99.0", {"attention-config.newer": 1}, ""),
]


@pytest.mark.parametrize(("version", "given", "words"), KEY_CASES, ids=[str(case[:2])[1:-1] for case in KEY_CASES])
def test_known_keys(version, given, words) -> None:
    """A key that the option's class forbids is refused; where it takes any, or nobody can know, it is not."""
    problems = vllm_options.check_options(version, given)
    assert len(problems) == bool(words), problems
    assert not words or words in problems[0]["message"]
    if "key" in words:
        assert vllm_options.check_options(version, given, names_too=False) == []


@pytest.mark.parametrize("version", [item for item in vllm_options.versions() if item.split(".") >= ["0", "16"]])
def test_every_release_has_keys(version) -> None:
    """Lists that vanish would mean that vLLM moved its decorator, and every misspelt key would pass."""
    with_keys = [option for option in vllm_options.options(version) if vllm_options.known_keys(version, option)]
    assert {"compilation-config", "kv-transfer-config", "structured-outputs-config"} <= set(with_keys)
    assert len(with_keys) >= 10


def test_no_release_refuses_what_it_knows() -> None:
    """Each value of each list is taken by the release that the list was read in."""
    checked = 0
    for version in vllm_options.versions():
        for option, spans in vllm_options.data()["options"].items():
            if not any("known" in span or "keys" in span for span in spans):
                continue
            for value in vllm_options.known_values(version, option):
                assert vllm_options.check_options(version, {option: value}) == [], (version, option, value)
                checked += 1
            for key in vllm_options.known_keys(version, option):
                assert vllm_options.check_options(version, {option: {key: 1}}) == [], (version, option, key)
                checked += 1
    assert checked > 5000


@pytest.mark.parametrize("option", ["tool-call-parser", "reasoning-parser", "quantization", "load-format"])
@pytest.mark.parametrize("version", vllm_options.versions())
def test_every_release_has_a_list(version, option) -> None:
    """A list that vanishes would mean that vLLM moved it, and every misspelt value would pass."""
    assert len(vllm_options.known_values(version, option)) > 5


@pytest.mark.parametrize(
    ("version", "option"), [("0.32.0", "tensor-parallel-size"), ("0.32.0", "runner"), ("0.99.0", "quantization")]
)
def test_no_list(version, option) -> None:
    """Options with any value, those whose choices the command line checks, and releases that nobody knows yet."""
    assert vllm_options.known_values(version, option) == []


def test_several_problems() -> None:
    """All are reported, the good ones are not."""
    problems = vllm_options.check_options("0.32.0", {"swap-space": 4, "max-log-len": 1, "runner": "x"})
    assert [item["option"] for item in problems] == ["swap-space", "runner"]


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        ("0.32.0", "dp", "data-parallel-size"),
        ("0.32.0", "data-parallel-size", "data-parallel-size"),
        ("0.32.0", "cc.mode", "compilation-config.mode"),
        ("0.11.0", "cc", "cc"),
        ("0.31.0", "device-memory-utilization", "gpu-memory-utilization"),
        ("0.32.0", "no-enable-prefix-caching", "no-enable-prefix-caching"),
        ("0.32.0", "disable-prefix-caching", "disable-prefix-caching"),
        ("0.32.0", "nothing", "nothing"),
    ],
)
def test_long_name(version, given, expected) -> None:
    """Short forms are written out, since they are rendered with two dashes."""
    assert vllm_options.long_name(version, given) == expected


@pytest.mark.parametrize(
    ("version", "names", "expected"),
    [
        ("0.27.1", ["calculate-kv-scales", "max-log-len"], ["calculate-kv-scales"]),
        ("0.18.0", ["calculate-kv-scales"], []),
        ("0.32.0", ["no-disable-cascade-attn"], ["no-disable-cascade-attn"]),
        ("0.32.0", ["no-such"], []),
    ],
)
def test_deprecated(version, names, expected) -> None:
    """Marked, or said so at the beginning of its help."""
    assert vllm_options.deprecated_options(version, names) == expected


@pytest.mark.parametrize(
    ("version", "name", "shown", "hidden"),
    [
        ("0.11.0", "vllm:kv_cache_usage_perc", True, True),
        ("0.33.0", "vllm:kv_cache_usage_perc", True, True),
        ("0.11.0", "vllm:gpu_cache_usage_perc", False, True),
        ("0.12.0", "vllm:gpu_cache_usage_perc", False, False),
        ("0.11.0", "vllm:time_per_output_token_seconds", True, True),
        ("0.12.0", "vllm:time_per_output_token_seconds", False, True),
        ("0.15.0", "vllm:time_per_output_token_seconds", False, False),
        ("0.33.0", "vllm:inter_token_latency_seconds", True, True),
        ("0.33.0", "vllm:prompt_tokens_total", True, True),
        ("0.33.0", "vllm:prompt_tokens", False, False),
        ("0.33.0", "vllm:iteration_tokens_total", True, True),
        ("0.33.0", "vllm:num_preemptions_total", True, True),
    ],
)
def test_metric_names(version, name, shown, hidden) -> None:
    """As /metrics shows them: counters end in _total."""
    assert (name in vllm_options.metric_names(version)) is shown
    assert (name in vllm_options.metric_names(version, hidden=True)) is hidden


def test_lazy_and_fast(root) -> None:
    """Importing reads nothing; the first check takes a few milliseconds (20 are allowed)."""
    code = """
import time
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options
assert vllm_options.data.cache_info().currsize == 0
started = time.perf_counter()
vllm_options.check_options("0.32.0", {"max-log-len": 1})
print((time.perf_counter() - started) * 1000)
"""
    environ = {"PYTHONPATH": str(root / "collections")}
    times_ms = []
    for _try in range(3):
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
        times_ms.append(float(done.stdout))
    assert min(times_ms) < 20
