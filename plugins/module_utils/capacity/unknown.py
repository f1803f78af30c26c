# SPDX-License-Identifier: GPL-3.0-or-later
"""Name what a plan cannot know, so that its ranges span it. Each has the option that would say it.

Private to this collection; may change at any time. Pure Python, standard library only; runs on target hosts too.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.module_utils.capacity import outside


def causes(size: dict, asked: dict, settings: dict, rules: list[dict], draft: dict, cold: bool) -> list[str]:
    """Return what is not known and widens the ranges, a sentence each.

    Args:
        size: of ``model_config.shape``.
        asked: arguments of ``estimate.plan``.
        settings: of ``estimate.plan``.
        rules: of ``vllm_rules.rules``.
        draft: of ``speculation.added``.
        cold: whether compiling may be the widest moment of a start (``overhead.overhead``).
    """
    found = []
    if settings["version"] is None:
        found.append("the version of vLLM")
    elif len(rules) > 1:
        found.append("which of its two engines vLLM starts (VLLM_USE_V1)")
    generates = not size["pooling"]
    if generates and any(len(rule["samplers"]) > 1 for rule in rules):
        why = "whether the image has FlashInfer" if asked["environment"] is not None else "the container's variables"
        found.append("whether the sampler sorts: %s (VLLM_USE_FLASHINFER_SAMPLER)" % why)
    if cold:
        found.append("whether everything is compiled already, which takes more memory the first time")
    if size["multimodal"] and not settings["no_media"]:
        found.append("how large images, videos or sounds may be (limit-mm-per-prompt, mm-processor-kwargs)")
    if any(rule["others_count"] for rule in rules) and settings["others_gib"] is None:
        found.append("what other processes hold on the GPU, which this vLLM takes from the budget")
    if outside.is_unified(settings["gpu_name"]):
        found.append("what processes of the host take while vLLM starts, whose memory the GPU shares")
    if size["compress_ratios"]:
        found.append("how vLLM pads the layers of this model to pages of one size")
    return [*found, *draft["unknown"]]
