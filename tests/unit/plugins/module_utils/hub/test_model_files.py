# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files beside config.json say."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.hub import model_files

POOLING = [{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        ({}, (False, False, False)),
        ({"modules.json": POOLING}, (True, False, False)),
        ({"modules.json": []}, (False, False, False)),
        ({"modules.json": [{"type": "sentence_transformers.models.WeightedLayerPooling"}]}, (False, False, False)),
        ({"chat_template.jinja": "x"}, (False, True, False)),
        ({"tokenizer_config.json": {"chat_template": "x"}}, (False, True, False)),
        ({"tokenizer_config.json": {}}, (False, False, False)),
        ({"tokenizer_config.json": "no json {"}, (False, False, False)),
        ({"tekken.json": {}}, (False, False, True)),
    ],
)
def test_of_folder(files, facts, tmp_path) -> None:
    """Of a folder on the host, or a downloaded model's."""
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    assert tuple(model_files.of_folder(str(tmp_path)).values()) == facts
    assert model_files.of_folder(str(tmp_path / "nowhere")) == model_files.UNKNOWN


@pytest.mark.parametrize(
    ("names", "tokenizer", "facts"),
    [
        (None, None, (None, None, None)),
        (["config.json"], None, (False, False, False)),
        (["modules.json", "1_Pooling/config.json"], None, (True, False, False)),
        (["modules.json", "pooling/config.json"], None, (None, False, False)),
        (["tokenizer_config.json"], None, (False, None, False)),
        (["tokenizer_config.json"], {"chat_template": "x"}, (False, True, False)),
        (["tokenizer_config.json"], {}, (False, False, False)),
        (["chat_template.jinja", "tokenizer_config.json"], None, (False, True, False)),
    ],
)
def test_of_listing(names, tokenizer, facts) -> None:
    """Of a repository on the hub, as far as it has answered."""
    assert tuple(model_files.of_listing(names, tokenizer).values()) == facts
