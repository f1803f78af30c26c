# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic in lines."""

from __future__ import annotations

import pytest
from capacity_cases import medium

from ansible_collections.myia.vllm.plugins.module_utils.capacity import explanation


def test_several_ways_to_start() -> None:
    """The lines say when they show one of several ways to start."""
    for version, several in ((None, True), ("0.8.4", True), ("0.11.0", False)):
        text = "\n".join(medium(vllm_version=version)["explanation"])
        assert ("spans every way" in text) is several


@pytest.mark.parametrize(("tokens", "said"), [(1_053_813_440, "up to 66 million of 16 tokens"), (1_588_416, "")])
def test_many_blocks(tokens, said) -> None:
    """A cache of tens of millions of blocks, as a tiny model had on two H200, is told with the time it takes."""
    found = explanation._many_blocks(tokens)
    assert bool(found) is bool(said)
    assert said in "".join(found)
    assert not found or "about 77 s more" in found[0]


def test_explanation() -> None:
    """The lines name what was found, so that the sum can be checked by hand."""
    text = "\n".join(medium()["explanation"])
    for part in (
        "24564 MiB",
        "0.90 x",
        "18.00 GiB / tensor parallel 2",
        "65536 bytes",
        "needs 8.00 GiB",
        "Verdict: yes",
    ):
        assert part in text
