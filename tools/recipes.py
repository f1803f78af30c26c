# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a checkout of vllm-project/recipes render its commands, by its own code and by node.

The checkout is left as it is: its code and a JSON form of its data (which is YAML too) are put into a folder for the
time of the call, where its script that builds its API runs. Nothing of it is kept.
"""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
from typing import NamedTuple

import yaml

#: Renders all combinations for one host.
COMBINATIONS = pathlib.Path(__file__).with_name("recipe_commands.mjs")

#: Stands in for the YAML reader of the recipes' scripts, which then get along without their packages from npm.
READER = {
    "package.json": '{"name": "js-yaml", "version": "0.0.0", "type": "module", "exports": "./index.js"}',
    "index.js": "export const load = JSON.parse;\nexport default { load };\n",
}

#: Kinds of service by the recipes' tasks, the more special first (taxonomy.yaml of the recipes).
KINDS = (("omni", "omni"), ("embedding", "embed"), ("multimodal", "vision"), ("text", "chat"))


class RecipeError(Exception):
    """The recipes cannot be rendered; the text says why."""


class Command(NamedTuple):
    """A command of a recipe."""

    recipe: str
    kind: str
    strategy: str
    argv: list[str]
    env: dict[str, str]
    image: str = ""
    #: Oldest vLLM release that the recipe names.
    minimum: str = ""
    #: Variant, hardware and features in words.
    which: str = ""
    #: Why no service of one container on one host is asked for, "" for none.
    beyond: str = ""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads YAML as JavaScript does: only true and false are booleans, and a date is a text."""


_OTHER_WORDS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag not in _OTHER_WORDS]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read_yaml(text: str) -> object:
    """Return the content of a file of the recipes."""
    return yaml.load(text, _Loader)


def kind_of(tasks: list[str]) -> str:
    """Return the kind of service that a recipe's tasks ask for."""
    return next((kind for task, kind in KINDS if task in tasks), "chat")


def words(argv: list[str]) -> list[str]:
    """Return the arguments as a shell makes them of the command that a recipe shows: an option has no space in it."""
    return [part for word in argv for part in (word.split(None, 1) if re.match(r"--[\w-]+\s", word) else [word])]


def render(checkout: pathlib.Path) -> tuple[list[Command], list[Command]]:
    """Return the recommended commands of a checkout, and those of all combinations for one host.

    Raises:
        RecipeError: node is missing, or the folder is no such checkout, or its code fails.
    """
    if not shutil.which("node"):
        raise RecipeError(
            "node is not installed, and the recipes' commands are made by JavaScript (apt install nodejs)."
        )
    if not checkout.joinpath("src/lib/command-synthesis.js").is_file():
        raise RecipeError(
            "%s is no checkout of vllm-project/recipes: src/lib/command-synthesis.js is missing." % checkout
        )
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        content = _copy(checkout, folder)
        _node(folder, ["scripts/build-recipes-api.mjs"])
        given = {
            "recipes": {path[7:-5]: item for path, item in content.items() if path.startswith("models/")},
            "strategies": {item["name"]: item for path, item in content.items() if path.startswith("strategies/")},
            "taxonomy": content["taxonomy.yaml"],
        }
        combinations = json.loads(_node(folder, [str(COMBINATIONS), str(folder)], json.dumps(given)))
        for item in combinations:
            # a shell joins the lines and takes the quotes away
            item["argv"] = item.get("argv") or shlex.split(item["command"].replace("\\\n", " "))
        usual = distinct([item for item in combinations if item.get("recommended")], given["recipes"])
        shown = recommended(folder / "public", given["recipes"], {command.recipe: command for command in usual})
        return shown, distinct(combinations, given["recipes"])


def _copy(checkout: pathlib.Path, folder: pathlib.Path) -> dict[str, dict]:
    """Copy the code, and the data as JSON; return the data by path."""
    content = {}
    for pattern in ("*.yaml", "models/**/*.yaml", "strategies/*.yaml", "kv_store/*.yaml"):
        for path in sorted(checkout.glob(pattern)):
            relative = path.relative_to(checkout)
            content[str(relative)] = read_yaml(path.read_text(encoding="utf-8"))
            folder.joinpath(relative).parent.mkdir(parents=True, exist_ok=True)
            folder.joinpath(relative).write_text(json.dumps(content[str(relative)], default=str), encoding="utf-8")
    for name in ("src", "scripts"):
        shutil.copytree(checkout / name, folder / name)
    folder.joinpath("package.json").write_text('{"type": "module"}', encoding="utf-8")
    reader = folder / "node_modules" / "js-yaml"
    reader.mkdir(parents=True)
    for name, text in READER.items():
        reader.joinpath(name).write_text(text, encoding="utf-8")
    return content


def _node(folder: pathlib.Path, arguments: list[str], text: str = "") -> str:
    done = subprocess.run(["node", *arguments], cwd=folder, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RecipeError("node %s failed:\n%s" % (arguments[0], done.stderr[-1500:]))
    return done.stdout


def recommended(public: pathlib.Path, recipes: dict[str, dict], left_out: dict[str, Command]) -> list[Command]:
    """Return the command that the recipes' API recommends for each model and each variant with a name of its own.

    Args:
        public: the API as files.
        recipes: all recipes by id.
        left_out: commands of models for which the API has none.
    """
    found = []
    for entry in json.loads(public.joinpath("models.json").read_text(encoding="utf-8")):
        model = json.loads(public.joinpath(entry["json"].lstrip("/")).read_text(encoding="utf-8"))
        parent = recipes.get(entry.get("derived_from") or entry["hf_id"]) or {}
        shown = model.get("recommended_command")
        tasks = (model.get("meta") or {}).get("tasks") or []
        if not shown:
            nothing = Command(entry["hf_id"], kind_of(tasks), "none", [], {}, beyond="no command")
            found.append(left_out.get(entry["hf_id"], nothing))
            continue
        found.append(
            Command(
                entry["hf_id"],
                kind_of(tasks),
                shown["strategy"],
                words(shown.get("argv") or []),
                shown["env"],
                shown["docker_image"],
                minimum(parent, shown["variant"]),
                "%s, %s" % (shown["variant"], shown["hardware"]),
                _beyond(shown, [item["label"] for item in shown.get("companions") or []]),
            )
        )
    return found


def _beyond(shown: dict, companions: list[str]) -> str:
    if shown.get("deploy_type", "single_node") != "single_node":
        return "more than one host or service (%s)" % shown["deploy_type"]
    brand = (shown.get("hardware_profile") or {}).get("brand", "NVIDIA")
    if brand != "NVIDIA":
        return "accelerators of %s" % brand
    return "a process beside it (%s)" % ", ".join(companions) if companions else ""


def minimum(recipe: dict, variant: str) -> str:
    """Return the oldest vLLM release that a recipe names for a variant, "" where it names none by number."""
    named = ((recipe.get("variants") or {}).get(variant) or {}).get("min_vllm_version")
    version = str(named or (recipe.get("model") or {}).get("min_vllm_version") or "")
    return version if re.fullmatch(r"\d+\.\d+(\.\d+)?", version) else ""


def distinct(rendered: list[dict], recipes: dict[str, dict]) -> list[Command]:
    """Return the combinations, each command once."""
    found: dict[tuple, Command] = {}
    for item in rendered:
        recipe = recipes[item["recipe"]]
        key = (
            item["recipe"],
            item["strategy"],
            json.dumps([item["argv"], item["env"], item["image"], item["companions"]]),
        )
        if key not in found:
            found[key] = Command(
                item["recipe"],
                kind_of((recipe.get("meta") or {}).get("tasks") or []),
                item["strategy"],
                words(item["argv"]),
                {name: str(value) for name, value in item["env"].items()},
                item["image"],
                minimum(recipe, item["variant"]),
                "%s, %s, %s" % (item["variant"], item["hardware"], item["features"]),
                _beyond({}, item["companions"]),
            )
    return list(found.values())
