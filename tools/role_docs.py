# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the roles' defaults, the variables in their READMEs and ``.env.example`` from the argument_specs.

Usage: ``python tools/role_docs.py`` writes; with ``--check`` it only says what is out of date (exit status 1).
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import sys
import textwrap

import yaml
from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- BEGIN VARIABLES -->", "<!-- END VARIABLES -->"

#: A default with more characters than this is shown below its variable, not beside it.
LONGEST_DEFAULT = 80


def specs(role: str) -> dict:
    """Return the argument_specs of a role, by entry point."""
    return yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))[
        "argument_specs"
    ]


def plain(text: str) -> str:
    """Return a description as Markdown: Ansible's markup becomes code."""
    # a variable of another role is written with that role before it
    return re.sub(r"\b[VCOMP]\((?:[\w.]+#role:\w+:)?([^()]*)\)", r"`\1`", " ".join(text.split()))


def variables(role: str) -> str:
    """Return a part for each of a role's variables, those that only a further entry point has after the others."""
    points = {point: spec.get("options") or {} for point, spec in specs(role).items()}
    main = points.pop("main")
    text = entries(main) if main else "This role has no variables of its own; see [vllm](../vllm/README.md).\n"
    for point, options in points.items():
        own = {name: option for name, option in options.items() if name not in main}
        if own:
            text += "\n## Variables of the entry point `%s` alone\n\n%s" % (point, entries(own))
    return text


@functools.cache
def load_collection() -> None:
    """Let Python find the collection's plugins, as Ansible does."""
    init_plugin_loader([str(ROOT / "collections")])


@functools.cache
def serve_facts() -> dict[str, str]:
    """Return by variable which option of ``vllm serve`` it sets, and its limits."""
    load_collection()
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (  # noqa: PLC0415 loader first
        serve_options,
    )

    found = {}
    for option in serve_options.SERVE_OPTIONS:
        if option.told_by != "option":
            continue
        limits = "" if option.least is None else ", %d or more" % option.least
        if option.most is not None:
            limits = ", %d to %d" % (option.least, option.most)
        found[option.variable] = "`--%s`%s" % (option.flag, ", above 0, at most 1" if option.share else limits)
    return found


def kind_and_default(option: dict, serve: str = "") -> str:
    """Return what a variable takes, the option it sets, and its default, which is a block when it is long."""
    kind = "`%s`" % option.get("type", "str")
    if option.get("elements"):
        kind += " of `%s`" % option["elements"]
    if option.get("choices"):
        kind += ", one of %s" % ", ".join("`%s`" % choice for choice in option["choices"])
    kind += ", %s" % serve if serve else ""
    if option.get("required"):
        return kind + ", required"
    default = option.get("default")
    if default is None:
        return kind
    text = default if isinstance(default, str) and default else json.dumps(default)
    if len(text) <= LONGEST_DEFAULT:
        return "%s, default `%s`" % (kind, text)
    block = yaml.dump(default, Dumper=Dumper, sort_keys=False, width=100, default_flow_style=None)
    return "%s, default:\n\n```yaml\n%s```" % (kind, block)


def entries(options: dict) -> str:
    """Return a part for each of some options, with its name as heading: links and the site's search find that."""
    facts = serve_facts()
    parts = []
    for name, option in options.items():
        description = option["description"]
        first, *more = [description] if isinstance(description, str) else description
        text = "### `%s`\n\n%s\n\n%s\n" % (name, kind_and_default(option, facts.get(name, "")), plain(first))
        items = [plain(item) for item in more]
        for key, inner in (option.get("options") or {}).items():
            told = inner["description"] if isinstance(inner["description"], str) else " ".join(inner["description"])
            items.append("`%s` (%s): %s" % (key, kind_and_default(inner), plain(told)))
        mark = "- " if len(items) > 1 else ""
        parts.append(text + ("\n%s" % "".join("%s%s\n" % (mark, item) for item in items) if items else ""))
    return "\n".join(parts)


def first_sentence(description: str | list[str]) -> str:
    """Return the first sentence of a description without Ansible's markup."""
    text = description if isinstance(description, str) else description[0]
    text = re.sub(r"\b[VCOMP]\((?:[\w.]+#role:\w+:)?([^()]*)\)", r"\1", " ".join(text.split()))
    return re.split(r"(?<=[a-z0-9)\]\"'])\. (?=[A-Z/a-z\[])", text)[0].rstrip(".") + "."


class Dumper(yaml.SafeDumper):
    """Indents lists, as yamllint asks for."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Begin a collection."""
        super().increase_indent(flow, False)


def as_yaml(name: str, value: object) -> str:
    """Return a variable with its value; a text that might be taken for something else is quoted."""
    if isinstance(value, str) and (
        not value or not (value[0].isalpha() or value[0] == "/") or ": " in value or "|" in value
    ):
        return "%s: %s\n" % (name, json.dumps(value))
    return yaml.dump({name: value}, Dumper=Dumper, sort_keys=False, width=118, default_flow_style=False)


def defaults(role: str) -> tuple[pathlib.Path, str]:
    """Return the path and the wanted text of a role's defaults."""
    text = "---\n# Written by `make docs-roles` from meta/argument_specs.yml, which documents each in full.\n"
    for spec in specs(role).values():
        for name, option in (spec.get("options") or {}).items():
            if not re.search("^%s:" % name, text, re.MULTILINE):
                comment = textwrap.fill(
                    first_sentence(option["description"]), 118, initial_indent="# ", subsequent_indent="# "
                )
                text += "\n%s\n%s" % (comment, as_yaml(name, option.get("default")))
    return ROOT / "roles" / role / "defaults" / "main.yml", text if "\n\n" in text else "---\n{}\n"


def readme(role: str) -> tuple[pathlib.Path, str]:
    """Return the path and the wanted text of a role's README: its prose, with the variables between the marks."""
    path = ROOT / "roles" / role / "README.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return path, "%s%s\n%s%s%s" % (before, BEGIN, variables(role), END, after)


def env_example() -> tuple[pathlib.Path, str]:
    """Return the path and the wanted text of ``.env.example``: the defaults, with placeholders for the secrets."""
    from ansible_collections.myia.vllm.plugins.module_utils.service import dotenv  # noqa: PLC0415 loader first
    from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition  # noqa: PLC0415 loader first

    options = specs("vllm")["main"]["options"]
    values = {name: option.get("default") for name, option in options.items()}
    values.update(vllm_hf_token="hf_your_token", vllm_api_key="choose-a-long-random-key")
    lines = [
        "# What the .env of the medium service holds, with the defaults of the role vllm. Generated from its",
        "# argument_specs by `make docs-roles`. You need not write one: the playbook does, from the vllm_* variables",
        "# and the vaulted secrets, on the host, with mode 0600. Never commit a real one.",
    ]
    lines += ["%s=%s" % (name, dotenv.quote(value)) for name, value in definition.env_entries(values, options)]
    return ROOT / ".env.example", "\n".join(lines) + "\n"


def main() -> int:
    """Write or check all files; return the exit status."""
    load_collection()
    check = "--check" in sys.argv[1:]
    roles = sorted(path.parent.parent.name for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
    outdated = []
    for path, wanted in [*map(readme, roles), *map(defaults, roles), env_example()]:
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        outdated.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
    for name in outdated:
        print("%s %s" % ("out of date (run make docs-roles):" if check else "written:", name))
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
