# SPDX-License-Identifier: GPL-3.0-or-later
"""Say a diagnosis in words that a person can act on.

Private to this collection; may change at any time.
"""

from __future__ import annotations

#: What to do, by the class of the failure.
ADVICE = {
    "configuration": "Change the configuration",
    "host": "Mend the host",
    "transient": "This passes by itself; run it again later",
    "once": "It may pass with another start",
}


def lines(diagnosis: dict) -> list[str]:
    """Return for a failed diagnosis of ``StartupLog.diagnose`` what it died of, where it shows, and what to do."""
    name = diagnosis["id"] + (" (%s)" % diagnosis["ref"] if diagnosis["ref"] not in ("", diagnosis["id"]) else "")
    found = ["%s, in the phase %s: %s" % (name, diagnosis["phase"], diagnosis["cause"])]
    if diagnosis["evidence"]:
        found.append("Seen: " + diagnosis["evidence"][0])
        found += ["      " + text for text in diagnosis["evidence"][1:]]
    found.append("%s: %s" % (ADVICE.get(diagnosis["class"], "Fix"), diagnosis["fix"]))
    return found
