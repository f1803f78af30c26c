# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/variables.schema.json: what editors take for right and for wrong in group_vars."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))

import docs_site  # noqa: E402 - needs the path above

SCHEMA = json.loads((ROOT / "docs" / "variables.schema.json").read_text(encoding="utf-8"))
CHECKER = jsonschema.Draft7Validator(SCHEMA)

#: Files of variables as operators write them.
EXAMPLES = sorted((ROOT / "inventories").glob("*/group_vars/*/main.yml"))
#: The first line by which an editor finds the schema, wherever the file was copied to.
MODELINE = "# yaml-language-server: $schema=%sdocs/variables.schema.json" % docs_site.PICTURES


def complaints(text: str) -> list[str]:
    """Return what an editor would underline in a file of variables."""
    return [error.message for error in CHECKER.iter_errors(yaml.safe_load(text))]


def test_up_to_date() -> None:
    """It is what the argument_specs say, and a schema."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    command = [sys.executable, ROOT / "tools" / "variables_schema.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_is_in_it() -> None:
    """With its description."""
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            for name in spec.get("options") or {}:
                assert SCHEMA["properties"][name]["description"], name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples(path) -> None:
    """The inventories that are shipped are right, and lead an editor to the schema."""
    text = path.read_text(encoding="utf-8")
    assert complaints(text) == []
    assert text.splitlines()[0] == MODELINE


def test_examples_of_the_docs() -> None:
    """So are the variables in the pages' blocks of YAML."""
    seen = 0
    for page in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            data = yaml.safe_load(block)
            if isinstance(data, dict) and any(name.startswith("vllm_") for name in data):
                seen += 1
                assert complaints(block) == [], "%s: %s" % (page.name, block)
    assert seen > 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vllm_port: 5002",
        "vllm_port: '5002'",
        "vllm_port: '{{ 5000 + 2 }}'",
        "vllm_port:",
        "vllm_gpu_devices: [0, 1]",
        "vllm_gpu_devices: '0,1'",
        "vllm_accelerator: \"{{ 'cpu' if small else 'nvidia' }}\"",
        "vllm_enforce_eager: yes",
        "vllm_extra_env: '{{ more }}'",
        "vllm_services: '{{ all_of_them }}'",
        "vllm_services: [{vllm_name: a, vllm_port: 5002}]",
        "my_own: 1\nvault_api_key: x",
        "docker_engine_extra_apt_source: {suite: trixie, packages: [docker-compose]}",
    ],
)
def test_good(text) -> None:
    """What Ansible takes is not underlined."""
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("vllm_max_modellen: 32768", "vllm_max_modellen"),
        ("docker_engine_sauce: auto", "docker_engine_sauce"),
        ("vllm_port: five", "five"),
        ("vllm_port: [5002]", "5002"),
        ("vllm_accelerator: tpu", "tpu"),
        ("vllm_enforce_eager: perhaps", "perhaps"),
        ("vllm_extra_env: [A=1]", "A=1"),
        ("vllm_services: [{vllm_port: 5002}]", "vllm_port"),
        ("vllm_services: [{vllm_name: a, vllm_prot: 5002}]", "vllm_prot"),
        ("docker_engine_extra_apt_source: {packages: [docker-compose]}", "docker-compose"),
        ("- vllm_port: 5002", "vllm_port"),
    ],
)
def test_bad(text, word) -> None:
    """What a run would refuse, or never read, is."""
    found = complaints(text)
    assert found
    assert any(word in message for message in found)
