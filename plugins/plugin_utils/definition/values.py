# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn what an operator gave into the types that the argument_specs promise, and collect what is wrong.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import copy
import difflib
import json
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import AS_WRITTEN, UNQUOTED

_LENGTH = re.compile(r"^(\d+(?:\.\d+)?)([kKmMgGtT]?)\Z")

_GPU_UUID = re.compile(r"^(GPU|MIG)-[0-9A-Za-z-]+$")

_DOCKER_SIZE = re.compile(r"^([1-9][0-9]*)\s*([kmg]?)b?\Z")


#: What null stands for where the specs have no default.
_NOTHING: dict[str, object] = {"list": [], "dict": {}}


class Problems:
    """Collects what is wrong, each with the variable it is about."""

    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []

    def add(self, variable: str, text: str) -> None:
        """Note a problem of ``variable``; ``text`` says what was found, what is expected and what to do."""
        self.found.append({"variable": variable, "message": "%s: %s" % (variable, text)})

    def about(self, *variables: str) -> bool:
        """Tell whether any of ``variables`` already has a problem (so that a follow-up check can stay silent)."""
        return any(item["variable"] in variables for item in self.found)


def size_bytes(text: str) -> int | None:
    """Return the bytes of a size as Docker reads it (docker/go-units: a number alone is bytes, units are powers of
    1024); None for a text that is none."""
    found = _DOCKER_SIZE.match(text.strip().lower())
    return int(found[1]) * 1024 ** " kmg".index(found[2] or " ") if found else None


def parse_gpu_devices(value: object) -> list[str]:
    """Return the GPU ids as text.

    Args:
        value: a list of indexes or UUIDs, one index, or a string such as ``0,1``, ``["0","1"]``.

    Raises:
        ValueError: with the reason, for an empty id, a doubled one, or one that is no index and no UUID.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError("%r is not a list of GPUs" % (value,))
    if isinstance(value, int):
        value = [value]
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text.replace("'", '"'))
            except ValueError:
                raise ValueError("%r is not a list" % text) from None
        else:
            value = text.split(",") if text else []
    if not isinstance(value, (list, tuple)):
        raise ValueError("%r is not a list of GPUs" % (value,))
    ids = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise ValueError("%r is no GPU index" % (item,))
        text = str(item).strip()
        if not text:
            raise ValueError("there is an empty entry")
        if text.isdigit():
            text = str(int(text))
        elif not _GPU_UUID.match(text):
            raise ValueError("%r is neither an index (0, 1, ...) nor a UUID (GPU-...)" % text)
        if text in ids:
            raise ValueError("GPU %s stands there twice" % text)
        ids.append(text)
    if not ids:
        raise ValueError("it names no GPU")
    return ids


def to_names(value: object) -> list[str]:
    """Return names given as a list or as a text with commas between.

    Raises:
        ValueError: it is neither.
    """
    return [to_text(item).strip() for item in _to_list("" if value is None else value)]


def to_length(value: object) -> int | str | None:
    """Return a length in tokens, V(auto) for the longest that fits, None where nothing is said.

    Takes what ``vllm serve`` does (vllm/utils/argparse_utils.py: human_readable_int_or_auto): 32k is 32000, 32K 32768.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or value == "":
        return None
    text = str(value).strip()
    if text in ("auto", "-1"):
        return "auto"
    match = _LENGTH.match(text)
    if isinstance(value, bool) or not match:
        raise ValueError(value)
    number, unit = match.groups()
    base = 1000 if unit.islower() else 1024
    tokens = float(number) * base ** (" kmgt".index(unit.lower()) if unit else 0)
    if not tokens.is_integer():
        raise ValueError(value)
    return int(tokens)


def to_served_names(value: object) -> list[str]:
    """Return the names under which clients ask for the model, in order; none where nothing is said.

    Raises:
        ValueError: it is neither a text nor a list.
    """
    if isinstance(value, str) and not value.strip().startswith("["):
        return [value] if value.strip() else []
    return [to_text(item) for item in _to_list("" if value is None else value)]


def coerce(values: dict, options: dict, problems: Problems) -> dict:
    """Return the values in the types the argument_specs promise; strings from ``-e`` and surveys are converted."""
    result = {}
    for name, option in options.items():
        value = values.get(name)
        kind = option.get("type", "str")
        if value is None:
            # null: what a list or dictionary says is nothing, and of the others whatever the specs say
            result[name] = copy.deepcopy(option.get("default", _NOTHING.get(kind)))
            continue
        try:
            result[name] = CONVERTERS[kind](value)
            if option.get("elements") == "str":
                # of what is no text in another way its own rule tells more
                for item in result[name]:
                    to_text("" if item is None or isinstance(item, (dict, list)) else item)
            if name in AS_WRITTEN and not isinstance(value, str):
                raise ValueError(value)
        except (TypeError, ValueError):
            shown = "its value" if name in UNQUOTED else repr(value)
            problems.add(
                name,
                "%s is not %s.%s Set it to %s." % (shown, KINDS[kind], _quote(kind, option, value), _example(option)),
            )
            result[name] = copy.deepcopy(option.get("default", _NOTHING.get(kind)))
            continue
        choices = option.get("choices")
        if choices and result[name] not in choices:
            near = difflib.get_close_matches(str(value), choices, n=1)
            hint = " Did you mean %s?" % near[0] if near else ""
            problems.add(name, "%r is unknown; choose one of %s.%s" % (value, ", ".join(choices), hint))
            result[name] = option.get("default")
    return result


def _to_int(value: object) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value.strip()) if isinstance(value, str) else int(value)


def _to_float(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _to_bool(value: object) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "1", "y", "t"):
        return True
    if text in ("false", "no", "off", "0", "n", "f"):
        return False
    raise ValueError(value)


def to_text(value: object) -> str:
    """Return a text, or a whole number as one.

    Raises:
        ValueError: it is something else. What YAML has read as true, a number with a point or a date was another text.
    """
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError(value)
    return str(value)


def _quote(kind: str, option: dict, value: object) -> str:
    """Return what to do about a text that is none, in case YAML has made something else of it."""
    if isinstance(value, dict) or (kind not in ("str", "path") and option.get("elements") != "str"):
        return ""
    return " Texts that YAML reads as something else (yes, no, on, off, numbers, dates) need quotes."


def _to_list(value: object) -> list:
    if isinstance(value, str):
        text = value.strip()
        parts = [part.strip() for part in text.split(",")] if text else []
        value = json.loads(text) if text.startswith("[") else parts
    if not isinstance(value, (list, tuple)):
        raise ValueError(value)
    return list(value)


def _to_dict(value: object) -> dict:
    if isinstance(value, str):
        value = json.loads(value) if value.strip() else {}
    if not isinstance(value, dict):
        raise ValueError(value)
    return dict(value)


CONVERTERS = {
    "str": to_text,
    "path": to_text,
    "int": _to_int,
    "float": _to_float,
    "bool": _to_bool,
    "list": _to_list,
    "dict": _to_dict,
    "raw": lambda value: value,
}

KINDS = {
    "str": "a text",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a dictionary",
    "raw": "a value",
}


def _example(option: dict) -> str:
    if option.get("choices"):
        return "one of %s" % ", ".join(option["choices"])
    if option.get("default") not in (None, ""):
        return "%s, for example %s" % (KINDS[option.get("type", "str")], json.dumps(option["default"]))
    return KINDS[option.get("type", "str")]


def option_text(value: object) -> str:
    """Return a value as ``vllm serve`` and ``.env`` take it: JSON for what is no plain one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return str(value)
