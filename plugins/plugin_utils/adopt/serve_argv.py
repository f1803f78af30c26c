# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the arguments with which somebody has started vLLM. Pure Python; runs on the controller.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
import shlex

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options, vllm_options

#: Modules that are vLLM's server (vllm/entrypoints of 0.6 to 0.32).
_MODULE = re.compile(r"^vllm\.entrypoints\.(openai\.api_server|api_server|openai\.cli.*|cli\.main)$")

#: A shell, whose text is no list of arguments.
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")

#: What may stand before a program without being one.
_WRAPPERS = ("exec", "nohup", "setsid", "tini", "dumb-init", "--", "time", "numactl", "nice", "env", "sudo", "stdbuf")

_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")

#: The words of vLLM's own of which none is a model.
_SUBCOMMANDS = ("serve", "vllm")


@dataclasses.dataclass
class Arguments:
    """What ``vllm serve`` was told."""

    model: str = ""
    #: (long name, value) in order: True for a bare flag, False for its --no- form, a list for several values.
    options: list[tuple[str, object]] = dataclasses.field(default_factory=list)
    #: As they were written, by long name.
    written: dict[str, str] = dataclasses.field(default_factory=dict)
    stray: list[str] = dataclasses.field(default_factory=list)
    twice: list[str] = dataclasses.field(default_factory=list)

    def value(self, name: str) -> object:
        """Return the last value of an option; None where it was not given."""
        return dict(self.options).get(name)


def is_shell(argv: list[str]) -> bool:
    """Tell whether a shell, or a script for one, is what runs."""
    return bool(argv) and (posixpath.basename(argv[0]) in _SHELLS or argv[0].endswith(".sh"))


def script(argv: list[str]) -> str:
    """Return the script that a container starts; empty where it starts none."""
    for word in argv[:4]:
        if re.search(r"\.(sh|bash|py)$", word) and not word.startswith("-"):
            return word
    return ""


def server(argv: list[str]) -> list[str] | None:
    """Return the arguments behind ``vllm serve`` or vLLM's module; None where neither runs."""
    for index, word in enumerate(argv):
        if posixpath.basename(word) == "vllm" and argv[index + 1 : index + 2] == ["serve"]:
            return argv[index + 2 :]
        if word == "-m" and len(argv) > index + 1 and _MODULE.match(argv[index + 1]):
            rest = argv[index + 2 :]
            return rest[1:] if rest[:1] == ["serve"] else rest
        if re.search(r"vllm/entrypoints/(openai/)?api_server\.py$", word):
            return argv[index + 1 :]
    return None


def of_shell(text: str, env: dict[str, str]) -> list[str] | None:
    """Return the arguments of the ``vllm serve`` that a shell's text ends in; None where it cannot be told.

    A text with branches, loops or functions builds its arguments in ways that only a shell can follow.
    """
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in re.split(r"\n|&&|;", joined)]
    found = [line for line in lines if re.search(r"\bvllm\s+serve\b|vllm\.entrypoints\.", line)]
    if len(found) != 1 or re.search(
        r"(^|\n)\s*(if|for|while|case|set --)\b|\$@|\$\*|\$\(|`", joined_without(found[0], joined)
    ):
        return None
    line = _expanded(found[0], env)
    if line is None:
        return None
    try:
        words = shlex.split(line.partition("|")[0], comments=True)
    except ValueError:
        return None
    return server([word for word in words if word not in ("&", ">", "2>&1")])


def joined_without(line: str, joined: str) -> str:
    """Return what matters for whether ``line`` can be read: the whole text, without what only sets the token."""
    return re.sub(r'\b(export\s+)?HF_TOKEN="?\$\([^)]*\)"?', "", joined) if line else joined


def _expanded(line: str, env: dict[str, str]) -> str | None:
    """Return a line with its variables replaced; None where one is not known."""
    unknown = []
    line = re.sub(r'\b(export\s+)?HF_TOKEN="?\$\([^)]*\)"?', "", line)

    def value(match: re.Match) -> str:
        name, mark, default = match["a"] or match["b"], match["mark"], match["default"] or ""
        given = env.get(name)
        if mark in (":-", "-"):
            return given or default
        if given is None:
            unknown.append(name)
        return given or ""

    pattern = r"\$(?:\{(?P<a>\w+)(?:(?P<mark>:?[-+?])(?P<default>[^}]*))?\}|(?P<b>\w+))"
    done = re.sub(pattern, value, line)
    return None if unknown or "$" in done else done


def parse(words: list[str], version: str) -> Arguments:
    """Read arguments as the parser of a release does.

    Args:
        words: what stands behind ``vllm serve``.
        version: vLLM's release; one that the table does not have counts as the nearest.
    """
    forms = vllm_options.options(version) if version else {}
    found = Arguments()
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not _is_option(word):
            position = _positional(found, words, position, word)
            continue
        written, equals, inline = word.partition("=")
        name = _long_name(written, version, forms)
        head = name.partition(".")[0]
        positive = head[3:] if head.startswith("no-") and head not in forms else head
        facts = forms.get(positive, {})
        values, position = _values(words, position, facts, bool(equals), inline, head, "." in name)
        value = _value(name, positive, head, values, facts)
        key = name if "." in name else positive
        if key in found.written and facts.get("form") != "repeated":
            found.twice.append(key)
            found.options = [item for item in found.options if item[0] != key]
        elif facts.get("form") == "repeated" and key in found.written:
            value = [*_listed(found.value(key)), *_listed(value)]
            found.options = [item for item in found.options if item[0] != key]
        found.options.append((key, value))
        found.written[key] = written
    model = found.value("model")
    if isinstance(model, str):
        if found.model and found.model != model:
            found.stray.append(found.model)
        found.model = model
        found.options = [item for item in found.options if item[0] != "model"]
    return found


def _positional(found: Arguments, words: list[str], position: int, word: str) -> int:
    """Take a word that belongs to no option: the model, or one too many."""
    if not found.model and word not in _SUBCOMMANDS and word.strip() not in ("", "\\"):
        found.model = word
    else:
        found.stray.append(word)
    return position


def _is_option(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not _NUMBER.match(word) and word[1:2] not in (" ", "")


def _long_name(written: str, version: str, forms: dict) -> str:
    name = serve_options.option_name(written)
    if version:
        name = vllm_options.long_name(version, name)
    head, dot, rest = name.partition(".")
    if forms and head not in forms and not head.startswith("no-"):
        # argparse takes an abbreviation that only one option begins with
        longer = [option for option in forms if option.startswith(head)]
        head = longer[0] if len(longer) == 1 and len(head) > 3 else head
    return head + dot + rest


def _values(
    words: list[str], position: int, facts: dict, inline: bool, first: str, head: str, dotted: bool
) -> tuple[list[str], int]:
    """Return the values of an option, and where the next word is."""
    form = facts.get("form", "")
    if inline:
        values = [first]
        if form != "list":
            return values, position
    else:
        values = []
    if form in ("boolean", "flag") and not dotted:
        return values, position
    most = 1 if form in ("value", "repeated", "optional") or dotted else 10_000 if form == "list" else 1
    # of an option that nobody knows the next word is taken for its value
    while len(values) < most and position < len(words) and not _is_option(words[position]):
        values.append(words[position])
        position += 1
        if not form and not dotted:
            break
    return values, position


def _value(name: str, positive: str, head: str, values: list[str], facts: dict) -> object:
    form = facts.get("form", "")
    if not values:
        return positive == head
    typed = [typed_value(item, facts) for item in values]
    if form == "list":
        return typed
    return typed[0] if len(typed) == 1 else typed


def typed_value(value: str, facts: dict) -> object:
    """Return a text in the type that an inventory has for it: JSON as what it holds, whole numbers as numbers."""
    stripped = value.strip()
    if stripped[:1] in ("{", "["):
        try:
            return json.loads(stripped)
        except ValueError:
            return value
    if facts.get("type") == "int" and re.match(r"^-?\d{1,15}$", stripped):
        return int(stripped)
    if facts.get("type") == "float" and re.match(r"^\d+(\.\d+)?$", stripped):
        return float(stripped) if "." in stripped else int(stripped)
    return value


def _listed(value: object) -> list:
    return list(value) if isinstance(value, list) else [value]
