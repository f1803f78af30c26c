# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page in a real browser: headless Chromium."""

from __future__ import annotations

import pytest
from browser import DESK, PHONE, assert_report, browser

from ansible_collections.myia.vllm.plugins.plugin_utils.report import document as report_document
from ansible_collections.myia.vllm.plugins.plugin_utils.report import files as report_files

SECTIONS = (
    "verdict", "access", "changes", "plan", "start", "gpu", "endpoints", "functional", "benchmark", "failure",
    "rollback", "versions",
)  # fmt: skip

#: A4 with margins of 1 cm, in CSS pixels.
PAPER = (718, 1047)

#: Pages that differ most: everything there, nothing there, a failure with evidence, broken figures.
CASES = ("deployed", "unreachable", "failed_nothing_serves", "benchmark_failed", "refused")


@pytest.fixture(scope="module")
def chromium():
    """One browser for all pages."""
    with browser() as found:
        yield found


@pytest.fixture
def written(report_cases, standin_cases, tmp_path):
    """Write the report of a case and return its page."""

    def write(name: str, standin: bool = False):
        case = (standin_cases if standin else report_cases).case(name)
        return report_files.write(str(tmp_path), report_document.build(*case, []), 0) / "index.html"

    return write


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", CASES)
def test_opens(name, size, chromium, written) -> None:
    """No complaint, no request, every section, no scrolling sideways; also with texts that do not end."""
    chromium.open(written(name), size)
    assert_report(chromium, SECTIONS)


@pytest.mark.parametrize("width", [360, 390])
@pytest.mark.parametrize("name", CASES)
def test_whole_on_a_phone(name, width, chromium, written, tmp_path) -> None:
    """Not even a table has to be scrolled sideways: each cell and bar is on the screen, and says what it is."""
    for page in (written(name), tmp_path / "reports" / "index.html"):
        chromium.open(page, (width, 780))
        assert chromium.run(BESIDE) == []
        assert not chromium.run(
            "return [...document.querySelectorAll('.scroll')].some(s => s.scrollWidth > s.clientWidth)"
        )
    said = chromium.run("return [...document.querySelectorAll('td')].map(c => getComputedStyle(c, '::before').content)")
    assert said == ['"Host: "', '"Service: "', '"Run: "', '"Verdict: "']


@pytest.mark.parametrize(
    ("picture", "size", "dark"),
    [("report-light.png", DESK, False), ("report-dark.png", DESK, True), ("report-phone.png", PHONE, False)],
)
def test_picture(picture, size, dark, chromium, written) -> None:
    """It follows the colours that its reader likes, and a picture of each is kept."""
    chromium.open(written("deployed", standin=True), size, dark)
    assert_report(chromium, SECTIONS)
    page, text = (
        chromium.run("return getComputedStyle(document.body).%s" % name) for name in ("backgroundColor", "color")
    )
    darker, lighter = (page, text) if dark else (text, page)
    assert brightness(darker) < 60
    assert brightness(lighter) > 180
    assert chromium.screenshot(picture).stat().st_size > 50_000


def test_on_paper(chromium, written) -> None:
    """White also for those who like it dark, nothing to click, and no table is cut off."""
    chromium.open(written("deployed"), PAPER, dark=True, printed=True)
    assert_report(chromium, SECTIONS)
    assert brightness(chromium.run("return getComputedStyle(document.body).backgroundColor")) == 255
    assert chromium.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    wide = (
        "return [...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1).length"
    )
    assert chromium.run(wide) == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["deployed", "failed_nothing_serves", "verification_failed"])
def test_contrast(name, dark, chromium, written) -> None:
    """Every text has the contrast that WCAG 2.1 asks for (4.5, of large text 3)."""
    chromium.open(written(name), DESK, dark)
    assert chromium.run(CONTRAST) == []


def test_long_words(chromium, report_cases, tmp_path) -> None:
    """Names without a place to break do not widen a phone's page."""
    about, results, snapshot, _failure = report_cases.case("failed_went_back")
    long = "x" * 400
    case = ({**about, "host": long[:200]}, results, snapshot, {"message": long, "task": long})
    page = report_files.write(str(tmp_path), report_document.build(*case, []), 0) / "index.html"
    chromium.open(page, PHONE)
    assert_report(chromium, SECTIONS)


def test_index(chromium, report_cases, tmp_path) -> None:
    """The list of reports opens too, and leads to each."""
    for name in CASES:
        report_files.write(str(tmp_path), report_document.build(*report_cases.case(name), []), 0)
    for size in (DESK, PHONE):
        chromium.open(tmp_path / "reports" / "index.html", size)
        assert_report(chromium, ())
    links = chromium.run("return [...document.querySelectorAll('tbody a')].map(a => a.href)")
    assert len(links) == len(CASES)
    chromium.run("document.querySelector('tbody a').click()")
    assert chromium.texts("#verdict")


@pytest.mark.parametrize(
    "what", ["<script>throw new Error('x')</script>", '<img src="http://127.0.0.1:9/x.png" alt="">']
)
def test_would_be_seen(what, chromium, tmp_path) -> None:
    """A script that fails and a request that leaves the page do not pass."""
    page = tmp_path / "page.html"
    page.write_text('<!DOCTYPE html><title>x</title><link rel="icon" href="data:,">' + what, encoding="utf-8")
    chromium.open(page)
    with pytest.raises(AssertionError):
        assert_report(chromium, ())


def test_too_wide_would_be_seen(chromium, tmp_path) -> None:
    """A phone zooms out of a page that is wider than its window, which must not hide it."""
    page = tmp_path / "page.html"
    head = '<!DOCTYPE html><meta name="viewport" content="width=device-width, initial-scale=1"><title>x</title>'
    page.write_text(head + '<main><p style="width: 900px">x</p></main>', encoding="utf-8")
    chromium.open(page, PHONE)
    assert chromium.overflow() > 500
    assert chromium.run(BESIDE)


def brightness(colour: str) -> float:
    """Mean of red, green and blue of ``rgb(1, 2, 3)``."""
    return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3


#: What a phone shows in part or not at all: an element with a text or a bar beside the window.
BESIDE = """
// a phone makes innerWidth as wide as what is too wide
const width = document.documentElement.clientWidth;
return [...document.querySelectorAll('main *, header *, nav *')].filter(node => {
  const box = node.getBoundingClientRect();
  return box.width > 1 && (box.right > width + 1 || box.left < -1) && !node.closest('thead');
}).map(node => node.tagName + ': ' + node.textContent.trim().slice(0, 60));
"""

#: Contrast of each element that has a text of its own with the first opaque background behind it.
CONTRAST = """
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const bad = [];
for (const node of document.querySelectorAll('body *')) {
  const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
  if (!own || ['STYLE', 'style', 'title', 'desc'].includes(node.tagName)) continue;
  const style = getComputedStyle(node);
  const ink = rgb(node.namespaceURI.endsWith('svg') ? style.fill : style.color);
  let behind = node;
  while (behind && (rgb(getComputedStyle(behind).backgroundColor)[3] ?? 1) < 1) behind = behind.parentElement;
  const paper = behind ? rgb(getComputedStyle(behind).backgroundColor) : [255, 255, 255];
  const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  if ((high + 0.05) / (low + 0.05) < (large ? 3 : 4.5)) bad.push(node.tagName + ': ' + node.textContent.trim());
}
return bad;
"""
