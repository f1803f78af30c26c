# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation's site, which fails by the first warning: ``python tools/docs_site.py [FOLDER]``.

The pages are laid out in FOLDER/src (``.cache/docs-site`` by default) as they lie in the repository, so that links
among them hold: README.md, docs/ and the roles' READMEs; pages made from the playbooks; the reference that
antsibull-docs makes from plugins and argument_specs. Sphinx makes FOLDER/html of them. Needs ``tools/bootstrap docs``.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import playbook_docs
import role_docs
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
SITE = ROOT / "docs" / "site"
TOOLS = ROOT / ".cache" / "docs-venv" / "bin"
#: What a README's links and pictures begin with, since Galaxy shows it where relative ones lead nowhere.
REPOSITORY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"]
FILES = "%s/blob/main/" % REPOSITORY
PICTURES = "%s/main/" % REPOSITORY.replace("https://github.com/", "https://raw.githubusercontent.com/")
#: Pages at the root of the repository, beside README.md.
ABOUT = ("CONTRIBUTING.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "SECURITY.md")
BEGUN_S = time.monotonic()


def say(text: str) -> None:
    """Tell what is being done."""
    print("[docs %4ds] %s" % (time.monotonic() - BEGUN_S, text), flush=True)


def start_page(readme: str) -> str:
    """Return the README as a page here: links into the repository stay within the site, and badges are left out."""
    text = re.sub(r"<!-- badges -->.*<!-- /badges -->\n+", "", readme, flags=re.DOTALL)
    return re.sub(r"\((?:%s|%s)" % (re.escape(FILES), re.escape(PICTURES)), "(", text)


def pages() -> dict[str, str]:
    """Return every page that is no reference, by its place on the site."""
    files = [*(ROOT / name for name in ABOUT), *sorted((ROOT / "docs").glob("*.md"))]
    found = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    start = start_page((ROOT / "README.md").read_text(encoding="utf-8"))
    found["index.md"] = start + (SITE / "contents.md").read_text(encoding="utf-8")
    found.update({"playbooks/%s" % name: text for name, text in playbook_docs.pages().items()})
    roles = sorted(path.parent.name for path in ROOT.glob("roles/*/README.md"))
    rows = []
    for role in roles:
        title, rest = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8").split("\n", 1)
        link = "Entry points and options in full: [reference](../../reference/%s_role.rst).\n" % role
        found["roles/%s/README.md" % role] = "%s\n\n%s%s" % (title, link, rest)
        rows.append("| [%s](%s/README.md) | %s |" % (role, role, role_docs.specs(role)["main"]["short_description"]))
    table = "| role | what it is |\n|---|---|\n%s\n" % "\n".join(rows)
    tree = "\n".join("%s <%s/README>" % (role, role) for role in roles)
    found["roles/index.md"] = "# Roles\n\n%s\n```{toctree}\n:hidden:\n\n%s\n```\n" % (table, tree)
    return found


def lay_out(source: pathlib.Path) -> None:
    """Write the pages and pictures; what did not change keeps its time, and pages of before go."""
    wanted = pages()
    for path in [*source.rglob("*.md")]:
        if str(path.relative_to(source)) not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    shutil.rmtree(source / "docs" / "images", ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "images", source / "docs" / "images")


def run(what: str, command: list[str | pathlib.Path]) -> None:
    """Run one of the tools in the checkout; what it says is shown, and its failure ends the build."""
    say(what)
    path = os.pathsep.join([str(TOOLS), str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    done = subprocess.run([TOOLS / command[0], *command[1:]], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        say("ERROR: %s ended with status %d" % (command[0], done.returncode))
        sys.exit(1)


def main() -> int:
    """Build the site."""
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".cache" / "docs-site").resolve()
    source, reference = folder / "src", folder / "src" / "reference"
    reference.mkdir(parents=True, exist_ok=True)
    # antsibull-docs writes only where nobody else can
    reference.chmod(0o700)
    # Sphinx reads all that it makes: rstcheck would find nothing more
    lint = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."]
    run("checking the documentation of plugins and roles", lint)
    write = ["antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error"]
    run("writing their pages", [*write, "--cleanup", "everything", "--dest-dir", reference, "myia.vllm"])
    say("writing the pages of playbooks, roles and docs/")
    lay_out(source)
    build = ["sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "-c", SITE, "-d", folder / "doctrees"]
    run("making HTML of all pages", [*build, source, folder / "html"])
    say("%s" % (folder / "html" / "index.html"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
