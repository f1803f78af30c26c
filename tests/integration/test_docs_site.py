# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's site: it is built without a warning, everything has its page, and no link or picture is dead."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import yaml
from browser import browser

#: Widths at which every page is looked at, in CSS pixels: a desk's, and a phone's.
WIDTHS = (1280, 390)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REPOSITORY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"]


class Page(HTMLParser):
    """What a page refers to, and the places in it that others can refer to."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read the page."""
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def dead_links(site: pathlib.Path) -> list[str]:
    """Return every link and picture of a built site that leads nowhere, in the site or in the repository."""
    pages = {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}
    dead = []
    for name, page in pages.items():
        for link in page.links:
            kind, sep, inside = link.removeprefix(REPOSITORY).partition("/main/")
            if link.startswith(REPOSITORY) and sep and kind in ("/blob", "/tree"):
                fine = (ROOT / inside.partition("#")[0]).exists()
            elif urlsplit(link).scheme or link.startswith("//"):
                continue
            else:
                target = urlsplit(urljoin(name, link))
                path = unquote(target.path)
                fine = (site / path).is_file() and (
                    path not in pages or unquote(target.fragment) in pages[path].anchors
                )
            if not fine:
                dead.append("%s: %s" % (name, link))
    return dead


@pytest.mark.parametrize(
    ("body", "dead"),
    [
        ('<p id="here"></p><a href="#here">x</a><a href="other.html#there">x</a><a href="folder/">x</a>', ["folder/"]),
        ('<a href="#nowhere">x</a>', ["#nowhere"]),
        ('<a href="other.html#nowhere">x</a>', ["other.html#nowhere"]),
        ('<a href="gone.html">x</a>', ["gone.html"]),
        ('<img src="picture.png"><img src="gone.png?v=1">', ["gone.png?v=1"]),
        ('<a href="https://example.org/gone"></a><a href="mailto:a@example.org"></a><a href="#"></a>', []),
        ('<a href="%s/blob/main/README.md#x"></a><a href="%s/tree/main/docs"></a>' % (REPOSITORY, REPOSITORY), []),
        ('<a href="%s/blob/main/gone.md"></a>' % REPOSITORY, ["%s/blob/main/gone.md" % REPOSITORY]),
        ('<a href="%s/issues/new"></a>' % REPOSITORY, []),
    ],
)
def test_what_is_dead(body, dead, tmp_path) -> None:
    """The rule itself."""
    (tmp_path / "index.html").write_text(body, encoding="utf-8")
    (tmp_path / "other.html").write_text('<a name="there"></a><a href="index.html">x</a>', encoding="utf-8")
    (tmp_path / "picture.png").touch()
    assert dead_links(tmp_path) == ["index.html: %s" % link for link in dead]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[pathlib.Path, subprocess.CompletedProcess]:
    """The site, built from empty, and how that went."""
    folder = tmp_path_factory.mktemp("docs")
    subprocess.run([ROOT / "tools" / "bootstrap", "docs"], check=True, timeout=600)
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "docs_site.py", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return folder / "html", done


def test_built_without_a_warning(built) -> None:
    """Neither antsibull-docs nor Sphinx has anything to say."""
    done = built[1]
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if not line.startswith("[docs ")] == []


def stems(pattern: str) -> list[str]:
    """Return the names of files of the checkout, without folder and ending."""
    found = sorted(path.stem for path in ROOT.glob(pattern))
    assert found, pattern
    return found


def test_everything_has_its_page(built) -> None:
    """Plugins, roles, playbooks, and what is written by hand. An action plugin is documented as its module."""
    wanted = {"index.html", "CONTRIBUTING.html", "CHANGELOG.html"}
    for kind, folder in (("module", "modules"), ("module", "action"), ("filter", "filter"), ("lookup", "lookup")):
        wanted |= {"reference/%s_%s.html" % (name, kind) for name in stems("plugins/%s/*.py" % folder)}
    for role in stems("roles/*"):
        wanted |= {"reference/%s_role.html" % role, "roles/%s/README.html" % role}
    wanted |= {"playbooks/%s.html" % name for name in stems("playbooks/*.yml")}
    wanted |= {"docs/%s.html" % name for name in stems("docs/*.md")}
    site = built[0]
    assert sorted(wanted - {path.relative_to(site).as_posix() for path in site.rglob("*.html")}) == []


def test_nothing_is_dead(built) -> None:
    """Every link within the site and into the repository leads somewhere, anchors and pictures too."""
    assert dead_links(built[0]) == []


def test_the_start_page_shows_pictures(built) -> None:
    """A start that is watched, and a report."""
    start = Page(built[0] / "index.html")
    assert {"_images/watched-start.svg", "_images/report-top.png"} <= set(start.links)


@pytest.fixture(scope="module")
def chromium():
    """One browser for all pages."""
    with browser() as found:
        yield found


#: What of the page's text can be seen by no means: beside the window where nothing scrolls, or cut off by its box.
CUT_OFF = """
// a phone makes innerWidth as wide as what is too wide
const width = document.documentElement.clientWidth;
const scrolls = node => ['auto', 'scroll'].includes(getComputedStyle(node).overflowX);
const inside = (node, test) => { for (; node; node = node.parentElement) if (test(node)) return true; return false; };
return [...document.querySelectorAll('article *')].filter(node => {
  if (!node.checkVisibility() || node.closest('.visually-hidden, .sr-only')) return false;
  const box = node.getBoundingClientRect();
  const beside = box.width > 1 && (box.right > width + 1 || box.left < -1) && !inside(node, scrolls);
  const cut = getComputedStyle(node).overflowX === 'hidden' && node.scrollWidth > node.clientWidth + 1;
  return beside || cut;
}).map(node => node.tagName + ' ' + node.className + ': ' + node.textContent.trim().slice(0, 60)).slice(0, 3);
"""

#: Tables that have to be scrolled sideways; those of antsibull-docs look after themselves.
WIDE_TABLES = """
return [...document.querySelectorAll('table.docutils:not(.longtable)')].filter(table => {
  const box = table.closest('.table-wrapper') || table;
  return box.scrollWidth > box.clientWidth + 1;
}).length;
"""


def test_nothing_is_cut_off(built, chromium) -> None:
    """On a desk and on a phone no page is too wide and no text is lost; on a phone no table scrolls."""
    pages = sorted(path for path in built[0].rglob("*.html"))
    assert len(pages) > 100
    wrong = []
    for page in pages:
        chromium.open(page, (WIDTHS[0], 900))
        for width in WIDTHS:
            chromium.resize((width, 900))
            found = [chromium.overflow() > 0, chromium.run(CUT_OFF), width < 500 and chromium.run(WIDE_TABLES)]
            if any(found):
                wrong.append((page.relative_to(built[0]).as_posix(), width, found))
    assert wrong == []


@pytest.mark.parametrize(
    "body",
    [
        '<p style="width: 900px">x</p>',
        '<p style="width: 100px; overflow: hidden; white-space: nowrap">a text that is longer than its box</p>',
        '<div style="overflow: hidden"><p style="position: relative; left: 800px">x</p></div>',
    ],
    ids=["too-wide", "cut-off", "beside"],
)
def test_would_be_seen(body, chromium, tmp_path) -> None:
    """Pages on which something is not to be seen."""
    page = tmp_path / "page.html"
    head = '<!DOCTYPE html><meta name="viewport" content="width=device-width"><title>x</title>'
    page.write_text("%s<article>%s</article>" % (head, body), encoding="utf-8")
    chromium.open(page, (WIDTHS[1], 900))
    assert chromium.run(CUT_OFF)


def test_code_can_be_copied(built, chromium) -> None:
    """Each block of code has a button that copies it and says so."""
    chromium.open(built[0] / "docs" / "quickstart.html")
    blocks = chromium.run("return document.querySelectorAll('div.highlight').length")
    assert blocks > 5
    assert chromium.run("return document.querySelectorAll('div.highlight button.copy').length") == blocks
    chromium.click("button.copy")
    assert waited(lambda: chromium.run("return document.querySelector('button.copy').textContent") == "Copied")


@pytest.mark.parametrize(
    "name",
    [
        "vllm_max_model_len",
        "vllm_port",
        "vllm_model",
        "vllm_gateway_keys",
        "vllm_health_timeout_s",
        "docker_engine_source",
    ],
)
def test_a_variable_is_found_first(name, built, chromium) -> None:
    """The first that the search shows is the variable's own entry."""
    (role,) = (
        path.parent.name for path in ROOT.glob("roles/*/README.md") if "\n### `%s`\n" % name in path.read_text("utf-8")
    )
    chromium.open(built[0] / "search.html")
    chromium.run("location.search = '?q=%s'" % name)
    first = "return document.querySelector('#search-results li a')?.href || ''"
    assert waited(lambda: chromium.run(first))
    # the list grows by one result after the other, the best one first
    link = chromium.run(first)
    page, anchor = urlsplit(link).path.partition("/html/")[2], urlsplit(link).fragment
    assert page == "roles/%s/README.html" % role
    text = (built[0] / page).read_text(encoding="utf-8")
    section = text.partition('id="%s"' % anchor)[2]
    assert name in section.partition("</h3>")[0], "the link leads to #%s" % anchor


def test_diagrams_are_drawn(built) -> None:
    """No page shows a diagram's source."""
    for page in built[0].rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "highlight-mermaid" not in text, page
        assert "sequenceDiagram" not in text, page


def waited(seen) -> bool:
    """Return whether something comes true within ten seconds."""
    until = time.monotonic() + 10
    while not seen():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
