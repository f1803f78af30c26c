# SPDX-License-Identifier: GPL-3.0-or-later
"""Say how many commands of vllm-project/recipes this collection expresses: ``make coverage RECIPES=path``.

Each command is written into variables as an operator would, with no profile: the variable of an option that has one,
the rest in ``vllm_extra_options`` and ``vllm_extra_env``. What the collection makes of them is then held against the
recipe's command, both as vLLM reads them, and the environment too. Nothing is deployed.

exactly          the same options with the same values, and the same environment; where the newest release lacks
                 something, in the one that the recipe was written for, which is named
leaking          options or environment variables that nobody asked for
wrong            an option or variable is missing or has another value, or the release lacks it and nobody refused
refused wrongly  refused, although the release takes it
refused rightly  the release lacks an option or does not know a value or key of it
cannot           more than one process, container or host; accelerators of another maker

vLLM-Omni's options are its own, so vllm_check_options is false for them; only the command is compared.
Host and port are the collection's own, and so are the variables of ``OURS``.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import re
import sys
from typing import NamedTuple

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT / "collections"))

import recipes  # noqa: E402 - needs the path above
import serve_arguments  # noqa: E402 - needs the path above

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (  # noqa: E402 - needs the path above
    definition,
    names,
    role_variables,
    serve_options,
    vllm_options,
    vllm_versions,
)

VERDICTS = ("exactly", "leaking", "wrong", "refused wrongly", "refused rightly", "cannot")

#: Options that are the collection's own business.
OWN_OPTIONS = ("host", "port")

#: Variables that a container gets from the collection, whatever it serves: its GPUs, no question to the hub for what
#: was downloaded before, and no usage statistics unless vllm_usage_stats is true.
OURS = ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")

#: Examples that are printed of each finding.
EXAMPLES = 2


class Verdict(NamedTuple):
    """How a command came out, with the reason where it is not exact in the newest release."""

    word: str
    reason: str = ""


def as_yaml(text: str) -> object:
    """Return a value as an inventory has it: a number, a switch, a list or a dictionary is one."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, int, float, list, dict)) else text


def variables(command: recipes.Command, version: str) -> dict[str, object]:
    """Return the variables that an operator sets for a command of a recipe."""
    model, given = serve_arguments.items(command.argv)
    found: dict[str, object] = {"vllm_profile": "none", "vllm_name": "recipe", "vllm_model": model}
    # the time for running requests is this collection's own on purpose (docs/startup.md), and no recipe says one
    found["vllm_shutdown_timeout_s"] = 0
    found.update({"vllm_version": version, "vllm_extra_options": {}, "vllm_extra_env": {}})
    if is_own_image(command.image):
        found["vllm_image"] = command.image
    if command.kind == "omni":  # its options are not vLLM's
        found["vllm_check_options"] = False
    first_class, table = serve_options.variables(), vllm_options.options(version)
    for name, words in given:
        value = words[0] if len(words) == 1 else words or True
        head, dot, keys = vllm_options.long_name(version, serve_options.option_name(name)).partition(".")
        variable = first_class.get(head)
        if variable and dot:
            serve_arguments.merge(found.setdefault(variable, {}), keys.split("."), as_yaml(str(value)))
        elif variable:
            found[variable] = json.loads(value) if variable == "vllm_hf_overrides" else value
        elif table.get(head, {}).get("form") == "repeated":
            found["vllm_extra_options"].setdefault(name, []).append(value)
        else:
            found["vllm_extra_options"][name] = as_yaml(value) if isinstance(value, str) else value
    for name, value in command.env.items():
        if name in names.FIRST_CLASS_ENV:
            found[names.FIRST_CLASS_ENV[name]] = value
        else:
            found["vllm_extra_env"][name] = value
    found.setdefault("vllm_gpu_devices", list(range(gpus(serve_arguments.read(command.argv, version).options))))
    return found


def is_own_image(image: str) -> bool:
    """Tell whether an image is none of vLLM's releases."""
    return bool(image) and not re.match(r"vllm/vllm-openai:(latest|v[\d.]+)$", image)


def gpus(options: dict[str, object]) -> int:
    """Return how many GPUs of a host a command takes."""
    local = options.get("data-parallel-size-local") or options.get("data-parallel-size") or 1
    return int(options.get("tensor-parallel-size") or 1) * int(options.get("pipeline-parallel-size") or 1) * int(local)


def releases(command: recipes.Command) -> list[str]:
    """Return the releases that an operator would take for a recipe: the one that its image names, or else the newest,
    and where that does not suit the one that the recipe was written for."""
    pinned = vllm_versions.image_version(command.image)
    if pinned:
        return [pinned]
    known = vllm_options.versions()
    oldest = command.minimum
    if not oldest or vllm_versions.release(oldest) < vllm_versions.release(known[0]):
        oldest = known[0]
    return list(dict.fromkeys([known[-1], min(oldest, known[-1], key=vllm_versions.release)]))


def judge(command: recipes.Command, options: dict) -> Verdict:
    """Say how a command comes out in the newest release that has all of it; ``options`` are those of the role vllm."""
    if command.beyond:
        return Verdict("cannot", command.beyond)
    verdicts = []
    for version in releases(command):
        verdicts.append(judge_in(command, version, options))
        # an older release is asked only where the newest lacks something: it must not hide another fault
        if verdicts[-1].word == "exactly" and len(verdicts) > 1:
            return Verdict("exactly", "in %s, since %s" % (version, verdicts[0].reason))
        if verdicts[-1].word != "refused rightly":
            return verdicts[-1]
    return verdicts[0]


def judge_in(command: recipes.Command, version: str, options: dict) -> Verdict:
    """Say how a command comes out in a release."""
    # what an image of one's own knows, or another program, nobody can tell
    lacks = serve_arguments.lacking(command.argv, version, not is_own_image(command.image))
    lacks = [] if command.kind == "omni" else lacks
    given = variables(command, version)
    values = {**{name: option.get("default") for name, option in options.items()}, **given}
    made, problems, _warnings = definition.define(values, options)
    if problems:
        other = [item for item in problems if not any(is_about(item["message"], lack) for lack in lacks)]
        text = "; ".join("%s: %s" % (item["variable"], item["message"]) for item in other)
        return (
            Verdict("refused wrongly", text)
            if other
            else Verdict("refused rightly", "%s has no %s" % (version, ", ".join(lacks)))
        )
    if lacks:
        return Verdict("wrong", "taken, though %s has no %s" % (version, ", ".join(lacks)))
    entries = dict(definition.env_entries(values, options))
    argv = ["vllm", "serve", *[rendered(argument, entries) for argument in made["command"]]]
    return differences(
        {
            name: value
            for name, value in serve_arguments.read(command.argv, version).options.items()
            if name not in OWN_OPTIONS
        },
        {name: value for name, value in serve_arguments.read(argv, version).options.items() if name not in OWN_OPTIONS},
        command.env,
        {name: entries[entry] for name, entry in made["environment"].items()},
    )


def is_about(message: str, lack: str) -> bool:
    """Tell whether a problem names what a release lacks: an option, or a value that it does not know."""
    name, _space, value = lack.removeprefix("option ").partition(" ")
    option = re.escape(name.partition(".")[0].removeprefix("no-"))
    return bool(re.search(r"(?<![\w-])%s(?![\w-])" % option, message)) or (bool(value) and repr(value) in message)


def rendered(argument: str, entries: dict[str, str]) -> str:
    """Return an argument as Compose makes it of the line in ``.env``."""
    return re.sub(r"\$\{(\w+)\}", lambda match: entries[match.group(1)], argument)


def differences(wanted: dict, made: dict, wanted_env: dict[str, str], made_env: dict[str, str]) -> Verdict:
    """Hold options and environment against each other, each by name."""
    made_env = {name: value for name, value in made_env.items() if name not in OURS or name in wanted_env}
    wrong = [
        "%s is %r, not %r" % (name, made.get(name), value) for name, value in wanted.items() if made.get(name) != value
    ]
    wrong += [
        "%s is %r, not %r" % (name, made_env.get(name), value)
        for name, value in wanted_env.items()
        if made_env.get(name) != value
    ]
    if wrong:
        return Verdict("wrong", "; ".join(wrong))
    more = ["--%s" % name for name in made if name not in wanted] + [
        name for name in made_env if name not in wanted_env
    ]
    return Verdict("leaking", ", ".join(more)) if more else Verdict("exactly")


def table(judged: list[tuple[recipes.Command, Verdict]]) -> list[str]:
    """Return the lines of a table: how many commands of each kind and strategy came out how, and the shares."""
    rows = collections.defaultdict(collections.Counter)
    for command, verdict in judged:
        rows["%s, %s" % (command.kind, command.strategy)][verdict.word] += 1
    rows = {name: rows[name] for name in sorted(rows)}
    rows["all"] = sum(rows.values(), collections.Counter())
    here = collections.Counter(rows["all"])
    del here["cannot"]
    rows["all of one container"] = here
    width = max(map(len, rows))
    lines = ["%-*s %8s %s" % (width, "", "commands", " ".join("%16s" % word for word in VERDICTS))]
    for name, counts in rows.items():
        total = sum(counts.values())
        cells = ["%6d (%5.1f %%)" % (counts[word], 100 * counts[word] / total) if total else "-" for word in VERDICTS]
        lines.append("%-*s %8d %s" % (width, name, total, " ".join("%16s" % cell for cell in cells)))
    return lines


def reasons(judged: list[tuple[recipes.Command, Verdict]], examples: int) -> list[str]:
    """Return why commands are not exact in the newest release: each reason with its number and some examples."""
    found = collections.defaultdict(list)
    for command, verdict in judged:
        if verdict.reason:
            found[verdict].append("%s (%s)" % (command.recipe, command.which) if command.which else command.recipe)
    lines = []
    for verdict, where in sorted(found.items(), key=lambda item: (VERDICTS.index(item[0].word), -len(item[1]))):
        lines.append("%6d %s: %s" % (len(where), verdict.word, verdict.reason))
        lines += ["         %s" % item for item in where[:examples]]
    return lines


def main() -> int:
    """Read the command line; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", type=pathlib.Path, help="folder with a checkout of vllm-project/recipes")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="examples of each reason (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        groups = recipes.render(arguments.recipes)
    except recipes.RecipeError as error:
        raise SystemExit(str(error)) from None
    options = role_variables.role_options("vllm")
    for title, commands in zip(("Recommended commands", "All combinations for one host"), groups):
        judged = [(command, judge(command, options)) for command in commands]
        print("\n".join(["", title, "", *table(judged), "", *reasons(judged, arguments.examples)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
