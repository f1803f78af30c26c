# SPDX-License-Identifier: GPL-3.0-or-later
"""How many labels a model has, and whether its score is a reward."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.kind import labels


@pytest.mark.parametrize(
    ("config", "number"),
    [
        ({"num_labels": 1}, 1),
        ({"num_labels": 3, "id2label": {"0": "a"}}, 1),
        ({}, 2),
        ({"num_labels": True}, 2),
        ({"classifier_from_token": ["no", "yes"]}, 2),
        ({"classifier_from_token": ["no", "yes"], "is_original_qwen3_reranker": True}, 1),
        ({"text_config": {"num_labels": 1}, "num_labels": 2}, 1),
    ],
)
def test_number(config, number) -> None:
    """As vLLM counts them."""
    assert labels.number_of_labels(config)[0] == number


@pytest.mark.parametrize(
    ("name", "is_reward"), [("org/Skywork-Reward-V2", True), ("org/x-rm-7b", True), ("org/form-ranker", False)]
)
def test_reward(name, is_reward) -> None:
    """By its name, since config.json cannot tell it from a reranker."""
    assert bool(labels.reward_words({"_name_or_path": name}, "")) == is_reward
