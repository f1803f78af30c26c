# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM's registry of models knows of an architecture, read from its source: does its class pool or generate?"""

from __future__ import annotations

import ast
from collections.abc import Callable

import vllm_source

REGISTRY = "vllm.model_executor.models.registry"

#: Class attributes by which vLLM decides, by their name in the data file (interfaces.py and interfaces_base.py).
ATTRIBUTES = {
    "is_pooling_model": "pooling",
    "supports_multimodal": "multimodal",
    "supports_transcription": "transcription",
    "supports_transcription_only": "transcription_only",
    "supports_realtime": "realtime",
}
#: The method that makes a class one that generates (``is_text_generation_model`` looks for it).
GENERATES = "compute_logits"
#: Functions that make a pooling class of a generating one (adapters.py).
ADAPTERS = ("as_embedding_model", "as_seq_cls_model", "as_reward_model")
#: Groups of the registry that hold no models of vLLM's own, or only say where the others are.
OTHER_GROUPS = ("VLLM", "PREVIOUSLY_SUPPORTED", "OOT_SUPPORTED")


def read_architectures(read: Callable[[str], str | None]) -> dict[str, dict]:
    """Return {architecture: {groups, flags}} of the vLLM whose files ``read`` returns.

    ``groups`` are the registry's dictionaries that name it, ``flags`` the values of :data:`ATTRIBUTES` that its class
    sets and "generate", both sorted.

    Raises:
        vllm_source.SourceError: the registry is not understood, or one of its classes is not found.
    """
    sources = vllm_source.Sources(read)
    found: dict[str, dict] = {}
    known: dict[tuple, frozenset] = {}
    for group, models in _groups(sources).items():
        for architecture, where in models.items():
            entry = found.setdefault(architecture, {"groups": []})
            entry["groups"].append(group)
            # the last group wins, as in the registry's own merged dictionary
            entry["where"] = where
    for entry in found.values():
        where = entry.pop("where")
        if where not in known:
            known[where] = frozenset(_flags(sources, *where))
        entry["groups"], entry["flags"] = sorted(entry["groups"]), sorted(known[where])
    if not found:
        raise vllm_source.SourceError("%s names no models" % REGISTRY)
    return dict(sorted(found.items()))


def _groups(sources: vllm_source.Sources) -> dict[str, dict[str, tuple[str, str]]]:
    """Return {group: {architecture: (module, class)}} of the registry, in its order."""
    found: dict[str, dict] = {}
    for name, node in sources.names(REGISTRY).items():
        if name.startswith("_") and name.endswith("_MODELS") and isinstance(node, ast.Dict):
            group = name[1 : -len("_MODELS")]
            if group not in OTHER_GROUPS:
                found[group.lower()] = _entries(node, found)
    return found


def _entries(node: ast.Dict, earlier: dict[str, dict]) -> dict[str, tuple[str, str]]:
    """Return the entries of one of the registry's dictionaries; ``earlier`` are those before it."""
    entries: dict[str, tuple[str, str]] = {}
    for key, value in zip(node.keys, node.values):
        if key is not None:
            module, name = ast.literal_eval(value)
            # newer releases name some modules in full
            package = "" if module.startswith("vllm.") else "vllm.model_executor.models."
            entries[ast.literal_eval(key)] = (package + module, name)
        elif isinstance(value, ast.DictComp):
            entries.update(_filtered(value, earlier))
        else:
            raise vllm_source.SourceError("the registry holds %s" % ast.unparse(value))
    return entries


def _filtered(node: ast.DictComp, earlier: dict[str, dict]) -> dict[str, tuple[str, str]]:
    """Return what a comprehension takes from an earlier group: the entries whose class has one name."""
    loop = node.generators[0]
    source = ast.unparse(loop.iter).removesuffix(".items()")
    test = loop.ifs[0] if len(loop.ifs) == 1 else None
    group = earlier.get(source[1 : -len("_MODELS")].lower())
    plain = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)
    if group is None or not plain or not isinstance(test.comparators[0], ast.Constant):
        raise vllm_source.SourceError("the registry holds %s" % ast.unparse(node))
    return {arch: where for arch, where in group.items() if where[1] == test.comparators[0].value}


def _flags(sources: vllm_source.Sources, module: str, name: str) -> set[str]:
    """Return the flags of a class."""
    found = sources.resolve(module, name)
    if found is None:
        raise vllm_source.SourceError("%s has no class %s" % (module, name))
    said: dict[str, bool] = {}
    _collect(sources, *found, said, set())
    return {flag for flag, value in said.items() if value}


def _collect(sources: vllm_source.Sources, module: str, node: object, said: dict, seen: set) -> None:
    """Note what a class says, then what its bases say of what it leaves open."""
    if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        _collect_named(sources, module, node, said, seen)
    elif isinstance(node, ast.Call):
        function = ast.unparse(node.func).rpartition(".")[2]
        if function in ADAPTERS:
            said.setdefault("pooling", True)
        for argument in node.args:
            _collect(sources, module, argument, said, seen)
    elif isinstance(node, ast.ClassDef) and (module, node.name) not in seen:
        seen.add((module, node.name))
        for statement in node.body:
            _statement(statement, said)
        for base in node.bases:
            _collect(sources, module, base, said, seen)


def _collect_named(sources: vllm_source.Sources, module: str, node: ast.expr, said: dict, seen: set) -> None:
    while isinstance(node, ast.Subscript):
        node = node.value
    name = node.id if isinstance(node, ast.Name) else ""
    found = sources.resolve(module, name) if name else None
    if found is not None and found[1] is not node:
        _collect(sources, *found, said, seen)


def _statement(node: ast.stmt, said: dict) -> None:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        if node.name == GENERATES:
            said.setdefault("generate", True)
        return
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = getattr(node, "value", None)
    for target in targets:
        flag = ATTRIBUTES.get(target.id) if isinstance(target, ast.Name) else None
        if flag and isinstance(value, ast.Constant) and isinstance(value.value, bool):
            said.setdefault(flag, value.value)
