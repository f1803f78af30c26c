# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's modules as syntax trees: what a name stands for, what a class inherits, what an annotation allows."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

#: Names of plain types, as the data file calls them.
PLAIN = ("bool", "int", "float", "str", "dict", "None")


class SourceError(Exception):
    """vLLM's source holds something that this reader does not understand."""


class Symbol(str):
    """A name that stands for itself: a class of argparse, a converter."""


class Opaque:
    """A value that the interpreter does not know."""

    def __repr__(self) -> str:
        return "OPAQUE"


OPAQUE = Opaque()


class ClassRef:
    """A class statement and the module it stands in."""

    def __init__(self, module: str, node: ast.ClassDef) -> None:
        self.module, self.node = module, node


class Sources:
    """vLLM's modules by name, parsed when first asked for."""

    def __init__(self, read: Callable[[str], str | None]) -> None:
        """Take ``read``: path inside the wheel -> source text, or None."""
        self.read = read
        self.modules: dict[str, dict[str, object]] = {}

    def names(self, module: str) -> dict[str, object]:
        """Return what the top level of ``module`` defines: an expression, a statement or an import's (module, name)."""
        if module not in self.modules:
            path = module.replace(".", "/")
            text, package = self.read(path + ".py"), module.rpartition(".")[0]
            if text is None:
                text, package = self.read(path + "/__init__.py"), module
            found: dict[str, object] = {}
            self.modules[module] = found
            if text is not None:
                self._collect(ast.parse(text).body, found, package)
        return self.modules[module]

    def _collect(self, body: list, found: dict, package: str) -> None:
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                found[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
                origin = ".".join([*above, *([node.module] if node.module else [])])
                for name in node.names:
                    found[name.asname or name.name] = (origin, name.name)
            elif isinstance(node, ast.If):  # TYPE_CHECKING: what runs stands in the else branch
                self._collect(node.body, found, package)
                self._collect(node.orelse, found, package)
            elif isinstance(node, ast.Try):
                self._collect(node.body, found, package)

    def resolve(self, module: str, name: str) -> tuple[str, object] | None:
        """Follow imports until the definition of ``name``; None when it is not part of vLLM."""
        for _hop in range(10):
            found = self.names(module).get(name)
            if not isinstance(found, tuple):
                return (module, found) if found is not None else None
            module, name = found
            if not module.startswith("vllm"):
                return None
        return None

    def class_ref(self, module: str, name: str) -> ClassRef | None:
        """Return the class called ``name`` in ``module``, or None."""
        found = self.resolve(module, name)
        return ClassRef(*found) if found and isinstance(found[1], ast.ClassDef) else None

    def bases(self, ref: ClassRef) -> list[ClassRef]:
        """Return ``ref`` and the classes it inherits from, itself first."""
        result = [ref]
        for base in ref.node.bases:
            parent = self.class_ref(ref.module, base.id) if isinstance(base, ast.Name) else None
            if parent:
                result += self.bases(parent)
        return result

    def method(
        self, ref: ClassRef, name: str, after: ClassRef | None = None
    ) -> tuple[ClassRef, ast.FunctionDef] | None:
        """Return the class that defines method ``name`` and the method; with ``after``, only from its parents."""
        line = self.bases(ref)
        if after is not None:
            line = line[[item.node for item in line].index(after.node) + 1 :]
        for owner in line:
            for node in owner.node.body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    return owner, node
        return None


# --- annotations of config fields -------------------------------------------------------------------------------------


def hints(sources: Sources, module: str, node: ast.expr) -> list[tuple]:
    """Return the alternatives of an annotation: ("plain", name), ("literal", values), ("list", module, element) or
    ("dataclass"|"class", name)."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return hints(sources, module, ast.parse(node.value, mode="eval").body)
        return [("plain", "None")]
    if isinstance(node, ast.BinOp):
        return hints(sources, module, node.left) + hints(sources, module, node.right)
    if isinstance(node, ast.Subscript):
        return _subscript_hints(sources, module, node)
    if isinstance(node, ast.Name):
        return _name_hints(sources, module, node.id)
    return [("class", ast.unparse(node))]


def _subscript_hints(sources: Sources, module: str, node: ast.Subscript) -> list[tuple]:
    head = ast.unparse(node.value).rpartition(".")[2]
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if head == "Literal":
        return [("literal", literal_values(sources, module, node))]
    if head in ("Union", "Optional"):
        none = [("plain", "None")] if head == "Optional" else []
        return [hint for part in parts for hint in hints(sources, module, part)] + none
    if head in ("Annotated", "SkipValidation", "Required"):
        return hints(sources, module, parts[0])
    if head in ("list", "List", "tuple", "Tuple", "set", "Set", "Sequence"):
        return [("list", module, parts[0])]
    if head in ("dict", "Dict"):
        return [("plain", "dict")]
    return [("class", ast.unparse(node))]


def _name_hints(sources: Sources, module: str, name: str) -> list[tuple]:
    found = sources.resolve(module, name)
    if not found:
        if name in ("list", "tuple", "set"):
            return [("list", module, ast.Name("str"))]
        return [("plain", name)] if name in PLAIN else [("class", name)]
    where, node = found
    if isinstance(node, ast.ClassDef):
        marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
        if "dataclass" in marks or re.search(r"\bconfig\b", marks):
            return [("dataclass", name)]
        is_dict = any(ast.unparse(base).partition("[")[0] in ("dict", "UserDict") for base in node.bases)
        return [("plain", "dict")] if is_dict else [("class", name)]
    return hints(sources, where, node) if isinstance(node, ast.expr) else [("class", name)]


def literal_values(sources: Sources, module: str, node: ast.expr) -> list:
    """Return the values of a ``Literal``, nested ones and names of others included."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.Tuple):
        return [value for part in node.elts for value in literal_values(sources, module, part)]
    if isinstance(node, ast.Subscript):
        return literal_values(sources, module, node.slice)
    if isinstance(node, ast.Name):
        found = sources.resolve(module, node.id)
        if found and isinstance(found[1], ast.expr):
            return literal_values(sources, *found)
    if isinstance(node, ast.UnaryOp):
        return [ast.literal_eval(node)]
    return []
