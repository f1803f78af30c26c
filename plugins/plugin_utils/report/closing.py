# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the one message in which a run ends.

Private to this collection; may change at any time.
"""

from __future__ import annotations


def text(verdict: dict, failure: dict, path: str) -> str:
    """Return what a run came to, why, and where more stands.

    The state in it is the verdict's, which was asked for at the end; the message of a failure tells why.

    Args:
        verdict: ``id``, ``title`` and ``sentence`` of ``verdict.verdict``.
        failure: ``message`` of the task that ended the run; empty when none did.
        path: folder of the report; empty where none could be written.
    """
    head = "%s. %s" % (verdict["title"], verdict["sentence"])
    message = str(failure.get("message") or "").strip()
    if verdict["id"] == "refused" and message:
        # the report of the checks says the same and more
        head = "%s." % verdict["title"]
    if verdict["id"] == "stopped":
        # that nothing answers is what somebody wanted
        message = ""
    parts = [head, message] if message else [head]
    parts.append("Report: %s/index.html" % path if path else "The report could not be written.")
    return "\n".join(parts)
