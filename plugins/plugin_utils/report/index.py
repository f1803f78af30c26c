# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the reports that are in a folder, for the page that lists them.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import pathlib
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.report import verdict as report_verdict

#: Names of reports: the UTC time, and a number when a second run ended in the same second.
NAME = re.compile(r"^(\d{8}T\d{6}Z)(?:-(\d+))?\Z")


def reports_of(service: pathlib.Path) -> list[pathlib.Path]:
    """Return the folders of a service's reports, the oldest first."""
    found = [(match, path) for path in service.iterdir() if (match := NAME.match(path.name)) and path.is_dir()]
    return [path for match, path in sorted(found, key=lambda item: (item[0][1], int(item[0][2] or 1)))]


def entries(root: pathlib.Path) -> list[dict]:
    """Return the reports below a folder, the newest first.

    Returns:
        ``{path (of the page, from the folder), host, service, run, at, check_mode, standins, tone, title, sentence}``;
        a report whose JSON cannot be read is left out.
    """
    found = []
    for service in (path for path in root.glob("*/*") if path.is_dir()):
        for report in reports_of(service):
            entry = _entry(report, root)
            if entry:
                found.append(entry)
    return sorted(found, key=lambda entry: (entry["at"], entry["path"]), reverse=True)


def _entry(report: pathlib.Path, root: pathlib.Path) -> dict:
    try:
        document = json.loads((report / "report.json").read_text(encoding="utf-8"))
        verdict = document["verdict"]
        tone, title = report_verdict.VERDICTS.get(verdict["id"], (verdict["tone"], verdict["title"]))
        return {
            "path": (report / "index.html").relative_to(root).as_posix(),
            **{key: document[key] for key in ("host", "service", "run", "at", "check_mode", "standins")},
            "tone": tone,
            "title": title,
            "sentence": verdict["sentence"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
