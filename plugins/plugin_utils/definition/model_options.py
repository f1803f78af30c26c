# SPDX-License-Identifier: GPL-3.0-or-later
"""What of vLLM's options decides which kind of service a model becomes, and what memory it takes.

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
    pooler = _nested(extra_options, "pooler-config") or _nested(extra_options, "override-pooler-config")
    task = pooler.get("task")
    if task:
        found["pooler_task"] = str(task)
    if serve_options.is_set(extra_options.get("chat-template")):
        found["chat_template"] = True
    if serve_options.is_set(extra_options.get("language-model-only")):
        found["text_only"] = True
    return found


#: Keys of speculative-config that say how much memory the draft takes.
_SPECULATION = ("method", "model", "num_speculative_tokens", "draft_tensor_parallel_size", "quantization")


def read_memory(extra_options: dict) -> dict:
    """Return the options that ``module_utils/capacity/estimate.py`` knows, by the names of its arguments."""
    speculation = _nested(extra_options, "speculative-config")
    for key, name in (("method", "spec-method"), ("model", "spec-model"), ("num_speculative_tokens", "spec-tokens")):
        if serve_options.is_set(extra_options.get(name)):
            speculation.setdefault(key, extra_options[name])
    limits = _nested(extra_options, "limit-mm-per-prompt")
    if serve_options.is_set(extra_options.get("language-model-only")):
        limits = {"image": 0}
    return {
        "speculative_config": {key: speculation[key] for key in _SPECULATION if key in speculation},
        "limit_mm_per_prompt": limits,
    }


def _nested(extra_options: dict, name: str) -> dict:
    """Return an option that is a dictionary: given as one, as JSON, or key by key behind dots."""
    value = extra_options.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    found = dict(value) if isinstance(value, dict) else {}
    parts = ((key.partition("."), part) for key, part in extra_options.items())
    found.update({rest.replace("-", "_"): part for (head, _dot, rest), part in parts if head == name and rest})
    return found
