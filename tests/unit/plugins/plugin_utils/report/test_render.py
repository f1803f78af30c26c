# SPDX-License-Identifier: GPL-3.0-or-later
"""The page and its Markdown twin: well formed, from nowhere else, with the same facts."""

from __future__ import annotations

import html.parser
import re

import pytest
from report_cases import Cases

from ansible_collections.myia.vllm.plugins.plugin_utils.report import blocks
from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document
from ansible_collections.myia.vllm.plugins.plugin_utils.report import plots as report_plots
from ansible_collections.myia.vllm.plugins.plugin_utils.report import render as report_render
from ansible_collections.myia.vllm.plugins.plugin_utils.report import view as report_view

SECTIONS = {
    "verdict", "access", "changes", "plan", "start", "gpu", "endpoints", "functional", "benchmark", "failure",
    "rollback", "versions",
}  # fmt: skip

#: Elements without an end in HTML, and those of SVG that ElementTree writes closed.
VOID = {"meta", "link", "br", "img"}


class Page(html.parser.HTMLParser):
    """What stands in a page."""

    def __init__(self, text: str) -> None:
        """Read ``text``."""
        super().__init__()
        self.tags, self.attributes, self.open, self.wrong, self.styles, self.words = [], [], [], [], "", ""
        self.headings, self.ids = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Take an element in."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Take in an element that is closed at once."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        """Close the element that was opened last."""
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        """Keep texts, styles apart."""
        if self.open and self.open[-1] == "style":
            self.styles += data
        else:
            self.words += data + " "

    def attribute(self, name: str) -> list[str]:
        """The values of an attribute wherever it stands."""
        return [value for _tag, key, value in self.attributes if key == name]


@pytest.fixture
def document(report_cases):
    """The document of a case."""
    return lambda name: report_document.build(*report_cases.case(name), [])


def plain(text: str) -> str:
    """A text without what Markdown and line breaks add."""
    return " ".join(re.sub(r"\\([\\`*|<\[\]#])", r"\1", text).split())


@pytest.mark.parametrize("name", Cases.names())
def test_page(name, document) -> None:
    """Every section once, elements closed, headings in order, ids that are unique and there."""
    page = Page(report_render.as_html(document(name)))
    assert page.wrong == [] == page.open
    assert set(page.ids) >= SECTIONS
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:]))
    assert page.headings.count(2) == len(SECTIONS) - 1
    for reference in page.attribute("aria-labelledby"):
        assert set(reference.split()) <= set(page.ids)
    assert ("html", "lang", "en") in page.attributes


@pytest.mark.parametrize("name", Cases.names())
def test_from_nowhere_else(name, document) -> None:
    """No script, no handler, no address but of places in the page, of its twins and of the list."""
    text = report_render.as_html(document(name))
    page = Page(text)
    assert not {"script", "iframe", "object", "embed", "img", "image", "use", "form", "base"} & set(page.tags)
    assert [item for item in page.attributes if item[1].startswith("on")] == []
    addresses = page.attribute("href") + page.attribute("src") + page.attribute("xlink:href")
    own = {"data:,", "../../../index.html", "report.md", "report.json"}
    assert {url for url in addresses if not url.startswith("#")} == own
    assert {url[1:] for url in addresses if url.startswith("#")} <= set(page.ids)
    assert re.findall(r"url\s*\(|@import|javascript:|expression\(", page.styles, re.IGNORECASE) == []
    policy = next(value for tag, key, value in page.attributes if key == "content" and "default-src" in value)
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("name", Cases.names())
def test_tables(name, document) -> None:
    """Each has a caption, headings with a scope, and rows of one length; figures stand on the right."""
    text = report_render.as_html(document(name))
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert len(tables) == text.count("<table")
    for table in tables:
        assert re.search(r"<caption>[^<]+</caption>", table)
        wide = table.count('scope="col"')
        rows = re.findall(r"<tr>.*?</tr>", table.partition("<tbody>")[2], re.DOTALL)
        assert rows
        assert all(row.count("<td") == wide - 1 and row.count('scope="row"') == 1 for row in rows)


@pytest.mark.parametrize("name", Cases.names())
def test_twins_say_the_same(name, document) -> None:
    """Every word of the sections stands in the page and in Markdown."""
    built = document(name)
    page = plain(Page(report_render.as_html(built)).words)
    markdown = plain(report_render.as_markdown(built))
    wanted = [built["verdict"]["title"], built["verdict"]["sentence"]]
    for section in report_view.sections(built):
        wanted += [section["title"], section["note"]]
        for block in section["blocks"]:
            wanted += [block.get(key, "") for key in ("label", "text", "caption")]
            wanted += block.get("items", [])
            wanted += [column["text"] for column in block.get("columns", [])]
            wanted += [cell["text"] for row in block.get("rows", []) for cell in row if isinstance(cell, dict)]
            wanted += [cell for row in block.get("rows", []) for cell in row if isinstance(cell, str)]
    assert len(wanted) > 40
    for text in wanted:
        assert plain(text) in markdown, text
        # bars without a text have a dash only where they cannot be seen
        assert text == blocks.UNKNOWN or plain(text) in page, text


@pytest.mark.parametrize("name", Cases.names())
def test_markdown_tables(name, document) -> None:
    """Rows have as many cells as their heading."""
    lines = report_render.as_markdown(document(name)).splitlines()
    tables = [n for n, line in enumerate(lines) if re.fullmatch(r"\|(-+:?\|)+", line)]
    assert tables
    for rule in tables:
        cells = lines[rule].count("|")
        rows = [line for line in lines[rule - 1 : rule] + lines[rule + 1 :]]
        for line in rows[: next((n for n, line in enumerate(rows) if not line.startswith("|")), len(rows))]:
            assert len(re.findall(r"(?<!\\)\|", line)) == cells, line


HOSTILE = "<img src=x onerror=alert(1)> {{ 7*7 }} | `code` *bold* \"q\" 'a' & </code></pre> ```\n# not a heading\n```"


@pytest.mark.parametrize("name", ["failed_still_serves", "verification_failed", "benchmark_failed", "deployed"])
def test_hostile_texts(name, report_cases) -> None:
    """What a log or a model said stays text."""
    about, results, snapshot, _failure = report_cases.case(name)
    for check in (results.get("vllm_verify_result") or {}).get("checks", []):
        check.update(reason=HOSTILE, evidence=HOSTILE)
    for run in (results.get("vllm_benchmark_result") or {}).get("runs", []):
        run.update(name=HOSTILE, problem=HOSTILE)
    about = {**about, "host": HOSTILE}
    built = report_document.build(about, results, snapshot, {"message": HOSTILE, "task": HOSTILE}, [])
    text = report_render.as_html(built)
    page = Page(text)
    assert page.wrong == []
    assert "img" not in page.tags
    assert "{{ 7*7 }}" in text
    markdown = report_render.as_markdown(built)
    assert "\n# not a heading" not in re.sub(r"(`{3,})text\n.*?\n\1", "", markdown, flags=re.DOTALL)
    assert markdown.startswith("# ")
    assert len(re.findall(r"^## ", markdown, re.MULTILINE)) == len(SECTIONS) - 1


def test_status_is_not_told_by_colour_alone(document) -> None:
    """Each tone has a sign, and stands beside a word."""
    for cell in re.findall(
        r'<span class="badge \w+">(.*?)</span> *([^<]+)</span>', report_render.as_html(document("deployed"))
    ):
        assert re.search(r'aria-hidden="true">[✓!✗•]', cell[0])
        assert cell[1].strip()


def test_plots(document) -> None:
    """A sweep has four, named and without anything that is not drawn."""
    text = report_render.as_html(document("deployed"))
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 4
    for number, svg in enumerate(plots, 1):
        assert 'role="img"' in svg
        assert 'aria-labelledby="plot-%d-name plot-%d-words"' % (number, number) in svg
        assert "http" not in svg
        assert "var(--series-1)" in svg


def test_without_pygal(document, monkeypatch) -> None:
    """The tables stay, and the page says how to get plots."""
    monkeypatch.setattr(report_plots, "pygal", None)
    text = report_render.as_html(document("deployed"))
    assert "<svg" not in text
    assert "pip install" in text
    assert "16 at a time" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("*a* `b` [c](d) # <e>", r"\*a\* \`b\` \[c\](d) \# \<e>"),
        ("two\nlines  and\tmore", "two lines and more"),
        ("vllm_max_model_len", "vllm_max_model_len"),
        (3, "3"),
    ],
)
def test_markdown(text, shown) -> None:
    """Signs of Markdown lose their meaning."""
    assert report_render.markdown(text) == shown


@pytest.mark.parametrize(("text", "marks"), [("a", "```"), ("a ``` b", "````"), ("`````", "``````")])
def test_fence(text, marks) -> None:
    """Longer than what is inside."""
    assert report_render.fence(text) == marks
