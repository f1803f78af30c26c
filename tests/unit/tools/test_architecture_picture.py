# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a deployment's way is the one that the script draws, and its words stay in their boxes."""

from __future__ import annotations

import importlib.util
import pathlib
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("architecture_picture", ROOT / "tools" / "architecture_picture.py")
architecture_picture = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(architecture_picture)

#: Characters that a box holds in the widest of the picture's fonts (DejaVu Sans), looked at in a browser.
CHARACTERS = 34


def test_committed_picture() -> None:
    """Whoever changes the script draws anew."""
    assert architecture_picture.PICTURE.read_text(encoding="utf-8") == architecture_picture.picture()


def test_well_formed() -> None:
    """Every step once with its number, and nothing from elsewhere."""
    root = ET.fromstring(architecture_picture.picture())
    numbers = [node.text for node in root if node.get("class") == "number"]
    assert numbers == [str(number) for number in range(1, len(architecture_picture.WAY) + 1)]
    assert not [value for node in root.iter() for value in node.attrib.values() if "//" in value]


def test_steps_that_are_named_are_there() -> None:
    """The way back tells steps by number."""
    steps = [step[0] for step in architecture_picture.WAY]
    numbers = (steps.index("watch") + 1, steps.index("verify") + 1)
    assert "when %d or %d fails" % numbers == architecture_picture.FAILS
    assert {architecture_picture.BESIDE, architecture_picture.BACK, *architecture_picture.CONTAINER} <= set(steps)


def test_words_fit() -> None:
    """Text of an SVG is not broken by itself."""
    words = [side for step in architecture_picture.WAY for side in step[1:3]] + [architecture_picture.WAY_BACK]
    assert [line for text in words for line in text.split("\n") if len(line) > CHARACTERS] == []
