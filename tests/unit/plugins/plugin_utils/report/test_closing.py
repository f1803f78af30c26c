# SPDX-License-Identifier: GPL-3.0-or-later
"""The message in which a run ends."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.report import closing

WENT_BACK = {"id": "failed_went_back", "title": "Failed, went back", "sentence": "Release a serves again."}
REFUSED = {"id": "refused", "title": "Refused by preflight", "sentence": "1 check failed (port)."}


@pytest.mark.parametrize(
    ("verdict", "failure", "path", "wanted"),
    [
        pytest.param(
            {"id": "nothing_to_do", "title": "Nothing to do", "sentence": "It serves."}, {}, "/r",
            ["Nothing to do. It serves.", "Report: /r/index.html"], id="well",
        ),
        pytest.param(
            WENT_BACK, {"message": "b did not start.\nno-memory: too large"}, "/r",
            ["Failed, went back. Release a serves again.", "b did not start.", "no-memory: too large",
             "Report: /r/index.html"], id="the-whole-cause",
        ),
        pytest.param(
            REFUSED, {"message": "1 preflight check failed; nothing was changed.\n- port: taken"}, "",
            ["Refused by preflight.", "1 preflight check failed; nothing was changed.", "- port: taken",
             "The report could not be written."], id="not-twice",
        ),
    ],
)  # fmt: skip
def test_text(verdict, failure, path, wanted) -> None:
    """State, cause and place of the report; each once."""
    assert closing.text(verdict, failure, path).splitlines() == wanted


def test_stopped_on_purpose() -> None:
    """That nothing answered is what somebody wanted, and is not told as a cause."""
    verdict = {"id": "stopped", "title": "Stopped", "sentence": "It was stopped on purpose."}
    text = closing.text(verdict, {"message": "nothing answers"}, "/r")
    assert text == "Stopped. It was stopped on purpose.\nReport: /r/index.html"
