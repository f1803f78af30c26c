# SPDX-License-Identifier: GPL-3.0-or-later
"""Read ``vllm_gateway_keys``: who may ask for which models, how often, and until when.

A key itself never leaves the controller: the gateway gets its SHA-256. A plain hash is enough because keys are long
and random, which is checked here.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import datetime
import hashlib
import re

#: Fields of an entry.
_FIELDS = ("name", "key", "sha256", "models", "requests_per_minute", "concurrent", "expires", "previous")
#: Fields of the key of before, while clients change.
_PREVIOUS = ("key", "sha256", "expires")
#: Names stand in maps, logs and labels of metrics.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_HASH = re.compile(r"^[0-9a-f]{64}\Z")
#: Fewest characters of a key; 20 random letters and digits have 119 bits.
LEAST_KEY = 20


def read(value: object, models: list[str]) -> tuple[list[dict], list[str], list[str]]:
    """Return the keys, what is wrong, and what the operator should know.

    Args:
        value: the templated variable.
        models: the names of all models that the gateway serves.

    Returns:
        Each key as ``name``, ``sha256``, ``models`` (none: all), ``requests_per_minute``, ``concurrent`` (0: no limit)
        ``expires_s`` (seconds since 1970; 0: never) and ``previous``: none, or ``sha256`` and ``expires_s`` of the key
        that is taken beside it. No text holds a key or its hash.
    """
    keys: list[dict] = []
    problems: list[str] = []
    warnings: list[str] = []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return [], ["vllm_gateway_keys is no list of dictionaries (name, key, models, ...). See docs/gateway.md."], []
    for number, entry in enumerate(value, 1):
        name = str(entry.get("name") or "")
        where = "vllm_gateway_keys, entry %d" % number
        if not _NAME.match(name):
            problems.append("%s: it has no usable name: 1 to 64 letters, digits, . _ @ -" % where)
            continue
        where = "vllm_gateway_keys, %s" % name
        if name in [key["name"] for key in keys]:
            problems.append("%s: two entries have this name. Give each its own." % where)
        key, wrong = _entry(entry)
        key["name"] = name
        problems += ["%s: %s" % (where, text) for text in wrong]
        taken = {item["sha256"] for other in keys for item in (other, other["previous"]) if item}
        own = [item["sha256"] for item in (key, key["previous"]) if item and item["sha256"]]
        if taken & set(own) or len(set(own)) < len(own):
            problems.append("%s: the same key stands there twice. Give each its own." % where)
        unknown = [model for model in key["models"] if model not in models]
        if unknown:
            warnings.append("%s: no service has %s; the key has no use for it yet." % (where, ", ".join(unknown)))
        keys.append(key)
    return keys, problems, warnings


def _entry(entry: dict) -> tuple[dict, list[str]]:
    """Return one key without its name, and what is wrong with it."""
    wrong = [
        "there is no field %s; it has %s." % (field, ", ".join(_FIELDS)) for field in entry if field not in _FIELDS
    ]
    digest, problem = _digest(entry)
    wrong += problem
    models = entry.get("models") or []
    if isinstance(models, str) or not isinstance(models, list) or not all(isinstance(item, str) for item in models):
        wrong.append("models is no list of names.")
        models = []
    found = {"sha256": digest, "models": models, "expires_s": 0, "previous": None}
    for field in ("requests_per_minute", "concurrent"):
        limit = entry.get(field)
        is_number = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
        if limit is not None and not is_number:
            wrong.append("%s is no whole number of 1 or more. Leave it out for no limit." % field)
        found[field] = limit if is_number else 0
    if entry.get("expires"):
        found["expires_s"], problem = _expires(entry["expires"])
        wrong += problem
    if entry.get("previous"):
        found["previous"], problem = _previous(entry["previous"])
        wrong += problem
    return found, wrong


def _digest(entry: dict) -> tuple[str, list[str]]:
    """Return the SHA-256 of a key that is given as itself or as that."""
    key, digest = str(entry.get("key") or ""), str(entry.get("sha256") or "").lower()
    if bool(key) == bool(digest):
        return "", [
            "it has %s. Set key (vaulted), or sha256, its SHA-256." % ("both" if key else "neither key nor sha256")
        ]
    if key and (len(key) < LEAST_KEY or not key.isascii() or re.search(r"\s", key)):
        return "", [
            "the key is no text of %d or more characters without spaces. Make one by: openssl rand -hex 32" % LEAST_KEY
        ]
    if digest and not _HASH.match(digest):
        return digest, ["sha256 is not 64 hexadecimal digits. Make it by: printf %s KEY | sha256sum"]
    return hashlib.sha256(key.encode()).hexdigest() if key else digest, []


def _previous(value: object) -> tuple[dict | None, list[str]]:
    """Return the key of before, which has to end some day: one that is forgotten here would live for ever."""
    if not isinstance(value, dict) or set(value) - set(_PREVIOUS) or not value.get("expires"):
        return None, ["previous is no dictionary of key or sha256, and expires: until when the key of before is taken."]
    digest, wrong = _digest(value)
    expires_s, problem = _expires(value["expires"])
    return {"sha256": digest, "expires_s": expires_s}, ["previous: " + text for text in wrong + problem]


def _expires(value: object) -> tuple[int, list[str]]:
    """Return the second at which a key ends."""
    try:
        moment = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return 0, ["expires is %r; expected a date or time as 2027-01-31 or 2027-01-31T12:00:00Z." % str(value)]
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp()), []
