# SPDX-License-Identifier: GPL-3.0-or-later
"""Write ``docs/variables.schema.json``, by which editors check and complete the collection's variables in group_vars.

It is made of the roles' argument_specs, and takes what Ansible takes: an expression in the place of any value, numbers
as texts, one text for a list. What only the definition can judge (limits, what goes together) is left to it.

Usage: ``python tools/variables_schema.py`` writes; with ``--check`` it only says whether the file is out of date (exit
status 1).
"""

from __future__ import annotations

import json
import pathlib
import sys

import role_docs

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "docs" / "variables.schema.json"

#: A value that Ansible works out.
EXPRESSION = {"$ref": "#/definitions/expression"}

#: What each type takes beside expressions; ``raw`` takes anything.
TYPES = {
    "str": {"type": ["string", "number", "boolean"]},
    "path": {"type": "string"},
    "int": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^\s*-?\d+\s*$"}]},
    "float": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\s*-?\d+(\.\d+)?\s*$"}]},
    "bool": {"anyOf": [{"type": "boolean"}, {"enum": ["yes", "no", "on", "off", "true", "false", 0, 1]}]},
    "dict": {"type": "object"},
}


def value(option: dict) -> dict:
    """Return what an option takes: null and expressions always."""
    kind = option.get("type", "str")
    if kind == "raw":
        return {}
    if option.get("choices"):
        wanted = {"enum": option["choices"]}
    elif kind == "list":
        # a text is split at its commas
        wanted = {"anyOf": [{"type": "array", "items": item(option)}, {"type": "string"}]}
    elif kind == "dict" and option.get("options"):
        wanted = members(option["options"])
    else:
        wanted = TYPES[kind]
    return {"anyOf": [wanted, {"type": "null"}, EXPRESSION]}


def item(option: dict) -> dict:
    """Return what an element of a list takes."""
    if option.get("options"):
        return {"anyOf": [members(option["options"]), EXPRESSION]}
    return value({"type": option.get("elements", "raw")})


def members(options: dict) -> dict:
    """Return what an object with known keys takes."""
    return {
        "type": "object",
        "properties": {name: value(inner) for name, inner in options.items()},
        "required": [name for name, inner in options.items() if inner.get("required")],
        "additionalProperties": False,
    }


def described(option: dict) -> dict:
    """Return a variable: what it takes, and what it is."""
    description = option["description"]
    parts = [description] if isinstance(description, str) else description
    found = {**value(option), "description": "\n\n".join(role_docs.plain(part) for part in parts).replace("`", "")}
    return found if option.get("default") is None else {**found, "default": option["default"]}


def schema() -> dict:
    """Return the wanted schema."""
    role_docs.load_collection()
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (  # noqa: PLC0415 loader first
        names,
        role_variables,
    )

    properties = {name: described(option) for name, option in sorted(role_variables.all_options().items())}
    for name in names.PLAYBOOK_VARIABLES:
        properties.setdefault(name, {})
    entries = {"type": "array", "items": {"allOf": [{"$ref": "#"}, {"required": ["vllm_name"]}]}}
    properties["vllm_services"] = {
        "anyOf": [entries, {"type": "null"}, EXPRESSION],
        "description": "The services of one host; each entry sets the variables of one, and has a vllm_name.",
    }
    ours = "^(%s)" % "|".join(role_variables.PREFIXES)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made of the roles' argument_specs by make docs-roles.",
        "title": "Variables of the collection myia.vllm",
        "type": ["object", "null"],
        "definitions": {"expression": {"type": "string", "pattern": r"\{\{|\{%"}},
        "properties": properties,
        # a misspelt one of ours is none; others' variables may stand in the same file
        "propertyNames": {"anyOf": [{"enum": sorted(properties)}, {"not": {"pattern": ours}}]},
    }


def main() -> int:
    """Write or check the file; return the exit status."""
    wanted = json.dumps(schema(), indent=1) + "\n"
    if SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        print("out of date (run make docs-roles): %s" % SCHEMA.relative_to(ROOT))
        return 1
    SCHEMA.write_text(wanted, encoding="utf-8")
    print("written: %s" % SCHEMA.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
