# SPDX-License-Identifier: GPL-3.0-or-later
"""What is downloaded before the switch.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import HUB_ID, HUB_REVISION, TRUE
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems

#: Variables of ``vllm_extra_env`` that the download of weights needs too: the hub's own, proxies, certificates, home.
_PREFETCH_ENV = re.compile(
    r"^(HOME|HF_\w+|HUGGINGFACE_\w+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|all|no)_proxy))\Z"
)


def _is_on(extra_env: list[tuple[str, str]], name: str) -> bool:
    return dict(extra_env).get(name, "").strip().lower() in TRUE


def _prefetches(v: dict, extra_env: list[tuple[str, str]]) -> bool:
    """Tell whether anything may be downloaded before the switch; ModelScope's models are not on the hub."""
    return v["vllm_prefetch"] and not _is_on(extra_env, "VLLM_USE_MODELSCOPE")


def serves_offline(v: dict, extra_env: list[tuple[str, str]]) -> bool:
    """Tell whether the service itself never asks the hub, and so needs no token.

    A local model may still name other repositories in ways that nobody here knows, so it stays as it was.
    """
    if not _prefetches(v, extra_env) or v["vllm_model"].startswith("/"):
        return False
    return "HF_HUB_OFFLINE" not in dict(extra_env) or _is_on(extra_env, "HF_HUB_OFFLINE")


def check_prefetch(v: dict, problems: Problems) -> None:
    for given in v["vllm_prefetch_models"]:
        if not isinstance(given, str) or not HUB_REVISION.match(given):
            problems.add(
                "vllm_prefetch_models",
                "%r is no Hugging Face id. Use organisation/name, or organisation/name@revision." % (given,),
            )


def prefetch_models(v: dict, extra_options: list[tuple[str, object]], extra_env: list[tuple[str, str]]) -> list[dict]:
    """Return ``{id, revision, load_format}`` of each repository that the service reads, the model first, each once."""
    if not _prefetches(v, extra_env):
        return []
    options = dict(extra_options)
    found = []
    if not v["vllm_model"].startswith("/"):
        found.append((v["vllm_model"], v["vllm_model_revision"] or "", str(options.get("load-format") or "auto")))
    found += [(name, revision, "auto") for name, revision in _further_models(options)]
    for given in v["vllm_lora_adapters"] or []:
        found.append((str(given["source"]), str(given.get("revision") or ""), "auto"))
    for given in v["vllm_prefetch_models"]:
        name, revision = HUB_REVISION.match(given).groups()
        found.append((name, revision or "", "auto"))
    names = ("id", "revision", "load_format")
    return [dict(zip(names, values)) for values in dict.fromkeys(found) if HUB_ID.match(values[0])]


def _further_models(options: dict) -> list[tuple[str, str]]:
    """Return (repository, revision) of what options of ``vllm serve`` name beside the model."""
    draft = options.get("speculative-config")
    try:
        draft = json.loads(draft) if isinstance(draft, str) else draft
    except ValueError:
        draft = {}
    draft = draft if isinstance(draft, dict) else {}
    found = [
        (options.get("tokenizer"), options.get("tokenizer-revision")),
        (options.get("hf-config-path"), ""),
        (options.get("spec-model"), ""),
        (draft.get("model") or options.get("speculative-config.model"), draft.get("revision")),
    ]
    adapters = options.get("lora-modules") or []
    for adapter in adapters if isinstance(adapters, (list, tuple)) else [adapters]:
        path = adapter.get("path") if isinstance(adapter, dict) else str(adapter).partition("=")[2]
        found.append((path, ""))
    # a method of speculation that needs no model has a plain name in its place
    return [(str(name), str(revision or "")) for name, revision in found if name and "/" in str(name)]


def prefetch_env(v: dict, extra_env: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Return (variable in the container that downloads, name in .env, value)."""
    result = [("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", v["vllm_hf_token"])] if v["vllm_hf_token"] else []
    return result + [(name, "EXTRA_ENV_%s" % name, value) for name, value in extra_env if _PREFETCH_ENV.match(name)]
