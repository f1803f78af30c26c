# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/release_check.py: which tags can be released."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def problems(tmp_path):
    """What it says of a checkout of version 1.2.0 whose changelog and CHANGELOG.md have the given releases."""
    spec = importlib.util.spec_from_file_location("release_check", ROOT / "tools" / "release_check.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def ask(tag: str, releases: str = "1.2.0", sections: str = r"## v1\.2\.0") -> list[str]:
        (tmp_path / "galaxy.yml").write_text("version: 1.2.0\n", encoding="utf-8")
        (tmp_path / "changelogs").mkdir()
        text = "releases:\n  %s: {release_date: '2026-01-31'}\n" % releases
        (tmp_path / "changelogs" / "changelog.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "CHANGELOG.md").write_text(sections, encoding="utf-8")
        return tool.problems(tag, tmp_path)

    return ask


@pytest.mark.parametrize("sections", [r"## v1\.2\.0", "## v1.2.0"], ids=["as-it-is-written", "by-hand"])
def test_released(sections, problems) -> None:
    """Everything agrees; antsibull-changelog escapes the points in headings."""
    assert problems("v1.2.0", sections=sections) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tag": "v1.2.1"}, "galaxy.yml has version 1.2.0"),
        ({"tag": "1.2.0"}, "the tag has to be v1.2.0"),
        ({"tag": "v1.2.0", "releases": "1.1.0"}, "changelog.yaml has no release 1.2.0"),
        ({"tag": "v1.2.0", "sections": "## v1.1.0"}, "CHANGELOG.md has no section v1.2.0"),
    ],
    ids=["other-version", "no-v", "no-release", "no-section"],
)
def test_not_yet(given, words, problems) -> None:
    """One problem, with what to do."""
    (said,) = problems(**given)
    assert words in said
