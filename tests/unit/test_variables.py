# SPDX-License-Identifier: GPL-3.0-or-later
"""Every variable that a role uses is defined, and every one that is defined is used, as Jinja itself reads them."""

from __future__ import annotations

import ast
import configparser
import functools
import pathlib
import re
from collections.abc import Iterator

import jinja2
import pytest
import yaml
from jinja2 import meta
from parsed_yaml import walk

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import PLAYBOOK_VARIABLES
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import PREFIXES, result_names

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
AWX = ROOT / "awx"
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())

#: What Ansible gives to every task. A fact is none of them: those stand in ansible_facts.
MAGIC = {
    "ansible_check_mode",
    "ansible_facts",
    "ansible_host",
    "ansible_failed_result",
    "ansible_failed_task",
    "ansible_play_batch",
    "ansible_play_hosts_all",
    "ansible_playbook_python",
    "ansible_run_tags",
    "ansible_version",
    "hostvars",
    "groups",
    "inventory_hostname",
    "item",
    "lookup",
    "omit",
    "play_hosts",
    "playbook_dir",
    "q",
    "query",
    "role_path",
    "undef",
}

#: Keys of tasks whose text is an expression without braces.
EXPRESSIONS = ("when", "that", "until", "failed_when", "changed_when")


class Everything(dict):
    """Filters and tests of any name: that they exist is seen by the tests that run them."""

    def get(self, _name: object, _default: object = None) -> object:
        """Something that can be called."""
        return str

    def __contains__(self, _name: object) -> bool:
        """It is there."""
        return True

    def __getitem__(self, _name: object) -> object:
        """Something that can be called."""
        return str


JINJA = jinja2.Environment(extensions=["jinja2.ext.do"])
JINJA.filters, JINJA.tests = Everything(), Everything()


def names_in(template: str) -> set[str]:
    """The variables that a template needs from outside."""
    return meta.find_undeclared_variables(JINJA.parse(template)) - set(JINJA.globals)


def texts(node: object, expression: bool = False) -> Iterator[str]:
    """Yield every text of a parsed YAML file as a template."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, key in EXPRESSIONS)
            yield from texts(key)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value, expression)
    elif isinstance(node, str):
        yield "{{ %s }}" % node if expression and "{{" not in node else node


class Loader(yaml.SafeLoader):
    """Reads YAML as Ansible does: what is marked `!unsafe` is no template."""


Loader.add_constructor("!unsafe", lambda _loader, _node: "")


@functools.cache
def parsed(path: pathlib.Path) -> object:
    """A YAML file."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def used_in(path: pathlib.Path) -> set[str]:
    """The variables that a file with tasks, values or a template uses."""
    if path.suffix == ".j2":
        return names_in(path.read_text(encoding="utf-8"))
    return {name for text in texts(parsed(path)) if "{" in text for name in names_in(text)}


def files_of(role: str) -> list[pathlib.Path]:
    """The files of a role in which variables are used."""
    return [path for part in ("tasks", "handlers", "vars") for path in (ROOT / "roles" / role / part).glob("*.yml")]


@functools.cache
def options() -> frozenset[str]:
    """The documented variables of all roles."""
    found = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for spec in parsed(path)["argument_specs"].values():
            found |= set(spec.get("options") or {})
    return frozenset(found)


def made_in(path: pathlib.Path) -> set[str]:
    """The variables that a file with tasks makes: registered, set, given to what it includes, of loops."""
    found: set[str] = set()
    for node in walk(parsed(path)):
        found |= {node[key] for key in ("register", "loop_var", "index_var") if isinstance(node.get(key), str)}
        for key in ("ansible.builtin.set_fact", "vars"):
            found |= set(node[key]) if isinstance(node.get(key), dict) else set()
    return found - {"cacheable"}


def made_by(role: str) -> set[str]:
    """The variables that a role makes for itself or for others."""
    found = {name for path in (ROOT / "roles" / role / "tasks").glob("*.yml") for name in made_in(path)}
    for path in (ROOT / "roles" / role / "vars").glob("*.yml"):
        found |= set(parsed(path))
    return found


@functools.cache
def data_of_awx() -> frozenset[str]:
    """What vllm_awx loads by include_vars."""
    return frozenset(name for path in AWX.glob("*.yml") for name in parsed(path) or {})


def test_the_parser_sees() -> None:
    """Names in conditions, loops and filters' arguments count; those that a template makes itself do not."""
    task = {
        "when": ["a is defined", "b | default(c)"],
        "msg": "{% for d in e %}{{ d.f }}{{ g | map('h', i) }}{% endfor %}",
    }
    assert {name for text in texts([task]) if "{" in text for name in names_in(text)} == set("abcegi")
    assert made_in(ROOT / "roles" / "vllm_service" / "tasks" / "start.yml") >= {
        "__vllm_service_cleared",
        "__vllm_health_target",
    }


@pytest.mark.parametrize("role", ROLES)
def test_used_variables_are_defined(role) -> None:
    """By a role of this collection, by its playbooks, or by Ansible."""
    known = {*MAGIC, *result_names(), *PLAYBOOK_VARIABLES, *options()}
    known |= {name for other in ROLES for name in made_by(other)}
    if role == "vllm_awx":
        known |= data_of_awx()
    for path in files_of(role):
        assert used_in(path) - known == set(), path.relative_to(ROOT)


@pytest.mark.parametrize("role", ROLES)
def test_results_are_declared(role) -> None:
    """What a role makes for others stands in its vars/main.yml: reports read it, and its name is no misspelt one."""
    tasks = [path for path in files_of(role) if path.parent.name == "tasks"]
    made = {name for path in tasks for name in made_in(path) if name.startswith(PREFIXES)}
    assert made - {*result_names(), *PLAYBOOK_VARIABLES, *options(), "vllm_report_failure"} == set()


def test_templates_use_what_is_defined() -> None:
    """The same of what lands on hosts; the templates of reports are rendered by a plugin with values of its own."""
    known = {*MAGIC, *result_names(), *options(), *(name for role in ROLES for name in made_by(role))}
    for path in (ROOT / "templates").glob("*.j2"):
        assert used_in(path) - known == set(), path.relative_to(ROOT)


@functools.cache
def used_anywhere() -> frozenset[str]:
    """Every name that something reads: in templates of roles, playbooks and AWX, or as a text in a plugin's code."""
    found: set[str] = set()
    for role in ROLES:
        for path in files_of(role):
            found |= used_in(path)
            # by its name, which is how another host's variable is read
            text = path.read_text(encoding="utf-8")
            found |= {
                name for pair in re.findall(r"hostvars, '(\w+)'|\bmet: (\w+)$", text, re.MULTILINE) for name in pair
            }
    for folder in (ROOT / "playbooks", AWX):
        for path in folder.glob("*.yml"):
            found |= used_in(path)
    for path in (*(ROOT / "templates").glob("*.j2"), *ROOT.glob("roles/*/templates/*.j2")):
        found |= used_in(path)
    for path in (ROOT / "plugins").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    return frozenset(found)


@pytest.mark.parametrize("role", ROLES)
def test_defined_variables_are_used(role) -> None:
    """A documented variable does something, and nothing is registered or set for nobody."""
    specs = parsed(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    own = {name for spec in specs.values() for name in spec.get("options") or {}}
    made = {name for name in made_by(role) if name.startswith("__")}
    assert {*own, *made} - used_anywhere() == set()


WITH_TASKS = sorted(
    {
        path
        for pattern in ("*.yml", "playbooks/*.yml", "molecule/*/*.yml", "molecule/resources/playbooks/*.yml")
        for path in [*ROOT.glob(pattern), *AWX.glob("*.yml")]
    }
)


@pytest.mark.parametrize("path", WITH_TASKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_facts_stand_in_ansible_facts(path) -> None:
    """No playbook or scenario uses a fact as a variable of its own; roles are held to more above."""
    assert {name for name in used_in(path) if name.startswith("ansible_")} <= MAGIC


def test_facts_are_never_injected() -> None:
    """The checkout and the scenarios run as a site that has turned it off."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "ansible.cfg", encoding="utf-8")
    assert settings.getboolean("defaults", "inject_facts_as_vars") is False
    molecule = parsed(ROOT / ".config" / "molecule" / "config.yml")["ansible"]
    assert molecule["cfg"]["defaults"]["inject_facts_as_vars"] is False
    assert molecule["env"]["ANSIBLE_INJECT_FACT_VARS"] == "false"


def conditions(node: object) -> Iterator[str]:
    """Yield each text that decides whether something is done."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in EXPRESSIONS:
                yield from (str(item) for item in (value if isinstance(value, list) else [value]))
            else:
                yield from conditions(value)
    elif isinstance(node, list):
        for value in node:
            yield from conditions(value)


def test_truth_values_of_conditions() -> None:
    """`-e name=true` and AWX's forms give texts, which ansible-core 2.19 takes for no condition."""
    truths = {
        name
        for path in ROOT.glob("roles/*/meta/argument_specs.yml")
        for spec in parsed(path)["argument_specs"].values()
        for name, option in (spec.get("options") or {}).items()
        if option.get("type") == "bool"
    }
    files = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]
    used = [(path, text, name) for path in files for text in conditions(parsed(path)) for name in truths & names_in(
        "{{ %s }}" % text)]  # fmt: skip
    assert len(used) > 5
    bare = [(path.name, text) for path, text, name in used if not re.search(r"\b%s \| bool\b" % name, text)]
    assert bare == []
