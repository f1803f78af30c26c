# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what keeps a tag from being released: another version in galaxy.yml, or no changelog for it.

Usage: ``python tools/release_check.py v1.2.3``
"""

from __future__ import annotations

import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def problems(tag: str, root: pathlib.Path = ROOT) -> list[str]:
    """Return a sentence for each thing that is not as it has to be."""
    version = str(yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    found = []
    if tag != "v" + version:
        found.append("The tag is %s, but galaxy.yml has version %s: the tag has to be v%s." % (tag, version, version))
    log = root / "changelogs" / "changelog.yaml"
    releases = (yaml.safe_load(log.read_text(encoding="utf-8")) or {}).get("releases") or {} if log.exists() else {}
    if version not in releases:
        found.append(
            "changelogs/changelog.yaml has no release %s: run `.venv/bin/antsibull-changelog release`." % version
        )
    # Markdown of antsibull-changelog has a backslash before each point
    elif "v" + version not in (root / "CHANGELOG.md").read_text(encoding="utf-8").replace("\\", ""):
        found.append("CHANGELOG.md has no section v%s: run `antsibull-changelog generate`." % version)
    return found


if __name__ == "__main__":
    said = problems(*sys.argv[1:2])
    print("\n".join(said) or "Tag, version and changelog agree.")
    sys.exit(bool(said))
