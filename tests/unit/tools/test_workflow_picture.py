# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of AWX's workflow is the one that the script draws, and it has every step of the workflow."""

from __future__ import annotations

import importlib.util
import pathlib
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("workflow_picture", ROOT / "tools" / "workflow_picture.py")
workflow_picture = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(workflow_picture)

#: Characters that a box holds.
CHARACTERS = 12


def test_committed_picture() -> None:
    """Whoever changes the workflow or the script draws anew."""
    assert workflow_picture.PICTURE.read_text(encoding="utf-8") == workflow_picture.picture()


def test_every_step_and_link() -> None:
    """A box for each step, and an arrow for each link."""
    after = workflow_picture.steps()
    assert set(after) == set(workflow_picture.PLACES)
    links = sum(len(names) for ways in after.values() for names in ways.values())
    root = ET.fromstring(workflow_picture.picture())
    classes = [node.get("class") for node in root.iter()]
    assert links == sum(classes.count(style) for style in ("back", "arm line"))
    assert classes.count("back") == sum(len(ways.get("failure", [])) for ways in after.values()) > 0
    assert not [value for node in root.iter() for value in node.attrib.values() if "//" in value]


def test_words_fit() -> None:
    """Text of an SVG is not broken by itself."""
    texts = [line for place in workflow_picture.PLACES.values() for line in (place[2], *place[3].split("\n"))]
    assert [line for line in texts if len(line) > CHARACTERS] == []
