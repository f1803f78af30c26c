# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run over a fleet came to: rows, verdict, message and page."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.fleet import outcome, page
from ansible_collections.myia.vllm.plugins.plugin_utils.report import files as report_files


def row(host: str, state: str, verdict: str = "", **more: object) -> dict:
    """One host's row."""
    usual = {"release": "", "downtime_s": None, "gate": "", "sentence": "", "path": ""}
    return {"host": host, "state": state, "verdict": verdict, **usual, **more}


#: What the role vllm_service returns of a release that was switched to.
SWITCHED = {"release": {"start": {"downtime_s": 31.5}}}


@pytest.mark.parametrize(
    ("seen", "state", "downtime"),
    [
        ({"begun": True, "report": {"verdict": "deployed"}, "service": SWITCHED}, "deployed", 31.5),
        # the start of a release that served before is not this run's
        ({"begun": True, "report": {"verdict": "nothing_to_do"}, "service": SWITCHED}, "unchanged", None),
        ({"begun": False}, "not_reached", None),
        ({"begun": True, "failure": "x", "report": {"verdict": "failed_went_back"}}, "failed", None),
        # its turn ended before it was begun
        ({"begun": False, "failure": "others do not serve"}, "failed", None),
        # Ansible lost it in its turn, so that it has neither a failure nor a report
        ({"begun": True}, "failed", None),
        ({"begun": True, "report": {"verdict": "unreachable"}}, "failed", None),
        # only its report has failed
        ({"begun": True, "report": {"verdict": "unreported"}, "service": {**SWITCHED, "changed": True}}, "deployed",
         31.5),
    ],
)  # fmt: skip
def test_row(seen: dict, state: str, downtime: float | None) -> None:
    """What is missing is empty."""
    found = outcome.row("a", seen, False)
    assert (found["state"], found["downtime_s"]) == (state, downtime)


def test_a_host_of_which_nothing_is_known() -> None:
    """It is neither on the release nor does it serve for certain."""
    found = outcome.row("b", {"begun": True}, False)
    assert "nothing is known" in found["sentence"]
    verdict = outcome.judge("chat", [row("a", "deployed"), found])
    assert (verdict["id"], "Not serving, or not known: b." in verdict["sentence"]) == ("fleet_failed", True)


def test_a_host_that_was_looked_at_in_check_mode() -> None:
    """It was neither deployed nor left alone."""
    assert outcome.row("a", {"begun": True, "report": {"verdict": "would_change"}}, True)["state"] == "would"


@pytest.mark.parametrize(
    ("rows", "verdict", "sentence"),
    [
        ([row("a", "deployed"), row("b", "deployed")], "fleet_deployed", "2 of 2 hosts of chat deployed."),
        ([row("a", "deployed"), row("b", "unchanged")], "fleet_deployed",
         "1 of 2 hosts of chat deployed; 1 had the release already."),
        ([row("a", "unchanged")], "fleet_nothing_to_do", "All 1 hosts of chat are on the release already."),
        ([row("a", "deployed"), row("b", "failed", "failed_went_back"), row("c", "not_reached")], "fleet_stopped",
         "1 of 3 hosts of chat failed (b); 1 on the new release, 1 left as they were. Those that failed serve."),
        ([row("a", "failed", "failed_nothing_serves"), row("b", "not_reached")], "fleet_failed",
         "1 of 2 hosts of chat failed (a); 0 on the new release, 1 left as they were. Not serving, or not known: a."),
        ([row("a", "would"), row("b", "would")], "fleet_would", "2 hosts of chat would be deployed."),
    ],
)  # fmt: skip
def test_verdict(rows: list, verdict: str, sentence: str) -> None:
    """One host that failed makes the run one that stopped."""
    found = outcome.judge("chat", rows)
    assert (found["id"], found["sentence"]) == (verdict, sentence)


def test_refused() -> None:
    """The reason is the sentence."""
    assert outcome.judge("chat", [row("a", "not_reached")], "b: no answer.")["id"] == "fleet_refused"


def test_report_and_message(tmp_path) -> None:
    """The page leads to the hosts' own, shows what was said as text, and is listed beside them."""
    path = str(tmp_path / "reports/a/chat/20260101T000000Z")
    rows = [
        row("a", "deployed", "deployed", release="r2", downtime_s=31.5, gate="Not slower.", path=path),
        row("b", "failed", "failed_went_back", sentence="it <b>broke</b>\nand went back"),
        row("c", "not_reached"),
    ]
    verdict = outcome.judge("chat", rows)
    about = {"service": "chat", "at": "2026-01-01T00:00:00Z", "check_mode": False, "standins": False}
    document = outcome.document(
        about, rows, [["a"], ["b"], ["c"]], [{"host": "b", "why": "its service does not answer"}], verdict
    )
    written = report_files.write(str(tmp_path), document, 5, page.forms(document))
    html = (written / "index.html").read_text(encoding="utf-8")
    assert written.parent == tmp_path / "reports/fleet/chat"
    assert 'href="../../../a/chat/20260101T000000Z/index.html"' in html
    assert "it &lt;b&gt;broke&lt;/b&gt;" in html and "<b>broke" not in html
    assert json.loads((written / "report.json").read_text(encoding="utf-8"))["hosts"] == rows
    assert "| b | ✗ failed. it \\<b>broke\\</b> and went back |" in (written / "report.md").read_text(encoding="utf-8")
    index = (tmp_path / "reports/index.html").read_text(encoding="utf-8")
    assert "fleet/chat/20260101T000000Z/index.html" in index and "Fleet stopped" in index
    text = outcome.closing(verdict, rows, str(written))
    assert text.splitlines() == [
        "Fleet stopped. 1 of 3 hosts of chat failed (b); 1 on the new release, 1 left as they were. "
        "Those that failed serve.",
        "  a: deployed, release r2, nothing answered on it for 31.5 s, Not slower",
        "  b: failed",
        "    it <b>broke</b>",
        "    and went back",
        "  c: not begun",
        "Report: %s/index.html" % written,
    ]
