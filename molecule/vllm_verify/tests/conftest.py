# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports that the runs of this scenario write."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import pytest

#: vllm_report_dir of molecule.yml.
REPORTS = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "reports"


@dataclasses.dataclass
class Reported:
    """A run of a playbook, and the report that it wrote."""

    status: int
    output: str
    folder: pathlib.Path
    document: dict


@pytest.fixture
def reported(play):
    """Return a function that runs a playbook as ``play`` does, which has to write exactly one report."""

    def run(*arguments: str, playbook: str = "deploy_medium.yml", **more) -> Reported:
        before = set(REPORTS.rglob("report.json"))
        done = play(*arguments, playbook=playbook, **more)
        written = set(REPORTS.rglob("report.json")) - before
        assert len(written) == 1, done.output
        path = written.pop()
        assert {"index.html", "report.md"} <= {item.name for item in path.parent.iterdir()}
        return Reported(done.status, done.output, path.parent, json.loads(path.read_text(encoding="utf-8")))

    return run
