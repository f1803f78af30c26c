# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options ``vllm serve`` takes and which metrics it shows, by release; read from vllm_options.json.

The data file is derived from the wheels on PyPI by tools/derive_vllm_options (docs/versions.md). It is read when first
asked for, once (about 2 ms). For the controller: a module that runs on a host has no data file beside it.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib
import functools
import json
import pathlib
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_versions

DATA = pathlib.Path(__file__).with_name("vllm_options.json")

#: Whole numbers as vLLM reads them: 8k, 8K, 25.6k, -1, auto (vllm/utils/argparse_utils.py).
_WHOLE_NUMBER = re.compile(r"^(-?\d+|\d+(\.\d+)?[kKmMgGtT]|auto)$")

#: Texts that vLLM takes for "not set" (vllm/engine/arg_utils.py: optional_type).
_UNSET = ("", "None")

#: Options whose known values vLLM reads without regard to case (vllm/config: load.py, model.py, attention.py,
#: multimodal.py; vllm/engine/arg_utils.py).
_ANY_CASE = (
    "quantization",
    "load-format",
    "tokenizer-mode",
    "attention-backend",
    "mm-encoder-attn-backend",
    "mamba-backend",
)

#: The option whose file adds to what vLLM knows, by the option that it adds to.
_PLUGINS = {"tool-call-parser": "tool-parser-plugin", "reasoning-parser": "reasoning-parser-plugin"}

#: Options that take the path of a class too (vllm/v1/executor/abstract.py).
_CLASSES = ("distributed-executor-backend",)

#: Choices that a message lists in full; of more it names only the nearest.
_LISTED = 12


@functools.cache
def data() -> dict:
    """Return the content of the data file: "versions", "options" and "metrics"."""
    return json.loads(DATA.read_text(encoding="utf-8"))


def versions() -> list[str]:
    """Return the releases of the data file, oldest first."""
    return list(data()["versions"])


def nearest_known(version: str) -> tuple[str, str]:
    """Return the release of the data file that ``version`` is treated as, and a warning ("" for none).

    A release that is not there counts as the newest one before it, the oldest of all as itself. Only one of a newer
    minor version than the newest known gets a warning.

    Raises:
        ValueError: ``version`` is no version.
    """
    wanted = vllm_versions.release(version)
    known = versions()
    earlier = [item for item in known if vllm_versions.release(item) <= wanted] or known[:1]
    warning = ""
    if wanted[:2] > vllm_versions.release(known[-1])[:2]:
        warning = "vLLM %s is newer than this collection knows; its options are checked as those of %s." % (
            version,
            known[-1],
        )
    return earlier[-1], warning


@functools.cache
def _at(kind: str, version: str) -> dict[str, dict]:
    """Return {name: facts} of the "options" or "metrics" of a release of the data file."""
    order = {item: index for index, item in enumerate(versions())}
    here, newest = order[version], len(order) - 1
    found = {}
    for name, history in data()[kind].items():
        for span in history:
            if order[span["since"]] <= here <= (order[span["until"]] if "until" in span else newest):
                found[name] = span
    return found


def options(version: str) -> dict[str, dict]:
    """Return the facts of each option of a release, by its long name; a release that is not known as the nearest."""
    return _at("options", nearest_known(version)[0])


def metric_names(version: str, hidden: bool = False) -> dict[str, str]:
    """Return the Prometheus metrics of a release: name as ``/metrics`` shows it -> kind ("" where not known).

    Args:
        version: vLLM release.
        hidden: include those that only --show-hidden-metrics-for-version shows.

    A counter ends in ``_total`` on ``/metrics`` though vLLM's source leaves that out.
    """
    names = {}
    for name, facts in _at("metrics", nearest_known(version)[0]).items():
        kind = facts.get("kind", "")
        if hidden or not facts.get("hidden"):
            names[name + "_total" if kind == "counter" and not name.endswith("_total") else name] = kind
    return names


def default(version: str, option: str) -> object:
    """Return the default of an option (long name) in a release; None where it is not a plain value or not known."""
    return options(version).get(option, {}).get("default")


@functools.cache
def _spellings(version: str) -> dict[str, str]:
    """Return long name by every spelling without dashes that a release of the data file takes for an option."""
    found = {}
    for name, facts in _at("options", version).items():
        for spelling in (name, *[alias.lstrip("-") for alias in facts.get("aliases", [])]):
            found[spelling] = name
        if facts["form"] == "boolean":
            found["no-" + name] = name
            found.update({facts["inverse"]: name} if "inverse" in facts else {})
    return found


def long_name(version: str, name: str) -> str:
    """Return the name to write for an option: the main one for another name of it (``dp``), else ``name`` itself.

    ``name`` has no leading dashes; negative forms and dotted rests stay.
    """
    head, dot, rest = name.partition(".")
    known = nearest_known(version)[0]
    found = _spellings(known).get(head, head)
    aliases = [alias.lstrip("-") for alias in _at("options", known).get(found, {}).get("aliases", [])]
    return (found if head in aliases else head) + dot + rest


def check_options(version: str, given: dict, names_too: bool = True) -> list[dict[str, str]]:
    """Return what ``vllm serve`` of a release would refuse among ``given``.

    Args:
        version: vLLM release; one that is not in the data file is treated as ``nearest_known`` says.
        given: value by option name without leading dashes, underscores already turned into dashes. True stands for the
            bare option, False for its ``--no-`` form, a list for several values, a dictionary for JSON.
        names_too: whether a value must be among ``known_values``, and a key of JSON among ``known_keys``; an image of
            one's own may know more.

    Returns:
        Problems as {"option", "message"}; a message names the option, the release, and what to do.
    """
    problems = []
    for name, value in given.items():
        message = _problem(version, str(name), value)
        if names_too and not message:
            message = _not_known(version, str(name), value, given) or _no_key(version, str(name), value)
        if message:
            problems.append({"option": str(name), "message": message})
    return problems


def deprecated_options(version: str, names: list[str]) -> list[str]:
    """Return those of ``names`` that vLLM calls deprecated in a release."""
    known = nearest_known(version)[0]
    return [
        name
        for name in names
        if _at("options", known).get(_spellings(known).get(name.partition(".")[0], ""), {}).get("deprecated")
    ]


def _problem(version: str, name: str, value: object) -> str:
    known = nearest_known(version)[0]
    head = name.partition(".")[0]
    long = _spellings(known).get(head)
    if long is None:
        return _unknown(version, known, head)
    facts = _at("options", known)[long]
    if "." in name:
        if facts["form"] in ("boolean", "flag"):
            return "%s takes no value in vLLM %s, so nothing can follow a dot. Write %s: true." % (head, version, head)
        return ""
    return _wrong_value(version, name, long, facts, value)


def known_values(version: str, option: str) -> list[str]:
    """Return what vLLM of a release knows by name for an option (long name); nothing where that is not known.

    vLLM's command line takes any text for these, and the engine refuses what is not among them, minutes later.
    """
    known, newer = nearest_known(version)
    return [] if newer else _at("options", known).get(option, {}).get("known", [])


def _not_known(version: str, name: str, value: object, given: dict) -> str:
    """Say why vLLM would not know ``value``, or ""."""
    long = _spellings(nearest_known(version)[0]).get(name, name)
    names, text = known_values(version, long), str(value)
    if not names or text in _UNSET or given.get(_PLUGINS.get(long, "")) or (long in _CLASSES and "." in text):
        return ""
    folded = {item.lower() if long in _ANY_CASE else item: item for item in names}
    text = text.lower() if long in _ANY_CASE else text
    if text in folded:
        return ""
    near = difflib.get_close_matches(text, list(folded), n=1, cutoff=0.6)
    hint = "Did you mean %s?" % folded[near[0]] if near else "It knows " + ", ".join(names) + "."
    plugin = " Set %s for one of your own." % _PLUGINS[long] if long in _PLUGINS else ""
    return "%s: vLLM %s knows no %r. %s%s" % (name, version, str(value), hint, plugin)


def known_keys(version: str, option: str) -> list[str]:
    """Return the keys that a release takes in the JSON of an option (long name); nothing where it takes any, or where
    that is not known."""
    known, newer = nearest_known(version)
    return [] if newer else _at("options", known).get(option, {}).get("keys", [])


def keys_of(name: str, value: object) -> list[str]:
    """Return the outermost keys that a value gives to a JSON option; ``name`` may have one behind a dot."""
    if "." in name:
        return [name.split(".")[1]]
    if isinstance(value, str) and value.lstrip().startswith("{") and _reads(json.loads, value):
        value = json.loads(value)
    return [str(key) for key in value] if isinstance(value, dict) else []


def _no_key(version: str, name: str, value: object) -> str:
    """Say which key of a JSON option vLLM would not take, or ""."""
    head, known = name.partition(".")[0], nearest_known(version)[0]
    long = _spellings(known).get(head, head)
    names = known_keys(version, long)
    wrong = [key for key in keys_of(name, value) if names and key not in names]
    if not wrong:
        return ""
    key, order = wrong[0], versions()
    others = [item for item in order if key in known_keys(item, long)]
    later = [item for item in others if order.index(item) > order.index(known)]
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if others and not later:
        hint = "%s still has it. Leave it out, or lower vllm_version." % others[-1]
    elif others:
        hint = "%s has it. Leave it out, or raise vllm_version." % later[0]
    elif near:
        hint = "Did you mean %s?" % near[0]
    else:
        hint = "It knows " + ", ".join(names) + "."
    return "%s: vLLM %s knows no key %r in it. %s" % (head, version, key, hint)


def _unknown(version: str, known: str, name: str) -> str:
    """Say why ``name`` is no option of a release."""
    positive = name[3:] if name.startswith("no-") else name
    history = data()["options"].get(positive)
    if positive in _at("options", known):
        return "%s has no --no- form in vLLM %s. Leave it out, or set %s: true." % (positive, version, positive)
    if history:
        order = versions()
        if order.index(history[0]["since"]) > order.index(known):
            return "%s is not there yet in vLLM %s; it came with %s. Leave it out, or raise vllm_version." % (
                positive,
                version,
                history[0]["since"],
            )
        last = [span["until"] for span in history if order.index(span["until"]) < order.index(known)][-1]
        hint = vllm_versions.REPLACEMENTS.get(positive, "leave it out, or lower vllm_version")
        gone = order[order.index(last) + 1]
        return "%s is not taken by vLLM %s; %s removed it. Instead: %s." % (positive, version, gone, hint)
    longer = [option for option in _at("options", known) if option.startswith(positive)]
    if len(longer) == 1:
        return "%s is an abbreviation. Write it in full: %s." % (positive, longer[0])
    near = difflib.get_close_matches(positive, list(_spellings(known)), n=1, cutoff=0.6)
    opposite = "enable-" + positive[8:] if positive.startswith("disable-") else ""
    if opposite in _at("options", known):
        return "%s is no option of vLLM %s. Set %s: false." % (positive, version, opposite)
    hint = "Did you mean %s?" % near[0] if near else "`vllm serve --help=all` lists them."
    return "%s is no option of vLLM %s. %s" % (positive, version, hint)


def _wrong_value(version: str, name: str, long: str, facts: dict, value: object) -> str:
    """Say why ``value`` does not suit an option, or ""."""
    form, items = facts["form"], list(value) if isinstance(value, (list, tuple)) else [value]
    if form in ("boolean", "flag"):
        return _wrong_switch(version, name, long, form, value)
    if isinstance(value, bool) and facts.get("type") in ("json", "bool"):
        return "%s needs a value in vLLM %s. Write it as a text in quotes." % (name, version)
    if not items or (isinstance(value, bool) and form != "optional"):
        return "%s needs a value in vLLM %s. Set one%s." % (name, version, _choices(facts, ""))
    if isinstance(value, (list, tuple)) and facts.get("type") == "json" and form == "value":
        return ""  # a list in JSON
    if isinstance(value, (list, tuple)) and form not in ("list", "repeated"):
        return "%s takes one value in vLLM %s, not several. Write it as one text." % (name, version)
    return next((message for message in (_wrong_item(version, name, facts, item) for item in items) if message), "")


def _wrong_switch(version: str, name: str, long: str, form: str, value: object) -> str:
    if not isinstance(value, bool):
        both = " or false" if form == "boolean" else ""
        return "%s takes no value in vLLM %s. Write %s: true%s." % (name, version, name, both)
    if value is False and (form == "flag" or name != long):
        hint = "" if name == long else ", or set %s" % long
        return "%s has no --no- form in vLLM %s. Leave it out%s." % (name, version, hint)
    return ""


def _wrong_item(version: str, name: str, facts: dict, item: object) -> str:
    text, wanted, why_not = str(item), facts.get("type"), ""
    choices = [str(choice) for choice in facts.get("choices", [])]
    if isinstance(item, (dict, list)):
        why_not = "takes no JSON" if choices or wanted not in ("json", "str") else ""
    elif text in _UNSET:
        pass
    elif choices:
        why_not = "" if text in choices else "does not take %r" % text
    elif wanted == "int" and not _WHOLE_NUMBER.match(text):
        why_not = "needs a whole number, not %r" % text
    elif wanted == "float" and not _reads(float, text):
        why_not = "needs a number, not %r" % text
    # what looks like JSON is left to vLLM, which takes 8k for a number in it
    elif wanted == "json" and text[0] not in "{[" and not _reads(json.loads, text):
        why_not = "needs JSON (a dictionary, or JSON as text)"
    return "%s %s in vLLM %s. Set another value%s." % (name, why_not, version, _choices(facts, text)) if why_not else ""


def _reads(convert, text: str) -> bool:
    try:
        convert(text)
    except ValueError:
        return False
    return True


def _choices(facts: dict, text: str) -> str:
    choices = [str(choice) for choice in facts.get("choices", [])]
    if not choices:
        return ""
    if len(choices) <= _LISTED:
        return ": " + ", ".join(choices)
    near = difflib.get_close_matches(text, choices, n=1, cutoff=0.4)
    return ", for example %s" % (near[0] if near else choices[0])
