# SPDX-License-Identifier: GPL-3.0-or-later
"""``.env`` files, and ``${NAME:-default}`` in Compose files. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: A line of a file of variables: name, = or :, value.
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*[=:]\s?(.*)$")


def read_env(text: str, around: dict[str, str] | None = None, raw: bool = False) -> dict[str, str]:
    """Return the variables of a file as Compose reads it.

    Args:
        text: of the file.
        around: variables that values may name.
        raw: as ``docker run --env-file`` reads it, where quotes and dollar signs are nothing special.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if line.lstrip().startswith("#") or not match:
            continue
        name, value = match[1], match[2].strip()
        if raw:
            found[name] = line.partition("=")[2]
        elif value[:1] == "'" and "'" in value[1:]:
            found[name] = value[1 : value.index("'", 1)]
        elif value[:1] == '"' and '"' in value[1:]:
            found[name] = interpolate(value[1 : value.rindex('"')], {**(around or {}), **found}).replace("\\n", "\n")
        else:
            found[name] = interpolate(re.split(r"\s+#", value)[0].rstrip(), {**(around or {}), **found})
    return found


def interpolate(text: str, env: dict[str, str]) -> str:
    """Return a text with its variables replaced as Compose does it; one that is not known is empty, ``$$`` is a $."""
    result, position = [], 0
    while position < len(text):
        char = text[position]
        following = text[position + 1 : position + 2]
        if char != "$" or not following:
            result.append(char)
            position += 1
        elif following == "$":
            result.append("$")
            position += 2
        elif following == "{":
            end = _closing(text, position + 2)
            result.append(_braced(text[position + 2 : end], env))
            position = end + 1
        else:
            match = _NAME.match(text, position + 1)
            result.append(env.get(match[0], "") if match else char)
            position = match.end() if match else position + 1
    return "".join(result)


def everywhere(value: object, env: dict[str, str]) -> object:
    """Return a value of YAML with the variables of all its texts replaced; keys stay, as Compose leaves them."""
    if isinstance(value, str):
        return interpolate(value, env)
    if isinstance(value, dict):
        return {key: everywhere(item, env) for key, item in value.items()}
    if isinstance(value, list):
        return [everywhere(item, env) for item in value]
    return value


def _closing(text: str, position: int) -> int:
    depth = 1
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
            position += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return len(text)


def _braced(inner: str, env: dict[str, str]) -> str:
    match = _NAME.match(inner)
    if not match:
        return ""
    name, rest = match[0], inner[match.end() :]
    given = env.get(name)
    if rest[:2] in (":-", ":?", ":+"):
        there, mark, more = bool(given), rest[1], rest[2:]
    elif rest[:1] in ("-", "?", "+"):
        there, mark, more = given is not None, rest[0], rest[1:]
    else:
        return given or ""
    if mark == "+":
        return interpolate(more, env) if there else ""
    if there:
        return given or ""
    return interpolate(more, env) if mark == "-" else ""
