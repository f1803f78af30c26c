# SPDX-License-Identifier: GPL-3.0-or-later
"""Write ``docs/alerts.md``, to which each alert links, from the alerts themselves.

Usage: ``python tools/alert_docs.py`` writes; with ``--check`` it only says whether it is out of date (exit status 1).
"""

from __future__ import annotations

import pathlib
import re
import sys

from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "alerts.md"

HEAD = """<!-- Generated from plugins/plugin_utils/monitoring by `make docs-roles`. -->
# Alerts

What each alert means and what to do first; [monitoring](monitoring.md) tells how they are made and how soon they come.
A `page` calls somebody now, a `ticket` waits for working hours. The delays are those of the default intervals. `HOST`,
`SERVICE` and `MODEL` stand for your own.

| alert | severity | says |
|---|---|---|
"""


def shown(text: str) -> str:
    """Return a message without Prometheus' templates."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), text)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "N", text)


def page() -> str:
    """Return the wanted text of the page."""
    init_plugin_loader([str(ROOT / "collections")])
    from ansible_collections.myia.vllm.plugins.plugin_utils.monitoring import rules  # noqa: PLC0415 loader first

    alerts = rules.every_alert()
    text = HEAD
    for alert in alerts:
        text += "| [%s](#%s) | %s | %s |\n" % (alert.name, alert.name.lower(), alert.severity, shown(alert.what))
    for alert in alerts:
        delay = "after %d s" % alert.for_s if alert.for_s else "at once"
        text += "\n## %s\n\n%s.\n\n" % (alert.name, shown(alert.what)[:1].upper() + shown(alert.what)[1:])
        text += "- **Do:** %s\n- **Severity:** %s, %s\n\n```text\n%s\n```\n" % (
            re.sub(r"\b((?:vllm_\w+|\w+_(?:medium|monitoring)\.yml))", r"`\1`", alert.do),
            alert.severity,
            delay,
            alert.expr,
        )
    return text


def main() -> int:
    """Write the page, or compare it."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print("out of date: %s (make docs-roles)" % PAGE.relative_to(ROOT))
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    print("written: %s" % PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
