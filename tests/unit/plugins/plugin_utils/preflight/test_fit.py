# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that are proposed for a model and the GPUs of a host."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.nvidia import smi as nvidia_smi
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import fit

QWEN_7B = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
    "max_position_embeddings": 32768, "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
    "rope_theta": 1000000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 152064,
}  # fmt: skip
QWEN_32B_AWQ = {
    **QWEN_7B, "hidden_size": 5120, "intermediate_size": 27648, "num_attention_heads": 40, "num_hidden_layers": 64,
    "num_key_value_heads": 8, "torch_dtype": "float16",
    "quantization_config": {"bits": 4, "group_size": 128, "quant_method": "awq", "zero_point": True},
}  # fmt: skip
MIXTRAL = {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "num_local_experts": 8, "num_experts_per_tok": 2, "rope_theta": 1000000.0, "torch_dtype": "bfloat16",
    "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip


def cards(number: int, total_mib: int = 24564, capability: str | None = "8.9", **changes: object) -> list[dict]:
    """Return GPUs that nobody uses."""
    card = {**nvidia_smi.UNKNOWN_GPU, "name": "NVIDIA of the tests", "memory_used_mib": 1}
    card = {**card, "memory_total_mib": total_mib, "memory_free_mib": total_mib - 480, "compute_capability": capability}
    return [{**card, "index": i, "uuid": "GPU-%d" % i, "minor_number": i, **changes} for i in range(number)]


@pytest.fixture
def proposed(host_with, medium):
    """Return proposals for a model's configuration and GPUs."""

    def make(
        config: dict, gpus: list, wish: fit.Wish | None = None, weights: int | None = None,
        environment: dict | None = None, **said: object,
    ):  # fmt: skip
        nodes = ["nvidia%d" % gpu["index"] for gpu in gpus]
        host = host_with(
            {
                "driver.device_nodes": [*nodes, "nvidiactl"],
                "gpu.gpus": gpus,
                "model.config": config,
                "model.weights_bytes": weights,
            }
        )
        said = {"vllm_profile": "none", "vllm_name": "x", "vllm_model": "org/model", "vllm_version": "0.32.0", **said}
        return fit.proposals(medium(said), host, wish, environment), host

    return make


@pytest.mark.parametrize(
    ("config", "gpus", "wish", "first"),
    [
        pytest.param(
            QWEN_7B, cards(2), fit.Wish(16384, 12), {"vllm_gpu_devices": [0, 1], "vllm_tensor_parallel_size": 2,
            "vllm_max_model_len": 16384}, id="as-many-GPUs-as-the-users-take",
        ),
        pytest.param(
            QWEN_7B, cards(2), None, {"vllm_gpu_devices": [0], "vllm_tensor_parallel_size": 1,
            "vllm_max_model_len": 32768}, id="one-GPU-where-that-is-enough",
        ),
        pytest.param(
            QWEN_32B_AWQ, cards(2), fit.Wish(32768), {"vllm_gpu_devices": [0, 1], "vllm_tensor_parallel_size": 2,
            "vllm_max_model_len": 32768}, id="two-where-one-is-too-small",
        ),
        pytest.param(
            MIXTRAL, cards(3, 46068), None, {"vllm_gpu_devices": [0, 1, 2], "vllm_tensor_parallel_size": 1,
            "vllm_pipeline_parallel_size": 3, "vllm_max_model_len": 32768}, id="a-pipeline-where-heads-cannot-be-split",
        ),
    ],
)  # fmt: skip
def test_best(config, gpus, wish, first, proposed) -> None:
    """The best gives what is wanted on the fewest GPUs."""
    found, _host = proposed(config, gpus, wish)
    assert found[0]["values"] == first
    assert found[0]["meets"]
    assert found[0]["fits"] == "yes"


@pytest.mark.parametrize("config", [QWEN_7B, MIXTRAL, QWEN_32B_AWQ], ids=["dense", "experts", "awq"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("total_mib", [24564, 46068, 81559])
@pytest.mark.parametrize("wish", [None, fit.Wish(131072, 2), fit.Wish(4096, 100)], ids=["model", "long", "many"])
def test_what_is_proposed_is_taken_and_fits(config, number, total_mib, wish, proposed, medium) -> None:
    """Pasted into the inventory, each proposal is a definition without problems, and its plan says what it promised."""
    found, host = proposed(config, cards(number, total_mib), wish)
    for item in found:
        name = {"vllm_profile": "none", "vllm_name": "x", "vllm_model": "org/model", "vllm_version": "0.32.0"}
        result = preflight_checks.check(medium({**name, **item["values"]}), host, None)
        assert result["capacity"]["fits"] == item["fits"]
        assert result["capacity"]["settings"]["max_model_len"] == item["tokens"]
        bad = [check["id"] for check in result["findings"] if not check["ok"] and check["severity"] == "error"]
        assert bad == []


def test_each_has_something_over_those_before(proposed) -> None:
    """More replicas, or a larger cache, follow what is enough."""
    found, _host = proposed(QWEN_7B, cards(4), fit.Wish(16384, 2))
    assert [item["values"].get("vllm_extra_options") for item in found][:1] == [None]
    assert {"data-parallel-size": 2} in [item["values"].get("vllm_extra_options") for item in found]
    assert len(found) <= 4
    assert "on 4 GPUs as 2 replicas" in " ".join(item["buys"] for item in found)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param(MIXTRAL, {}, id="experts-are-shared-over-replicas"),
        pytest.param(QWEN_7B, {"vllm_extra_options": {"seed": 1}}, id="other-extra-options-would-be-overwritten"),
    ],
)
def test_no_replicas(config, said, proposed) -> None:
    """Replicas are not proposed where the plan cannot count them, or the block would drop options."""
    found, _host = proposed(config, cards(8, 81559), None, **said)
    assert found
    assert not any("vllm_extra_options" in item["values"] for item in found)


@pytest.mark.parametrize(("capability", "offered"), [("8.9", True), ("9.0", True), ("8.6", False), (None, False)])
def test_fp8_needs_hardware_that_has_it(capability, offered, proposed) -> None:
    """An FP8 KV cache is proposed for cards that are known to have FP8."""
    found, _host = proposed(QWEN_32B_AWQ, cards(1, capability=capability), weights=19_330_000_000)
    assert any(item["values"].get("vllm_kv_cache_dtype") == "fp8" for item in found) is offered


def test_what_the_environment_decides(proposed) -> None:
    """A variable that decides the sampler narrows the band of a proposal, as it does the plan's."""

    def width(environment: dict | None) -> float:
        found, _host = proposed(QWEN_7B, cards(1), environment=environment, vllm_version="0.11.1")
        return found[0]["kv_tokens"]["high"] / found[0]["kv_tokens"]["low"]

    assert width({"VLLM_USE_FLASHINFER_SAMPLER": "0"}) < width(None)


def test_longer_than_the_model(proposed) -> None:
    """A length beyond the model's own comes with the YaRN that it takes; one within comes without."""
    found, _host = proposed(QWEN_7B, cards(2), fit.Wish(65536, 1))
    assert found[0]["values"]["vllm_hf_overrides"]["max_position_embeddings"] == 65536
    found, _host = proposed(QWEN_7B, cards(1, 20475, capability=None), fit.Wish(131072, 1))
    assert found[0]["tokens"] <= 32768
    assert "instead of 131072" in found[0]["buys"]
    assert "vllm_hf_overrides" not in found[0]["values"]


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        pytest.param(cards(1, memory_free_mib=9000, memory_used_mib=15000), {}, id="used-by-others"),
        pytest.param([], {}, id="no-GPUs"),
        pytest.param(cards(1), {"vllm_accelerator": "cpu"}, id="cpu"),
        pytest.param(cards(1, 8188), {}, id="too-small"),
    ],
)
def test_nothing_to_propose(gpus, said, proposed) -> None:
    """Nothing is proposed where no GPU is free, none is there, or nothing fits."""
    assert proposed(QWEN_7B, gpus, **said)[0] == []


def test_unlike_gpus_are_not_mixed(proposed) -> None:
    """Tensor parallel workers share evenly, so GPUs of two sizes make two pools."""
    gpus = [*cards(1), *cards(2, 81559)]
    for place, gpu in enumerate(gpus):
        gpu.update(index=place, uuid="GPU-%d" % place)
    found, _host = proposed(QWEN_7B, gpus)
    assert all(item["values"]["vllm_gpu_devices"] in ([0], [1], [2], [1, 2]) for item in found)


def test_uncertain_only_where_nothing_is_certain(proposed) -> None:
    """What may fit is told only when nothing is sure to."""
    found, _host = proposed(MIXTRAL, cards(2, 52000))
    assert {item["fits"] for item in found} in ({"yes"}, {"uncertain"})
