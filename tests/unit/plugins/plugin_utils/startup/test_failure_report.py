# SPDX-License-Identifier: GPL-3.0-or-later
"""A diagnosis in words, for every class."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.startup import failure_catalogue, failure_report

FAILURE = {
    "id": "gpu-out-of-memory", "ref": "V14", "phase": "load", "cause": "No room.", "fix": "Set vllm_x.",
    "class": "host", "evidence": ["first", "second"],
}  # fmt: skip


def test_lines() -> None:
    """Name, phase, cause, what was seen, what to do."""
    assert failure_report.lines(FAILURE) == [
        "gpu-out-of-memory (V14), in the phase load: No room.",
        "Seen: first",
        "      second",
        "Mend the host: Set vllm_x.",
    ]


@pytest.mark.parametrize("ref", ["", "gpu-out-of-memory"])
def test_without_a_reference(ref) -> None:
    """The name stands there once."""
    assert failure_report.lines({**FAILURE, "ref": ref})[0].startswith("gpu-out-of-memory, in the phase ")


def test_without_evidence() -> None:
    """Nothing seen, nothing said."""
    assert len(failure_report.lines({**FAILURE, "evidence": []})) == 2


@pytest.mark.parametrize("cls", failure_catalogue.CLASSES)
def test_each_class_has_its_advice(cls) -> None:
    """No class of the catalogue is forgotten."""
    assert failure_report.lines({**FAILURE, "class": cls})[-1] == "%s: Set vllm_x." % failure_report.ADVICE[cls]


def test_what_has_no_class() -> None:
    """A stall is of none."""
    assert failure_report.lines({**FAILURE, "class": ""})[-1] == "Fix: Set vllm_x."
