# SPDX-License-Identifier: GPL-3.0-or-later
"""Read out of vLLM's source text which keys the JSON of an option may have.

Such an option is read into a config class. From 0.16 on vLLM's decorator makes each forbid what is no field of it;
before, few do. A class that forbids nothing, or whose fields do not say what it takes, has no list.
"""

from __future__ import annotations

import ast
import re

from vllm_source import ClassRef, Sources

#: Where the decorator ``config`` stands that makes a class forbid other keys.
DECORATOR_MODULE = "vllm.config.utils"

#: Arguments of a field that give it another name.
_NAMES = ("alias", "validation_alias")


def read_keys(sources: Sources, ref: ClassRef) -> list[str]:
    """Return the keys that a config class takes; nothing where it takes others too, or where that is not understood."""
    owners = sources.bases(ref)
    known = sum(len(owner.node.bases) for owner in owners) == len(owners) - 1
    if not known or not _forbids(sources, ref) or any(_takes_others(owner.node) for owner in owners):
        return []
    names = {
        node.target.id
        for owner in owners
        for node in owner.node.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not re.match(r"(\w+\.)?ClassVar\b", ast.unparse(node.annotation))
    }
    return sorted(names)


def _takes_others(node: ast.ClassDef) -> bool:
    """Tell whether a class may take other keys than its fields: by an alias, or by code that runs before."""
    for part in ast.walk(node):
        if isinstance(part, ast.keyword) and part.arg in _NAMES:
            return True
        is_validator = isinstance(part, ast.Call) and ast.unparse(part.func).endswith("model_validator")
        if is_validator and not any(ast.unparse(word) == "mode='after'" for word in part.keywords):
            return True
        if isinstance(part, ast.FunctionDef) and part.name == "__get_pydantic_core_schema__":
            return True
    return False


def _forbids(sources: Sources, ref: ClassRef) -> bool:
    """Tell whether a class forbids what is no field of it: by itself, or by vLLM's decorator."""
    marks = [ast.unparse(mark) for mark in ref.node.decorator_list]
    extra = [word for mark in marks for word in re.findall(r"extra='(\w+)'", mark)]
    if extra:
        return extra == ["forbid"]
    found = sources.resolve(DECORATOR_MODULE, "config")
    # several statements of that name: the last one runs, the others are there for type checkers
    by_default = bool(found) and isinstance(found[1], ast.FunctionDef) and "extra='forbid'" in ast.unparse(found[1])
    return by_default and any(re.match(r"config(\(|$)", mark) for mark in marks)
