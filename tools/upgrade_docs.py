# SPDX-License-Identifier: GPL-3.0-or-later
"""Write ``docs/upgrading.md`` from the table of vLLM's options.

Usage: ``python tools/upgrade_docs.py`` writes; with ``--check`` it only says whether it is out of date (exit status 1).
"""

from __future__ import annotations

import pathlib
import re
import sys

from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "upgrading.md"

HEAD = """<!-- Generated from the table of vLLM's options by `make docs-roles`. -->
# Upgrading vLLM

Which vLLM a service has is its `vllm_version`; where that is not set it moves with the collection. Let the collection
look first; the first three lines are a choice:

```sh
ansible-playbook -i inventories/medium check_updates.yml                  # the newest release, for this service
ansible-playbook -i inventories/medium check_updates.yml -e vllm_updates_to=%(middle)s
ansible-playbook -i inventories/medium check_updates.yml -e vllm_updates_file=inventory   # write it, too
ansible-playbook -i inventories/medium deploy_medium.yml --check --diff   # what a deployment would change
ansible-playbook -i inventories/medium deploy_medium.yml
```

It names what would be refused with the fix, which defaults move that the service leaves to vLLM, the driver that
the image needs and whether the host has it, and the plan of GPU memory before and after. It asks the registry which
releases there are; without one (`vllm_updates_offline`) it goes by the table that this page is made of. Where a host
has several services it looks at each.

A deployment that fails goes back to the old release by itself; `rollback_medium.yml` goes back later. The old image
stays on the host, so neither needs a download. Pin what has proven itself: `pin_medium.yml` writes the image's digest
and the model's commit into the inventory.

An upgrade over several releases is one step: only what differs between the two ends counts. What each release brought
is below, %(first)s to %(last)s; a patch release that changed no option, default, metric or driver is left out.
"""


def section(before: str, after: str) -> str:
    """Return what a release changed against the one before; empty for nothing."""
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (  # noqa: PLC0415 loader first
        vllm_versions,
    )
    from ansible_collections.myia.vllm.plugins.plugin_utils.updates import history  # noqa: PLC0415 loader first

    lines = []
    old, new = (vllm_versions.minimum_driver(item) for item in (before, after))
    if (old["cuda"], old["driver"]) != (new["cuda"], new["driver"]):
        lines.append("- **Driver:** image on CUDA %s, driver %d or later (was CUDA %s, %d)%s" % (
            new["cuda"], new["driver"], old["cuda"], old["driver"],
            "; the tag `%s` needs less" % new["older_image"] if new["older_image"] else "",
        ))  # fmt: skip
    lines += ["- **Configuration:** %s" % text for text in history.notes(before, after)]
    gone = history.gone(before, after)
    lines += ["- **Gone:** `%s`: %s" % (name, code(instead)) for name, instead in gone.items()]
    lines += [
        "- **Default:** `%s`: %s, was %s"
        % (item["option"], history.shown(item["after"]), history.shown(item["before"]))
        for item in history.defaults(before, after)
    ]
    metrics = history.metrics_gone(before, after)
    if metrics:
        lines.append("- **Metrics that are gone:** %s" % ", ".join("`%s`" % name for name in metrics))
    came = history.came(before, after)
    if came:
        lines.append("- **New options:** %s" % ", ".join("`%s`" % name for name in came))
    return "## %s\n\n%s\n" % (after, "\n".join(lines)) if lines else ""


def code(text: str) -> str:
    """Return a text with the names of options and variables in it as code."""
    return re.sub(r"\b([a-z]+(?:[-_.][a-z0-9_.]+)+)", r"`\1`", text)


def page() -> str:
    """Return the wanted text of the page, the newest release first."""
    init_plugin_loader([str(ROOT / "collections")])
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (  # noqa: PLC0415 loader first
        vllm_options,
    )

    known = vllm_options.versions()
    parts = [section(before, after) for before, after in zip(known, known[1:], strict=False)]
    head = HEAD % {"first": known[0], "last": known[-1], "middle": known[-2]}
    return "\n".join([head, *filter(None, reversed(parts))])


def main() -> int:
    """Write or check the page; return the exit status."""
    wanted = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        print("out of date (run make docs-roles): %s" % PAGE.relative_to(ROOT))
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    print("written: %s" % PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
