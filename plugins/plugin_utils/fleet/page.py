# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a fleet as a page, as Markdown and as JSON.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import pathlib

from ansible_collections.myia.vllm.plugins.plugin_utils.common.progress import duration
from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import outcome
from ansible_collections.myia.vllm.plugins.plugin_utils.report import render


def forms(document: dict) -> dict[str, str]:
    """Return the files of a report by their names.

    Args:
        document: of ``outcome.document``.
    """
    context = {"document": document, "verdict": document["verdict"], "rows": [_shown(row) for row in document["hosts"]]}
    return {
        "index.html": render.template("fleet.html.j2", **context),
        "report.md": render.template("fleet.md.j2", **context),
        "report.json": render.as_json(document),
    }


def _shown(row: dict) -> dict:
    tone, word = outcome.STATES[row["state"]]
    down = row["downtime_s"]
    return {
        **row,
        "tone": tone,
        "word": word,
        "down": "" if down is None else duration(down),
        # from reports/fleet/<service>/<time>/ to reports/<host>/<service>/<time>/
        "link": "../../../%s/index.html" % "/".join(pathlib.PurePath(row["path"]).parts[-3:]) if row["path"] else "",
    }
