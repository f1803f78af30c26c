# SPDX-License-Identifier: GPL-3.0-or-later
"""How many labels a classifying model has, and whether its one score is a reward. Pure Python, no I/O.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

#: What Transformers takes for the number of labels of a configuration that says nothing.
_DEFAULT_LABELS = 2
#: A name that says reward: config.json cannot tell a reward model from a reranker, which are served alike.
_REWARD_NAME = re.compile(r"(?i)(^|[-_./])(reward|rm|prm|orm)([-_.]|$)|reward")


def number_of_labels(config: dict, architecture: str = "") -> tuple[int, str]:
    """Return the number of a model's labels as vLLM counts them, and where it stands.

    Source: ``model_executor/models/adapters.py`` and ``config.py`` of vLLM 0.32; ``id2label`` counts before
    ``num_labels``, as in Transformers' ``PretrainedConfig``.
    """
    if architecture.endswith("ForRanking"):
        return 1, "its class ranks"
    inner = next((config[key] for key in ("text_config", "llm_config") if isinstance(config.get(key), dict)), {})
    merged = {**inner, **config}
    tokens = merged.get("classifier_from_token")
    if isinstance(tokens, list) and tokens:
        two_ways = merged.get("is_original_qwen3_reranker") or merged.get("method") == "from_2_way_softmax"
        number = 1 if two_ways else len(tokens)
        return number, "classifier_from_token makes %d label%s" % (number, "" if number == 1 else "s")
    outer, where = _labels_of(config)
    nested, where_nested = _labels_of(inner)
    # what says the default may be a default, which the language model's own configuration corrects
    number, key = (nested, where_nested) if outer in (None, _DEFAULT_LABELS) and nested else (outer, where)
    if number is None:
        return _DEFAULT_LABELS, "config.json names no labels, which counts as %d" % _DEFAULT_LABELS
    return number, "%s says %d label%s" % (key, number, "" if number == 1 else "s")


def _labels_of(config: dict) -> tuple[int | None, str]:
    labels = config.get("id2label")
    if isinstance(labels, dict) and labels:
        return len(labels), "id2label"
    number = config.get("num_labels")
    return (number, "num_labels") if isinstance(number, int) and not isinstance(number, bool) else (None, "")


def reward_words(config: dict, architecture: str) -> str:
    """Return what says that a single score is a reward rather than a match; "" where nothing does."""
    for text in (architecture, str(config.get("_name_or_path") or "").rstrip("/").rpartition("/")[2]):
        if _REWARD_NAME.search(text):
            return "%s is a reward model by its name" % text
    return ""
