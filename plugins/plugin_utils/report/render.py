# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a report's document as a page, as Markdown and as JSON, and the page that lists past ones.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re

import jinja2

from ansible_collections.myia.vllm.plugins.plugin_utils.report import view as report_view

_TEMPLATES = pathlib.Path(__file__).resolve().parents[3] / "roles" / "vllm_report" / "templates"

#: Sign of a tone, so that it is not told by colour alone.
_SIGNS = {"good": "✓", "warn": "!", "bad": "✗", "neutral": "•", "": ""}

#: What is said where a stand-in took part.
_STAND_IN = "A stand-in for a GPU took part in this: it shows that the deployment works, not what a GPU does."


@functools.cache
def _templates() -> jinja2.Environment:
    # escapes in pages; Markdown does it by its own filter
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=lambda name: ".html" in (name or ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(signs=_SIGNS, stand_in=_STAND_IN)
    environment.filters.update(md=markdown, fence=fence)
    return environment


def markdown(text: object) -> str:
    """Return a text in one line of Markdown that shows it as it is, in a table too."""
    return re.sub(r"([\\`*|<\[\]#])", r"\\\1", " ".join(str(text).split()))


def fence(text: str) -> str:
    """Return a fence that is longer than any in the text."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))


def as_html(document: dict) -> str:
    """Return the page of a document, which needs nothing from elsewhere."""
    return _templates().get_template("page.html.j2").render(_context(document))


def as_markdown(document: dict) -> str:
    """Return the same in Markdown, without plots."""
    text = _templates().get_template("report.md.j2").render(_context(document))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def as_json(document: dict) -> str:
    """Return the document itself."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def index(entries: list[dict]) -> str:
    """Return the page that lists reports; see ``report_index.entries``."""
    return _templates().get_template("index.html.j2").render(entries=entries)


def template(name: str, **context: object) -> str:
    """Return another page or text of the reports' templates."""
    return _templates().get_template(name).render(**context)


def _context(document: dict) -> dict:
    return {
        "document": document,
        "verdict": document["verdict"],
        "figures": report_view.key_figures(document),
        "sections": report_view.sections(document),
    }
