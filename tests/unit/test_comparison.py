# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/comparison.md promises nothing without a test."""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCENARIOS = {
    "toolkit": "nvidia_container_toolkit",
    "engine": "docker_engine",
    "rpm": "nvidia_container_toolkit_rpm",
}


def test_each_yes_names_its_test() -> None:
    """The last column of each row is a yes with tests that are there."""
    text = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[-1] for line in text.splitlines() if line.startswith("| ") and "feature" not in line]
    assert len(rows) > 20
    known = {
        short: set(
            re.findall(r"def (test_\w+)", "".join(p.read_text() for p in ROOT.glob("molecule/%s/tests/*.py" % name)))
        )
        for short, name in SCENARIOS.items()
    }
    named = 0
    for row in rows:
        assert row.startswith("yes: "), row
        scenario = ""
        for word in re.findall(r"\b(toolkit|engine|rpm)\b|`(test_\w+)`", row):
            scenario = word[0] or scenario
            if word[1]:
                assert word[1] in known[scenario], "%s has no %s" % (scenario, word[1])
                named += 1
    assert named > 30
