# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles agree with their own documentation: argument_specs, defaults, README, entry points."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml
from parsed_yaml import walk

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import PLAYBOOK_VARIABLES

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())

#: tasks_from files without argument_specs of their own; the reason stands in the file.
WITHOUT_SPECS = {("vllm", "define")}

#: Modules of other collections that need nothing on a host but Python: they run a command that the role needs anyhow.
COMMANDS_ONLY = {"community.docker.docker_compose_v2", "community.general.zypper"}

#: Modules of Ansible itself that need a library which no package manager of the host brings.
WITH_LIBRARIES = {"ansible.builtin.expect", "ansible.builtin.pip"}

#: YAML files in which a role may be used.
USES = [
    *ROOT.glob("*.yml"),
    *ROOT.glob("playbooks/*.yml"),
    *ROOT.glob("roles/*/*/*.yml"),
    *ROOT.glob("molecule/*/*.yml"),
    *ROOT.glob("molecule/resources/playbooks/*.yml"),
]


def load(role: str, part: str) -> dict:
    """Parse one YAML file of a role."""
    return yaml.safe_load((ROOT / "roles" / role / part / "main.yml").read_text(encoding="utf-8")) or {}


def specs(role: str) -> dict:
    """The argument_specs of a role."""
    text = (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["argument_specs"]


def all_options(role: str) -> dict:
    """The options of all entry points, those of main first."""
    return {name: option for spec in specs(role).values() for name, option in (spec.get("options") or {}).items()}


def entry_points() -> set[tuple[str, str]]:
    """Every (role, tasks file) that something reaches by tasks_from."""
    found = set()
    for path in USES:
        text = path.read_text(encoding="utf-8")
        if "tasks_from" not in text:
            continue
        for node in walk(yaml.safe_load(text)):
            if "tasks_from" in node:
                name = str(node.get("name") or node.get("role"))
                found.add(
                    (name.rpartition(".")[2], str(node["tasks_from"]).rpartition(".yml")[0] or node["tasks_from"])
                )
    return found


def test_there_are_roles() -> None:
    """The tests below look at something."""
    assert len(ROLES) >= 7
    assert ("vllm", "define") in entry_points()
    assert ("vllm_service", "remove") in entry_points()


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_the_documented_ones(role) -> None:
    """The same names in the same order, with the same values; an option without a default is null."""
    options, defaults = all_options(role), load(role, "defaults")
    assert list(defaults) == list(options)
    for name, option in options.items():
        assert defaults[name] == option.get("default"), name
        assert type(defaults[name]) is type(option.get("default")), name


@pytest.mark.parametrize("role", ROLES)
def test_options_have_the_prefix_of_the_role(role) -> None:
    """No role documents a variable of another."""
    for entry_point, spec in specs(role).items():
        for name in spec.get("options") or {}:
            assert name.startswith(role + "_"), "%s (%s)" % (name, entry_point)


@pytest.mark.parametrize("role", ROLES)
def test_options_are_described(role) -> None:
    """Each entry point and each option says what it is, and of which type; a default is among the choices."""
    for entry_point, spec in specs(role).items():
        assert spec["short_description"], entry_point
        assert spec["description"], entry_point
        for name, option in (spec.get("options") or {}).items():
            assert option["description"], name
            assert option["type"] in {"str", "int", "float", "bool", "list", "dict", "path", "raw"}, name
            assert "elements" in option or option["type"] != "list", name
            assert option.get("default") is None or option["default"] in option.get("choices", [option["default"]]), (
                name
            )
            assert not (option.get("required") and "default" in option), name


@pytest.mark.parametrize("role", ROLES)
def test_readme(role) -> None:
    """There is a README, and it names every option of the role."""
    readme = ROOT / "roles" / role / "README.md"
    assert readme.is_file()
    text = readme.read_text(encoding="utf-8")
    assert [name for name in all_options(role) if name not in text] == []


@pytest.mark.parametrize("role", ROLES)
def test_readme_is_readable(role) -> None:
    """Each variable is a part of its own that a link can name; nothing is as long as a cell of 1,000 letters."""
    lines = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("### `")] == ["### `%s`" % name for name in all_options(role)]
    assert [line for line in lines if len(line) > 600] == []


@pytest.mark.parametrize("role", ROLES)
def test_tasks_and_meta(role) -> None:
    """Each role can be run by its name and has its metadata."""
    assert (ROOT / "roles" / role / "tasks" / "main.yml").is_file()
    assert load(role, "meta")


@pytest.mark.parametrize(("role", "tasks"), sorted(entry_points()), ids=map("/".join, sorted(entry_points())))
def test_entry_points_are_documented(role, tasks) -> None:
    """A tasks file that others reach exists, and has argument_specs or says why not."""
    path = ROOT / "roles" / role / "tasks" / (tasks + ".yml")
    assert path.is_file()
    if (role, tasks) in WITHOUT_SPECS:
        assert "argument_specs" in path.read_text(encoding="utf-8").partition("\n- ")[0], "the reason stands at the top"
    else:
        assert tasks in specs(role)


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_exist(role) -> None:
    """What argument_specs describe can be run."""
    for entry_point in specs(role):
        assert (ROOT / "roles" / role / "tasks" / (entry_point + ".yml")).is_file()


@pytest.mark.parametrize("role", ROLES)
def test_own_variables_are_documented(role) -> None:
    """Tasks use no variable with the role's prefix that nobody documents (registered ones begin with __)."""
    known = {name for other in ROLES for name in all_options(other)}
    known |= {"vllm_definition", *(other + "_result" for other in ROLES), *PLAYBOOK_VARIABLES}
    # names of tasks, files and roles look alike; variables stand inside {{ }}, when: and that:
    for path in sorted((ROOT / "roles" / role / "tasks").glob("*.yml")):
        for node in walk(yaml.safe_load(path.read_text(encoding="utf-8"))):
            texts = [item for key in ("when", "that", "until") for item in as_list(node.get(key))]
            texts += [inner for value in strings(node) for inner in re.findall(r"\{\{(.*?)\}\}", value, re.DOTALL)]
            for text in texts:
                bare = re.sub(r"'[^']*'|\"[^\"]*\"|\.\w+", "", str(text))
                used = set(re.findall(r"(?<![\w.])(?:vllm|docker_engine|nvidia_container_toolkit)_\w+", bare))
                assert used <= known, "%s: %s" % (path.name, sorted(used - known))


def modules_on_hosts() -> dict[str, str]:
    """The modules that roles and playbooks run on hosts, each with a file in which it is used."""
    found = {}
    for path in [
        *ROOT.glob("playbooks/*.yml"),
        *ROOT.glob("roles/*/tasks/*.yml"),
        *ROOT.glob("roles/*/handlers/*.yml"),
    ]:
        # runs on the controller, which an execution environment equips
        if "vllm_awx" not in path.parts:
            for node in walk(yaml.safe_load(path.read_text(encoding="utf-8"))):
                found.update(
                    {key: str(path.relative_to(ROOT)) for key in node if re.fullmatch(r"\w+\.\w+\.\w+", str(key))}
                )
    return found


def test_hosts_need_python_alone() -> None:
    """No module that runs on hosts needs a library there, as those do that speak to Docker by `requests`.

    A new module is added above once its documentation was read: `ansible-doc` lists its requirements.
    """
    modules = modules_on_hosts()
    assert modules.keys() >= COMMANDS_ONLY
    own = {name for name in modules if name.startswith(("ansible.builtin.", "myia.vllm."))} - WITH_LIBRARIES
    assert {name: path for name, path in modules.items() if name not in own | COMMANDS_ONLY} == {}


def as_list(value: object) -> list:
    """A list of what may be one or several."""
    return value if isinstance(value, list) else [] if value is None else [value]


def strings(node: dict):
    """The texts directly in a dictionary."""
    return [value for value in node.values() if isinstance(value, str)]
