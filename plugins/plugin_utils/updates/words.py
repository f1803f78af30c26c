# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what another vLLM release changes for a service.

Private to this collection; may change at any time.
"""

from __future__ import annotations

from ansible_collections.myia.vllm.plugins.plugin_utils.updates import change as updates_change
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import history

#: Said where only the registry has newer releases.
_NOT_KNOWN = "What they change is not in this collection's table: upgrade this collection first."


def lines(service: str, host: str, version: str, releases: list[dict], change: dict | None) -> list[str]:
    """Return what a newer release changes for a service as lines for a terminal.

    Args:
        service: its name.
        host: its host in the inventory.
        version: the release that it has.
        releases: of ``history.newer``.
        change: of ``change.found``; None where there is nothing newer that this collection knows.
    """
    out = ["%s on %s: vLLM %s" % (service, host, version)]
    if not releases and not change:
        return [*out, "  There is no newer release."]
    # an older one was asked for by name where there is none
    out += ["  newer: %s" % ", ".join(map(_release, releases))] if releases else []
    if not change:
        return [*out, "  %s" % _NOT_KNOWN]
    out.append("  vLLM %s for this service:" % change["version"])
    parts = {
        "would be refused": change["refused"],
        "preflight would refuse": [
            "%s: found %s; needed %s. %s" % tuple(item[key] for key in ("id", "found", "needed", "fix"))
            for item in change["findings"]
        ],
        "warns": change["warnings"],
        "command": change["command"],
        "defaults that move, and that the service leaves to vLLM": [
            "%s: %s -> %s" % (item["option"], history.shown(item["before"]), history.shown(item["after"]))
            for item in change["defaults"]
        ],
        "metrics that are gone": change["metrics_gone"],
    }
    for title, texts in parts.items():
        if texts:
            out += ["    %s:" % title, *("      %s" % text for text in texts)]
    out += ["    %s" % text for text in (_driver(change["driver"]), _capacity(change["capacity"])) if text]
    if change["own_image"]:
        out.append("    vllm_image names no release: what it holds is known to you alone; change it with vllm_version.")
    out.append("    set: %s" % ", ".join("%s: %s" % item for item in change["variables"].items()))
    return out


def _release(item: dict) -> str:
    where = [] if item["in_table"] else ["not in this collection's table"]
    where += ["not in the registry"] if item["in_registry"] is False else []
    return item["version"] + (" (%s)" % ", ".join(where) if where else "")


def _driver(driver: dict) -> str:
    if driver["sufficient"] is True and not driver["found"]:
        return ""
    text = "image on CUDA %s, driver %d or later" % (driver["cuda"], driver["driver"])
    if not driver["found"]:
        return text + "; the host's was not seen"
    if driver["sufficient"]:
        return "%s; the host has %s" % (text, driver["found"])
    older = "; %s needs less" % driver["older_image"] if driver["older_image"] else ""
    return "%s: the host's %s is too old%s" % (text, driver["found"], older)


def _capacity(capacity: dict | None) -> str:
    if not capacity:
        return ""
    texts = [
        "fits %s, %d to %d tokens in the KV cache"
        % (capacity[key]["fits"], capacity[key]["kv_tokens"]["low"], capacity[key]["kv_tokens"]["high"])
        for key in ("before", "after")
    ]
    return "plan of GPU memory: %s" % (
        texts[0] + ", as now" if texts[0] == texts[1] else "%s; now %s" % (texts[1], texts[0])
    )


def closing(service: str, version: str, releases: list[dict], change: dict | None, asked: str) -> str:
    """Return the whole in one sentence.

    Args:
        service: name of the service.
        version: the release that it has.
        releases: of ``history.newer``.
        change: of ``change.found``; None where there is nothing newer that this collection knows.
        asked: where newer releases were looked for, in words.
    """
    if not change and not releases:
        return "%s: vLLM %s is the newest release (%s)." % (service, version, asked)
    count = _counted(len(releases), "newer release")
    if not change:
        names = ", ".join(item["version"] for item in releases)
        return "%s: vLLM %s, %s (%s): %s. %s" % (service, version, count, asked, names, _NOT_KNOWN)
    to = change["version"]
    number = len(change["refused"]) + len(change["findings"])
    if updates_change.is_taken(change):
        how = "would be taken; %s differ" % _counted(len(change["defaults"]), "default")
    else:
        how = "would be refused (%s)" % _counted(number, "problem") if number else "needs a newer driver"
    return "%s: vLLM %s, %s (%s). vLLM %s %s." % (service, version, count, asked, to, how)


def _counted(number: int, word: str) -> str:
    return "%d %s%s" % (number, word, "" if number == 1 else "s")
