# SPDX-License-Identifier: GPL-3.0-or-later
"""What of vLLM's options decides which kind of service a model becomes.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options


def read(extra_options: dict) -> dict:
    """Return the options that ``plugin_utils/kind/model_kind.py`` knows, where they are set; no text of a template."""
    found = {
        key: str(extra_options[name])
        for key, name in (
            ("runner", "runner"), ("convert", "convert"), ("task", "task"), ("tokenizer_mode", "tokenizer-mode"),
            ("model_impl", "model-impl"),
        )
        if serve_options.is_set(extra_options.get(name))
    }  # fmt: skip
    pooler = extra_options.get("pooler-config") or extra_options.get("override-pooler-config") or {}
    try:
        pooler = json.loads(pooler) if isinstance(pooler, str) else pooler
    except ValueError:
        pooler = {}
    task = extra_options.get("pooler-config.task") or (pooler.get("task") if isinstance(pooler, dict) else "")
    if task:
        found["pooler_task"] = str(task)
    if serve_options.is_set(extra_options.get("chat-template")):
        found["chat_template"] = True
    if serve_options.is_set(extra_options.get("language-model-only")):
        found["text_only"] = True
    return found
