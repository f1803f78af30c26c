# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model with random weights is made of: layers, tokenizer, refusals; the weights themselves need an image."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.random_model import maker

CONFIG = {
    "model_type": "qwen3",
    "num_hidden_layers": 4,
    "vocab_size": 300,
    "bos_token_id": None,
    "eos_token_id": [2, 3],
    "pad_token_id": 0,
    "layer_types": ["a", "a", "a", "b"],
    "max_window_layers": 4,
}


def test_with_layers() -> None:
    """Lists of layers go on as they began, and the config that was given stays."""
    changed = maker.with_layers(CONFIG, 6)
    assert (changed["num_hidden_layers"], changed["layer_types"]) == (6, ["a", "a", "a", "b", "a", "a"])
    assert maker.with_layers(CONFIG, 2)["max_window_layers"] == 2
    assert CONFIG["num_hidden_layers"] == 4
    nested = maker.with_layers({"text_config": CONFIG}, 2)
    assert nested["text_config"]["layer_types"] == ["a", "a"]
    assert maker.layers_of({"n_layer": 7}) == 7


@pytest.mark.parametrize(("wanted", "layers"), [(100.0, 2), (110.0, 2), (116.0, 3), (200.0, 11), (1000.0, 91)])
def test_layers_for(wanted, layers) -> None:
    """The number that comes nearest, from two sizes of which the rest beside the layers follows."""
    assert maker.layers_for(wanted, {2: 110.0, 4: 130.0} if wanted > 105 else {2: 104.0, 4: 124.0}) == layers


def test_too_small() -> None:
    """A size below what stands beside the layers is refused with the fix."""
    with pytest.raises(maker.Refused, match=r"size_gib is 0\.00, .* larger size"):
        maker.layers_for(10.0, {2: 110.0, 4: 130.0})
    with pytest.raises(maker.Refused, match="no number of layers"):
        maker.layers_of({"model_type": "x"})


def test_tokenizer() -> None:
    """Every number of the vocabulary is a word, each byte among them, and special words have their numbers."""
    files = maker.tokenizer_files(CONFIG)
    tokenizer, about = json.loads(files["tokenizer.json"]), json.loads(files["tokenizer_config.json"])
    vocabulary = tokenizer["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(300))
    assert set(maker.byte_letters()) <= set(vocabulary)
    assert {word: vocabulary[word] for word in ("<|pad|>", "<|eos|>")} == {"<|pad|>": 0, "<|eos|>": 2}
    assert (about["eos_token"], "bos_token" in about) == ("<|eos|>", False)
    assert len(maker.byte_letters()) == len(set(maker.byte_letters())) == 256


def test_vocabulary_too_small() -> None:
    """256 bytes have to fit."""
    with pytest.raises(maker.Refused, match="vocab_size is 100"):
        maker.tokenizer_files({**CONFIG, "vocab_size": 100})
