# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files beside a model's ``config.json`` say of how it is served. Standard library; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import os

from ansible_collections.myia.vllm.plugins.module_utils.common.files import read_text

#: Where a chat template stands in a file of its own (transformers).
_TEMPLATES = ("chat_template.jinja", "chat_template.json")

#: Files of Mistral's own tokenizer, which writes a chat without a template (mistral_common).
_MISTRAL = ("tekken.json", "tokenizer.model.v3", "tokenizer.mm.model.v3")

#: Nothing is known.
UNKNOWN = {"pooling_module": None, "chat_template": None, "mistral_tokenizer": None}


def of_folder(folder: str) -> dict:
    """Return the facts of a folder on this host: C(pooling_module), C(chat_template) and C(mistral_tokenizer)."""
    if not os.path.isdir(folder):
        return dict(UNKNOWN)
    modules = _json(os.path.join(folder, "modules.json"))
    names = os.listdir(folder)
    types = [str(module.get("type")) for module in modules or [] if isinstance(module, dict)]
    pooling = any(name.rpartition(".")[2] == "Pooling" for name in types)
    return _facts(names, pooling, _json(os.path.join(folder, "tokenizer_config.json")) or {})


def of_listing(names: list | None, tokenizer_config: dict | None) -> dict:
    """Return the facts of a repository.

    Args:
        names: its files; None where the hub did not say.
        tokenizer_config: content of ``tokenizer_config.json``; None where it was not read.
    """
    if names is None:
        return dict(UNKNOWN)
    # sentence-transformers puts each module into a folder of its number and class, but any other name will do
    pooling = any("_Pooling/" in name for name in names) or None if "modules.json" in names else False
    return _facts(names, pooling, tokenizer_config)


def _facts(names: list, pooling: bool | None, tokenizer_config: dict | None) -> dict:
    template: bool | None = any(name in names for name in _TEMPLATES)
    if not template and tokenizer_config is None and "tokenizer_config.json" in names:
        template = None
    elif not template:
        template = bool((tokenizer_config or {}).get("chat_template"))
    return {
        "pooling_module": pooling,
        "chat_template": template,
        "mistral_tokenizer": any(name in names for name in _MISTRAL),
    }


def _json(path: str):
    try:
        return json.loads(read_text(path))
    except ValueError:
        return None
