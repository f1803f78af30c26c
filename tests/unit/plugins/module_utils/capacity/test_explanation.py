# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic in lines."""

from __future__ import annotations

from capacity_cases import medium


def test_several_ways_to_start() -> None:
    """The lines say when they show one of several ways to start."""
    for version, several in ((None, True), ("0.8.4", True), ("0.11.0", False)):
        text = "\n".join(medium(vllm_version=version)["explanation"])
        assert ("spans every way" in text) is several


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
