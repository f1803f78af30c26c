# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge keys into Docker's ``daemon.json``. Pure Python, standard library only; runs on target hosts.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import copy
import json


class DaemonConfigError(ValueError):
    """The file cannot be merged into. The text names the position and what to do."""


def parse(text: str) -> dict:
    """Return the configuration in ``text``; an empty dictionary for a file that is not there ("" is not that).

    Raises:
        DaemonConfigError: for anything dockerd itself would not read as one JSON object.
    """
    if text.startswith("\ufeff"):
        raise DaemonConfigError("it begins with a byte order mark (BOM); save it as UTF-8 without one")
    if not text.strip():
        raise DaemonConfigError("it is empty; write {} into it, or delete it")
    try:
        data = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1].strip()
        hint = " (JSON knows no comments)" if line.startswith(("//", "#", "/*")) else ""
        raise DaemonConfigError("line %d, column %d: %s%s" % (error.lineno, error.colno, error.msg, hint)) from None
    if not isinstance(data, dict):
        raise DaemonConfigError("it holds %s where Docker expects an object ({...})" % json.dumps(data)[:40])
    if not isinstance(data.get("runtimes", {}), dict):
        raise DaemonConfigError("its key runtimes is no object; Docker would not start with it")
    return data


def _unique(pairs: list[tuple[str, object]]) -> dict:
    """Refuse a key that stands twice: merging would silently drop one of the two."""
    result: dict = {}
    for key, value in pairs:
        if key in result:
            raise DaemonConfigError("the key %r stands there twice" % key)
        result[key] = value
    return result


def merge(current: dict, wanted: dict) -> dict:
    """Return ``current`` with ``wanted`` merged in: objects key by key at every depth, anything else replaced."""
    result = copy.deepcopy(current)
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def remove(current: dict, wanted: dict) -> dict:
    """Return ``current`` without the keys that ``wanted`` names; an object left empty by that goes too."""
    result = copy.deepcopy(current)
    for key, value in wanted.items():
        if key not in result:
            continue
        if isinstance(value, dict) and value and isinstance(result[key], dict):
            rest = remove(result[key], value)
            if rest:
                result[key] = rest
            else:
                del result[key]
        else:
            del result[key]
    return result


def render(data: dict) -> str:
    """Return the text of the file: four spaces, keys in the order they had, a final newline."""
    return json.dumps(data, indent=4, ensure_ascii=False) + "\n"


#: Top-level keys that a running dockerd takes over on SIGHUP (measured on 20.10 for runtimes and default-runtime;
#: the others by Docker's documentation of dockerd, "Configuration reload behavior").
RELOADABLE = frozenset((
    "authorization-plugins",
    "debug",
    "default-runtime",
    "default-shm-size",
    "insecure-registries",
    "labels",
    "live-restore",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "features",
    "registry-mirrors",
    "runtimes",
    "shutdown-timeout",
))  # fmt: skip


def changed_keys(before: dict, after: dict) -> list[str]:
    """Return the top-level keys whose values differ, sorted."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def action_needed(before: dict, after: dict) -> str:
    """Return ``none``, ``reload`` or ``restart``: what makes a running dockerd take the change over."""
    keys = changed_keys(before, after)
    if not keys:
        return "none"
    if any(key not in RELOADABLE for key in keys):
        return "restart"
    # CDI devices are set up when the daemon starts (moby RegisterGPUDeviceDrivers).
    return "restart" if _cdi(before) != _cdi(after) else "reload"


def _cdi(config: dict) -> object:
    features = config.get("features")
    return features.get("cdi") if isinstance(features, dict) else None
