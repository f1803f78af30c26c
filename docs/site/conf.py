# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx' settings for the documentation's site, whose pages tools/docs_site.py lays out as in the repository."""

from __future__ import annotations

import pathlib
import posixpath
import re

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = pathlib.Path(__file__).resolve().parents[2]
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))

project = "%(namespace)s.%(name)s" % GALAXY
release = GALAXY["version"]
copyright = "myia.vllm contributors"

# no intersphinx: a build needs no network
extensions = ["myst_parser", "sphinx_antsibull_ext"]
nitpicky = True
# of Ansible itself, which the callback plugin's fragments name too
nitpick_ignore = [("envvar", "ANSIBLE_DISPLAY_SKIPPED_HOSTS"), ("envvar", "ANSIBLE_SHOW_CUSTOM_STATS")]
default_role = "any"
highlight_language = "text"
# options begin with two dashes, and stay so
smartquotes = False
myst_heading_anchors = 4

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_search_scorer = str(pathlib.Path(__file__).with_name("scorer.js"))
html_copy_source = False
html_show_sourcelink = False
html_use_index = False


#: Where Ansible's own documentation has what antsibull-docs refers to.
ANSIBLE = "https://docs.ansible.com/ansible/latest/"
ANSIBLE_LABELS = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


class RepositoryLinks(SphinxPostTransform):
    """Turns a Markdown link to a file that has no page here into one to the repository.

    A link to what is no file there either stays as it is: then Sphinx warns, and a warning fails the build.
    """

    # before MyST looks for it
    default_priority = 8

    def run(self, **_kwargs: object) -> None:
        """Look at every link of a page."""
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node["reftype"] != "myst" or node["refdomain"] == "doc" or node["reftarget"].startswith("#"):
                continue
            folder = posixpath.dirname(node["refdoc"])
            path = posixpath.normpath(posixpath.join(folder, node["reftarget"].partition("#")[0]))
            if not path.startswith("..") and (ROOT / path).exists():
                kind = "tree" if (ROOT / path).is_dir() else "blob"
                url = "%s/%s/main/%s" % (GALAXY["repository"], kind, path)
                node.replace_self(nodes.reference("", "", *node.children, refuri=url, internal=False))


def to_ansible(_app: Sphinx, _env: object, node: addnodes.pending_xref, contnode: nodes.Element) -> nodes.Node | None:
    """Return a plain link for a reference into Ansible's documentation; None for what it does not have."""
    label = node["reftarget"]
    page = ANSIBLE_LABELS.get(label)
    plugin = re.fullmatch(r"ansible_collections\.(\w+)\.(\w+)\.(\w+)", label)
    if plugin and "%s.%s" % plugin.groups()[:2] != project:
        page = "collections/%s/%s/%s.html" % plugin.groups()
    return nodes.reference("", "", contnode, refuri=ANSIBLE + page, internal=False) if page else None


def shorten(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Fit a page of antsibull-docs to the theme, which has tables of contents of its own and titles at the side."""
    if docname.startswith("reference/"):
        text = re.sub(r"^\.\. contents::\n(?:   :.*\n)+", "", source[0], flags=re.MULTILINE)
        title = r"\1\n%s\n\n\2.\n" % ("+" * 80)
        text = re.sub(r"^myia\.vllm\.(\w+ \w+) -- (.*)\n\++\n", title, text, flags=re.MULTILINE)
        source[0] = text.replace("Myia.Vllm\n=========\n", "Modules, plugins, roles\n=======================\n")


def setup(app: Sphinx) -> None:
    """Add what the settings above cannot say."""
    # a change here makes every page anew
    app.add_config_value("site_settings", pathlib.Path(__file__).read_text(encoding="utf-8"), "env")
    app.connect("source-read", shorten)
    app.add_post_transform(RepositoryLinks)
    app.connect("missing-reference", to_ansible)
