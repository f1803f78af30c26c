# SPDX-License-Identifier: GPL-3.0-or-later
"""The maps in which HAProxy looks up keys, models and services. They change without a reload.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json

#: What "no limit" is in a map: more than anybody asks in a minute.
NO_LIMIT = 1_000_000_000

#: First line of each map, a comment.
_HEAD = "# written by the role vllm_gateway"


def of(keys: list[dict], pools: list[dict], paths: list[str]) -> dict[str, str]:
    """Return the text of each map by its file's name.

    Args:
        keys: of `keys.read`.
        pools: of `pools.read`.
        paths: what may be asked, each as ``POST /v1/chat/completions``.
    """
    owner = {model: pool for pool in pools for model in pool["models"]}
    # while clients change, the key of before is one more of the same name, so limits and usage are those of both
    secrets = [(item, key["name"]) for key in keys for item in (key, key["previous"]) if item]
    rows: dict[str, list[tuple[str, str]]] = {
        # SHA-256 of a key -> its name, and until when it is taken
        "keys": [(item["sha256"], name) for item, name in secrets],
        "expiry": [(item["sha256"], str(item["expires_s"])) for item, _name in secrets if item["expires_s"]],
        "rate": [(key["name"], str(key["requests_per_minute"])) for key in keys if key["requests_per_minute"]],
        "concurrent": [(key["name"], str(key["concurrent"])) for key in keys if key["concurrent"]],
        # key|model, or key|* for all
        "allowed": [("%s|%s" % (key["name"], model), "1") for key in keys for model in key["models"] or ["*"]],
        # what GET /v1/models answers to a key
        "models": [(key["name"], _model_list([m for m in owner if m in (key["models"] or owner)])) for key in keys],
        "backends": [(model, pool["backend"]) for model, pool in owner.items()],
        "paths": [("|".join(path.split()), "1") for path in paths],
        # vLLM's own key
        "upstream": [(pool["backend"], pool["api_key"]) for pool in pools if pool["api_key"]],
    }
    return {name: "\n".join([_HEAD, *("%s %s" % row for row in lines)]) + "\n" for name, lines in rows.items()}


def _model_list(models: list[str]) -> str:
    """Return the answer of the OpenAI API; the time of a model is not known, and 0 to every client."""
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "vllm"} for model in models]
    return json.dumps({"object": "list", "data": data}, separators=(",", ":"))


def path_problems(paths: list[str]) -> list[str]:
    """Return what is wrong with ``vllm_gateway_paths``."""
    wrong = []
    for path in paths:
        words = path.split()
        if len(words) != 2 or not words[0].isupper() or not words[1].startswith("/") or "|" in path:
            wrong.append("vllm_gateway_paths: %r; expected a method and a path, as POST /v1/embeddings." % path)
    return wrong
