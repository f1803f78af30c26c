# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of past reports."""

from __future__ import annotations

import html.parser
import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document
from ansible_collections.myia.vllm.plugins.plugin_utils.report import files as report_files
from ansible_collections.myia.vllm.plugins.plugin_utils.report import index as report_index
from ansible_collections.myia.vllm.plugins.plugin_utils.report import render as report_render


@pytest.fixture
def filled(report_cases, standin_cases, tmp_path):
    """Reports of several runs."""
    for day, (cases, name) in enumerate(
        [
            (report_cases, "deployed"),
            (standin_cases, "verified"),
            (report_cases, "refused"),
            (report_cases, "would_change"),
        ],
        1,
    ):
        document = report_document.build(*cases.case(name), [])
        report_files.write(
            str(tmp_path), {**document, "at": "2026-01-%02dT00:00:00Z" % day, "host": "gpu0%d" % (day % 2)}, 50
        )
    return tmp_path / "reports"


def test_entries(filled) -> None:
    """The newest first, across hosts."""
    found = report_index.entries(filled)
    assert [entry["title"] for entry in found] == ["Would change", "Refused by preflight", "Verified", "Deployed"]
    assert [entry["host"] for entry in found] == ["gpu00", "gpu01", "gpu00", "gpu01"]
    assert [entry["standins"] for entry in found] == [False, False, True, False]
    assert [entry["check_mode"] for entry in found] == [True, False, False, False]
    assert found[-1]["path"] == "gpu01/medium/20260101T000000Z/index.html"
    assert (filled / found[0]["path"]).is_file()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"verdict": 1}'])
def test_damaged(text, filled) -> None:
    """A report that cannot be read hides no other."""
    (filled / "gpu01" / "medium" / "20260101T000000Z" / "report.json").write_text(text, encoding="utf-8")
    assert len(report_index.entries(filled)) == 3


def test_verdict_of_a_newer_version(filled) -> None:
    """One that this version does not know is shown as its report has it."""
    path = filled / "gpu01" / "medium" / "20260101T000000Z" / "report.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["verdict"].update(id="new", title="New thing", tone="good")
    path.write_text(json.dumps(document), encoding="utf-8")
    assert report_index.entries(filled)[-1]["title"] == "New thing"


def test_order_within_a_second(filled) -> None:
    """The tenth comes after the ninth."""
    service = filled / "gpu01" / "medium"
    for number in (2, 10, 9):
        (service / ("20260101T000000Z-%d" % number)).mkdir()
    names = [path.name for path in report_index.reports_of(service)]
    assert names == [
        "20260101T000000Z",
        "20260101T000000Z-2",
        "20260101T000000Z-9",
        "20260101T000000Z-10",
        "20260103T000000Z",
    ]


def test_page(filled) -> None:
    """A link to each, the words of each, and hostile names are text."""
    found = report_index.entries(filled)
    found[0]["host"] = "<script>alert(1)</script>"
    text = report_render.index(found)
    tags: list[str] = []

    class Tags(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)

    Tags().feed(text)
    assert "script" not in tags
    assert tags.count("a") == 4
    assert tags.count("h1") == 1
    assert all(entry["sentence"].split(";")[0] in text for entry in found)
    assert "4 reports, the newest first." in text
    assert "1 report, the newest first." in report_render.index(found[1:2])
    assert text.count(">stand-in GPU<") == 1
