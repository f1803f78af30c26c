# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a failed deployment: what happened, what serves now, where to look."""

from __future__ import annotations

import pytest
from ansible.template import Templar, trust_as_template

from ansible_collections.myia.vllm.plugins.filter.run_summary import run_summary

STORY = {"service": "medium", "release": "new", "problem": " It died.\n", "log": "/opt/x/failed-start.log"}
FIRST = (
    "Release new of medium does not serve. There was no good release to go back to: the container was removed, and "
    "nothing is half up."
)
LOG = "Log of the failed start, on the host: /opt/x/failed-start.log"


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        pytest.param(
            {"back": ""},
            [FIRST, "It died.", LOG],
            id="first-deployment-ever",
        ),
        pytest.param(
            {"back": "", "left": "Docker is dead."},
            ["Release new of medium does not serve. There was no good release to go back to, and the container could "
             "not be removed.", "It died.", "Remove it by hand (docker rm -f): Docker is dead.", LOG],
            id="something-is-left",
        ),
        pytest.param(
            {"back": "old", "back_s": 41.3},
            ["Release new of medium does not serve; release old serves again after 41 s.", "It died.", LOG],
            id="back",
        ),
        pytest.param(
            {"back": "old", "back_s": 75.2},
            ["Release new of medium does not serve; release old serves again after 1 min 15 s.", "It died.", LOG],
            id="back-after-minutes",
        ),
        pytest.param(
            {"back": "old", "back_s": None, "log": ""},
            ["Release new of medium does not serve; release old serves again.", "It died."],
            id="time-is-not-known",
        ),
        pytest.param(
            {"back": "old", "back_problem": "Port taken.\n"},
            ["Release new of medium does not serve, and going back to release old failed too.",
             "It died.", "Release old: Port taken.", LOG],
            id="nothing-serves",
        ),
        pytest.param(
            {"back": "old", "link_problem": "No space left.", "log": ""},
            ["Release new of medium does not serve; release old serves again.", "It died.",
             "The link current could not be set back; the next run mends it: No space left."],
            id="the-link-is-left",
        ),
        pytest.param(
            {"back": "old", "readmit_problem": "Requests do not come to the host again: no.", "log": ""},
            ["Release new of medium does not serve; release old serves again.", "It died.",
             "Requests do not come to the host again: no."],
            id="the-gateway-keeps-requests-away",
        ),
        pytest.param(
            {},
            [FIRST, "It died.", LOG],
            id="nothing-known-of-the-way-back",
        ),
    ],
)  # fmt: skip
def test_text(more, lines) -> None:
    """One message, the news first."""
    assert run_summary({**STORY, **more}).splitlines() == lines


def test_filter(loader) -> None:
    """By its full name in a template, as the role uses it; what is known of the way back may be missing."""
    text = trust_as_template("{{ story | combine({'log': ''}, back | default({})) | myia.vllm.run_summary }}")
    story = {"service": "medium", "release": "new", "problem": "It died.", "back": "old"}
    templar = Templar(loader=loader, variables={"story": story})
    assert templar.template(text) == "Release new of medium does not serve; release old serves again.\nIt died."
    templar = Templar(loader=loader, variables={"story": story, "back": {"back_problem": "Port taken."}})
    assert "going back to release old failed too" in templar.template(text)
