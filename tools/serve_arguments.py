# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a command of ``vllm serve`` as vLLM does (vllm/utils/argparse_utils.py: FlexibleArgumentParser.parse_args).

The table of options says what a release has; how the collection renders a command plays no part here, so that the two
can be held against each other.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options

#: Numbers that no option is, though they begin with a dash (argparse: _negative_number_matcher).
_NUMBER = re.compile(r"^-\d+$|^-\d*\.\d+$")

#: Levels that -O takes without a space (vLLM 0.12 and later).
_LEVEL = re.compile(r"^-O=?(\w+)$")

#: Whole numbers with a unit, of which the small ones are of 1000 (human_readable_int of the same file).
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)([kKmMgGtT])$")

#: Texts for a switch inside JSON: pydantic reads them like the JSON words.
_SWITCHES = {"True": True, "False": False, "true": True, "false": False}

#: The option whose file adds to what vLLM knows, by the option that it adds to.
PLUGINS = {"tool-call-parser": "tool-parser-plugin", "reasoning-parser": "reasoning-parser-plugin"}


class Item(NamedTuple):
    """An option as it stands on a command line, without its dashes, and the words behind it."""

    name: str
    words: list[str]


class Read(NamedTuple):
    """What vLLM makes of a command line: the value of each option by long name, and the words that it does not know."""

    options: dict[str, object]
    unknown: list[str]


def items(argv: list[str]) -> tuple[str, list[Item]]:
    """Return the model and the options of ``vllm serve MODEL ...``, in order."""
    found: list[Item] = []
    model = ""
    for word in argv[2:]:
        level = _LEVEL.match(word)
        if level:
            found.append(Item("optimization-level", [level.group(1)]))
        elif word.startswith("-") and not _NUMBER.match(word):
            name, equals, value = word.lstrip("-").partition("=")
            found.append(Item(name, [value] if equals else []))
        elif found:
            found[-1].words.append(word)
        else:
            model = word
    return model, found


def long_name(version: str, name: str) -> tuple[str, str, bool]:
    """Return (long name, the keys behind a dot, whether it is the negative form) of an option as it is written."""
    head, _dot, keys = name.partition(".")
    head = head.replace("_", "-")
    for option, facts in vllm_options.options(version).items():
        spellings = [option, *[alias.lstrip("-") for alias in facts.get("aliases", [])]]
        if head in spellings:
            return option, keys, False
        if facts["form"] == "boolean" and head in ["no-" + item for item in spellings] + [facts.get("inverse")]:
            return option, keys, True
    return head, keys, False


def read(argv: list[str], version: str) -> Read:
    """Return what vLLM of ``version`` makes of a command: the last word on an option counts, dotted ones together."""
    table, plain, dotted, unknown = vllm_options.options(version), {}, {}, []
    model, given = items(argv)
    plain["model"] = model
    for item in given:
        name, keys, negative = long_name(version, item.name)
        facts = table.get(name)
        if facts is None:
            unknown.append(item.name)
            plain["? " + name] = item.words
        elif keys:
            merge(dotted.setdefault(name, {}), keys.split("."), _inner(item.words))
        elif facts["form"] in ("boolean", "flag"):
            plain[name] = not negative if not item.words else ["a switch with words behind it", *item.words]
        elif facts["form"] == "repeated":
            plain[name] = [*plain.get(name, []), " ".join(item.words)]
        else:
            plain[name] = _value(facts, item.words)
    return Read({**plain, **dotted}, unknown)


def merge(into: dict, keys: list[str], value: object) -> None:
    """Put a value into nested dictionaries, which are made where they are missing."""
    for key in keys[:-1]:
        into = into.setdefault(key, {})
    into[keys[-1]] = value


def _inner(words: list[str]) -> object:
    """Return a value behind a dotted name."""
    text = " ".join(words)
    if text in _SWITCHES:
        return _SWITCHES[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _value(facts: dict, words: list[str]) -> object:
    """Return the value of an option: JSON and numbers in one form, however they were written."""
    if facts["form"] == "list":
        return words
    text = " ".join(words)
    size = _SIZE.match(text)
    if facts.get("type") == "int" and size:
        unit = size.group(2)
        return int(float(size.group(1)) * (1000 if unit.islower() else 1024) ** ("kmgt".index(unit.lower()) + 1))
    if facts.get("type") in ("int", "float", "json") or text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def lacking(argv: list[str], version: str, names_too: bool = True) -> list[str]:
    """Return what a release does not take of a command: options that it lacks, values and keys that it does not know.

    Args:
        argv: the command.
        version: vLLM release.
        names_too: whether the names of parsers, backends and the like count, and keys of JSON, to which an image of
            one's own may add.
    """
    command = read(argv, version)
    found = ["option %s" % name for name in command.unknown]
    table = vllm_options.options(version)
    for name, value in command.options.items():
        facts = table.get(name, {})
        text, choices = str(value), [str(choice) for choice in facts.get("choices", [])]
        names = [known.lower() for known in facts.get("known", [])] if names_too else []
        if (name in PLUGINS and PLUGINS[name] in command.options) or "." in text:
            names = []  # a file or a class of one's own
        if (choices and facts["form"] == "value" and text not in choices) or (names and text.lower() not in names):
            found.append("%s %s" % (name, text))
        keys = facts.get("keys") if names_too and isinstance(value, dict) else None
        found += ["%s key %s" % (name, key) for key in value if key not in keys] if keys else []
    return found
