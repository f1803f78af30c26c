# SPDX-License-Identifier: GPL-3.0-or-later
"""What speculative decoding adds to a plan."""

from __future__ import annotations

import pytest
from capacity_cases import MODELS, SMALL

from ansible_collections.myia.vllm.plugins.module_utils.capacity import estimate, model_config, speculation

ASKED = {"tensor_parallel_size": 1, "weights_bytes": None, "quantization": None, "dtype": "auto"}
#: A draft of two layers, each of which keeps half of what one of SMALL's does.
DRAFT = {**SMALL, "num_hidden_layers": 2, "num_key_value_heads": 4, "vocab_size": 32000}


@pytest.mark.parametrize(
    ("said", "changes", "draft", "method", "tokens", "layers"),
    [
        pytest.param(None, {}, None, "", 0, (0, 0), id="none"),
        pytest.param({"method": "ngram", "num_speculative_tokens": 4}, {}, None, "ngram", 4, (0, 0), id="ngram"),
        pytest.param({"method": "mtp"}, {"num_nextn_predict_layers": 2}, None, "mtp", 2, (2, 2), id="own-layers"),
        pytest.param(
            {"method": "qwen3_5_mtp", "num_speculative_tokens": 3}, {}, None, "mtp", 3, (1, 1), id="mtp-of-a-family"
        ),
        pytest.param({"num_speculative_tokens": 1}, {"mtp_num_hidden_layers": 1}, None, "mtp", 1, (1, 1), id="unset"),
        pytest.param({"model": "org/x-EAGLE3"}, {}, None, "eagle3", 1, (1, 1), id="head-by-name"),
        pytest.param({"model": "org/small"}, {}, None, "draft_model", 1, (0, 8), id="draft-not-read"),
        pytest.param({"model": "org/small"}, {}, DRAFT, "draft_model", 1, (1, 1), id="draft-read"),
    ],
)
def test_added(said, changes, draft, method, tokens, layers) -> None:
    """Method, tokens and layers; how many of the model's own layers a draft's are worth."""
    found = speculation.added(said, model_config.shape({**SMALL, **changes}), ASKED, draft)
    assert (found["method"], found["tokens"], found["layers"]) == (method, tokens, layers)
    assert found["weights_gib"][0] <= found["weights_gib"][1] <= found["weights_gib"][2]


def test_draft_that_is_not_read_is_named() -> None:
    """What is not known of a draft stands among the unknown, and widens the plan."""
    size = model_config.shape(SMALL)
    assert speculation.added({"model": "org/small"}, size, ASKED)["unknown"] == [
        "the draft model of speculative-config (org/small): its config.json was not read"
    ]
    assert speculation.added({"model": "org/small"}, size, ASKED, DRAFT)["unknown"] == []


@pytest.mark.parametrize(
    ("length", "low", "high"),
    [
        # one of 17 layers more than 16, and three groups of recurrent layers with three states more
        pytest.param(262144, 0.84, 0.92, id="long"),
        pytest.param(32768, 0.60, 0.75, id="short"),
    ],
)
def test_fewer_tokens(length, low, high) -> None:
    """The layers that draft keep keys, and every recurrent layer a state for each token that waits."""
    config = {**MODELS["Qwen/Qwen3.6-27B-FP8"], "mtp_num_hidden_layers": 1}
    arguments = {"model_config": config, "gpu_memory_mib": 81559, "weights_bytes": int(28e9), "vllm_version": "0.23.0"}
    arguments |= {"max_model_len": length, "kv_cache_dtype": "fp8", "max_num_seqs": 8, "suggest": False}
    plain = estimate.plan(**arguments)
    drafts = estimate.plan(**arguments, speculative_config={"method": "mtp", "num_speculative_tokens": 3})
    for end in ("low", "expected", "high"):
        assert low < drafts["kv_tokens"][end] / plain["kv_tokens"][end] < high
    assert "16 full + 1 that draft" in " ".join(drafts["explanation"])
