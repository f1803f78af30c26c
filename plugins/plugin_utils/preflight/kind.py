# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kind of service a model becomes, found before the start. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.kind import model_kind
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight.finding import finding


def told(definition: dict, host: dict) -> dict | None:
    """Return what :func:`model_kind.model_kind` says; None where the model's configuration is not known."""
    model = host["model"]
    if not model["config"]:
        return None
    return model_kind.model_kind(
        model["config"],
        model.get("files"),
        definition["model_options"],
        definition["hf_overrides"],
        definition["version"],
    )


def check(kind: dict) -> dict:
    """The model can be served: it is no draft of another, and may run as it is asked to."""
    refused = kind["refusal"]
    return finding(
        "model_kind",
        not refused,
        refused or "%s (%s)" % (kind["name"], kind["reason"]),
        "a model that vLLM serves alone",
        "Set vllm_model to the model that it belongs to, or take runner out of vllm_extra_options." if refused else "",
    )


def words(kind: dict | None) -> str:
    """Return the kind in words, for a table."""
    return "%s: %s" % (kind["name"], kind["reason"]) if kind else "not known: the model's config.json cannot be read"
