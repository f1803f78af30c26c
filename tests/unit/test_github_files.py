# SPDX-License-Identifier: GPL-3.0-or-later
"""What GitHub reads beside workflows: forms for issues as GitHub takes them, and the files that others look for."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
REPOSITORY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"]

#: Texts that lead readers somewhere from outside of the checkout.
OUTSIDE = ["CODE_OF_CONDUCT.md", "SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml"]


def test_there_are_forms() -> None:
    """One for what is broken, one for a failure that nobody could name, one for what is missing."""
    assert [path.stem for path in FORMS] == ["bug_report", "feature_request", "unknown_failure"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_form(path) -> None:
    """GitHub ignores a form without these keys, and one in which two questions have the same id."""
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    questions = [item for item in form["body"] if item["type"] != "markdown"]
    assert questions
    assert all(item["type"] in {"textarea", "input", "dropdown", "checkboxes"} for item in questions)
    assert all(item["attributes"]["label"] for item in questions)
    ids = [item["id"] for item in questions]
    assert len(set(ids)) == len(ids)
    assert any(item.get("validations", {}).get("required") for item in questions)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_playbooks_exist(path) -> None:
    """What a form tells its reader to run is here."""
    for name in re.findall(r"\b\w+\.yml\b", path.read_text(encoding="utf-8")):
        assert (ROOT / "playbooks" / name).exists(), name


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_into_the_repository(name) -> None:
    """They are absolute, since the file is read elsewhere, and lead to files that are there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    inside = re.findall(re.escape(REPOSITORY) + r"/blob/main/([\w./-]+)", text)
    assert all((ROOT / target).exists() for target in inside)
    assert not re.findall(r"\]\((?!https://)[^)]*\)", text)


def test_no_invented_addresses() -> None:
    """Nobody is named whom the repository does not know: reports go through GitHub."""
    for name in OUTSIDE:
        assert not re.findall(r"[\w.]+@[\w-]+\.\w+", (ROOT / name).read_text(encoding="utf-8"))


def test_the_changelog_can_be_written() -> None:
    """Its file is there before the first release; what antsibull-changelog remembers is neither kept nor shipped."""
    log = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))
    assert set(log) == {"ancestor", "releases"}
    assert "/changelogs/.plugin-cache.yaml" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert "changelogs/.plugin-cache.yaml" in galaxy["build_ignore"]
