# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder says where code runs: what hosts run imports nothing of the controller's, and no import goes in a circle."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLUGINS = ROOT / "plugins"
PREFIX = "ansible_collections.myia.vllm.plugins."
#: What runs on hosts; everything else of plugins/ runs on the controller.
HOST_SIDE = ("modules", "module_utils")


def dotted(path: pathlib.Path) -> str:
    """Name of a file below plugins/ as an import has it."""
    return ".".join(path.relative_to(PLUGINS).with_suffix("").parts)


FILES = {dotted(path): path for path in sorted(PLUGINS.rglob("*.py"))}


def imported(source: str, files: dict) -> set[str]:
    """Files of the collection that a source text imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            names = [node.module, *("%s.%s" % (node.module, alias.name) for alias in node.names)]
        found |= {name[len(PREFIX) :] for name in names if name.startswith(PREFIX)}
    return found & set(files)


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return a way that leads back to where it began, or nothing."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges[name]):
            found = visit(other, [*way, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) for found in [visit(name, [])] if found), [])


def wrong_way(edges: dict[str, set[str]]) -> list[str]:
    """Imports from the host's side to the controller's."""
    return [
        "%s imports %s" % (name, other)
        for name, others in sorted(edges.items())
        for other in sorted(others)
        if name.startswith(HOST_SIDE) and not other.startswith(HOST_SIDE)
    ]


def package(name: str) -> str:
    """Package of a file; files of plugins/modules, action, ... stand for themselves."""
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else name


EDGES = {name: imported(path.read_text(encoding="utf-8"), FILES) - {name} for name, path in FILES.items()}


def test_all_files_are_seen() -> None:
    """The graph is that of the collection, not an empty one."""
    assert len(EDGES) > 100
    assert "module_utils.docker.cli" in EDGES["modules.docker_engine_info"]


def test_hosts_import_nothing_of_the_controller() -> None:
    """Modules and module_utils arrive at a host without the rest."""
    assert wrong_way(EDGES) == []


def test_no_circle() -> None:
    """Neither between files nor between packages."""
    assert cycle(EDGES) == []
    packages: dict[str, set[str]] = {package(name): set() for name in EDGES}
    for name, others in EDGES.items():
        packages[package(name)] |= {package(other) for other in others} - {package(name)}
    assert cycle(packages) == []


def test_host_side_is_what_modules_reach() -> None:
    """What no module needs stands on the controller's side."""
    reached, todo = set(), [name for name in EDGES if name.startswith("modules.")]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += EDGES[name]
    assert sorted(name for name in EDGES if name.startswith("module_utils.") and name not in reached) == []


@pytest.mark.parametrize("folder", ["module_utils", "plugin_utils"])
def test_packages_not_files(folder) -> None:
    """Every file stands in a package that says what it is about, one level deep."""
    loose = [name for name in EDGES if name.startswith(folder + ".") and len(name.split(".")) != 3]
    assert sorted(loose) == []


def test_the_checks_find_faults() -> None:
    """A circle, and an import the wrong way, are seen."""
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert wrong_way({"module_utils.x.y": {"plugin_utils.a.b"}, "action.z": {"plugin_utils.a.b"}}) == [
        "module_utils.x.y imports plugin_utils.a.b"
    ]
    source = "def f():\n    from %splugin_utils.a import b as c, d\n" % PREFIX
    assert imported(source, {"plugin_utils.a.b": 0, "plugin_utils.a.d": 0}) == {"plugin_utils.a.b", "plugin_utils.a.d"}
