# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specs of the awx.awx modules, read from their documentation, and a check of data against them."""

from __future__ import annotations

import ast
import functools
import pathlib
import sysconfig
from typing import Any

import yaml

# where `ansible` from PyPI puts it
PLUGINS = pathlib.Path(sysconfig.get_path("purelib")) / "ansible_collections" / "awx" / "awx" / "plugins" / "modules"


@functools.cache
def module_options(name: str) -> dict[str, Any]:
    """The options of an awx.awx module.

    Args:
        name: "job_template", without the collection.

    Returns:
        Option -> its documentation: {type, elements, choices, required, aliases, default, suboptions, description}.
        The options for the connection (controller_host and others) are not among them.

    Raises:
        FileNotFoundError: There is no such module.
    """
    tree = ast.parse((PLUGINS / (name + ".py")).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            options: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))["options"]
            return options
    raise ValueError("awx.awx.%s has no DOCUMENTATION" % name)


TYPES: dict[str, Any] = {
    "str": (str, int, float),
    "int": int,
    "float": (int, float),
    "bool": bool,
    "dict": dict,
    "list": list,
    "raw": object,
}


def argument_errors(options: dict[str, Any], arguments: dict[str, Any], where: str = "") -> list[str]:
    """What an awx.awx module's documentation has against some arguments.

    The modules check the arguments of the first level themselves, and not the ones in lists and dictionaries: a
    misspelt key of a workflow node is silently left out. This looks at all of them.

    Args:
        options: From module_options, or suboptions of it.
        arguments: Option -> value, without Jinja in it.
        where: The path so far, for the messages.

    Returns:
        One text a fault, [] for none.
    """
    known = {alias: option for name, option in options.items() for alias in (name, *option.get("aliases", []))}
    found = [
        "%s%s is missing" % (where, name)
        for name, option in options.items()
        if option.get("required") and not any(alias in arguments for alias in (name, *option.get("aliases", [])))
    ]
    for name, value in arguments.items():
        path = where + name
        if name not in known:
            found.append("%s is no option, there are %s" % (path, ", ".join(sorted(options))))
            continue
        option = known[name]
        kind = option.get("type", "str")
        if not isinstance(value, TYPES.get(kind, object)) or (isinstance(value, bool) and kind not in ("bool", "raw")):
            found.append("%s: %r is no %s" % (path, value, kind))
        elif "choices" in option and str(value) not in map(str, option["choices"]):
            found.append("%s: %r is not one of %s" % (path, value, ", ".join(map(str, option["choices"]))))
        elif "suboptions" in option:
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                place = "%s[%d]." % (path, index) if isinstance(value, list) else path + "."
                found += argument_errors(option["suboptions"], item, place)
    return found
