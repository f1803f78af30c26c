# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter run_summary, by its full name in a template, as the role uses it."""

from __future__ import annotations

from ansible.template import Templar, trust_as_template


def test_filter(loader) -> None:
    """The same as the function behind it; what is known of the way back may be missing."""
    text = trust_as_template("{{ story | combine({'log': ''}, back | default({})) | myia.vllm.run_summary }}")
    story = {"service": "medium", "release": "new", "problem": "It died.", "back": "old"}
    templar = Templar(loader=loader, variables={"story": story})
    assert templar.template(text) == "Release new of medium does not serve; release old serves again.\nIt died."
    templar = Templar(loader=loader, variables={"story": story, "back": {"back_problem": "Port taken."}})
    assert "NOTHING SERVES NOW" in templar.template(text)
