# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM's registry says of each architecture, by release; read from vllm_models.json.

The data file is derived from the wheels on PyPI by tools/derive_vllm_options (docs/versions.md). It is read when first
asked for, once. For the controller: a module that runs on a host has no data file beside it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import functools
import json
import pathlib

from ansible_collections.myia.vllm.plugins.module_utils.common import versions as version_numbers

DATA = pathlib.Path(__file__).with_name("vllm_models.json")

#: The group of draft models, which vLLM loads beside another model only.
DRAFTS = "speculative_decoding"


@functools.cache
def data() -> dict:
    """Return the content of the data file: "versions" and "architectures"."""
    return json.loads(DATA.read_text(encoding="utf-8"))


def versions() -> list[str]:
    """Return the releases of the data file, oldest first."""
    return list(data()["versions"])


def nearest_known(version: str) -> str:
    """Return the release of the data file that ``version`` is treated as: the newest one not after it, else the oldest.

    What is no version counts as the newest.
    """
    known, wanted = versions(), version_numbers.release(version)
    if wanted is None:
        return known[-1]
    earlier = [item for item in known if version_numbers.release(item) <= wanted]
    return (earlier or known)[-1 if earlier else 0]


@functools.cache
def architectures(version: str) -> dict[str, dict]:
    """Return {architecture: {groups, flags}} of the release that ``version`` is treated as.

    ``groups`` are the registry's dictionaries that name it (text_generation, embedding, speculative_decoding ...).
    ``flags`` say what its class can: pooling, generate, multimodal, transcription, transcription_only, realtime.
    """
    order = {item: index for index, item in enumerate(versions())}
    here, newest = order[nearest_known(version)], len(order) - 1
    found = {}
    for name, history in data()["architectures"].items():
        for span in history:
            if order[span["since"]] <= here <= (order[span["until"]] if "until" in span else newest):
                found[name] = {"groups": tuple(span["groups"]), "flags": frozenset(span["flags"])}
    return found


def spans(architecture: str) -> list[dict]:
    """Return the spans of releases that know an architecture, oldest first; empty for one that none knows."""
    return data()["architectures"].get(architecture, [])
