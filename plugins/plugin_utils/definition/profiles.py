# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles: values of tried services, which stand in where the operator says nothing.

What the operator says wins over the profile, and the profile over vLLM's own defaults. A profile belongs to its model
and its service: with another ``vllm_model`` or ``vllm_name`` none of what belongs to the profile's is taken.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import difflib
import pathlib
from typing import NamedTuple

import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import EMPTY_COUNTS, UNQUOTED
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.said import is_said
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.serve_options import option_name
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.values import Problems, option_text, to_names

#: The collection's own, one file each.
FOLDER = pathlib.Path(__file__).resolve().parents[3] / "roles" / "vllm" / "files" / "profiles"

#: What ``vllm_profile`` says for none.
NONE = "none"

#: Variables that must not be empty, so nothing can unset them.
_NEEDED = ("vllm_model", "vllm_name")

#: Dictionaries of options: a profile's entries stand beside the operator's, who wins for each.
_MERGED = ("vllm_extra_options", "vllm_extra_env")

#: What belongs to the service and names its model too.
_NAMES_BOTH = ("vllm_container_name",)


class ProfileError(Exception):
    """There is no such profile, or it cannot be used; the text says why."""


class Profile(NamedTuple):
    """A profile: ``service`` belongs to its ``vllm_name``, ``model`` to its ``vllm_model``."""

    name: str = NONE
    gpus: int = 0
    gpu_memory_gib: int = 0
    service: dict = {}  # noqa: RUF012 never changed
    model: dict = {}  # noqa: RUF012 never changed


class Applied(NamedTuple):
    """The values after a profile was applied, where each comes from, and what the operator should know."""

    values: dict
    sources: dict[str, str]
    notices: list[str]


def names() -> list[str]:
    """Return the names of the collection's own profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def load(name: str, options: dict) -> Profile:
    """Return the profile of this name, or the one in the file of this absolute path on the controller.

    Args:
        name: of ``vllm_profile``.
        options: the options of the role ``vllm``; a profile sets only those that have no default of their own.

    Raises:
        ProfileError: there is none, or it is not one.
    """
    if name == NONE:
        return Profile()
    if not name.startswith("/") and name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        raise ProfileError(
            "%r is no profile. Use one of %s, %s, or the absolute path of a file of your own.%s"
            % (name, ", ".join(names()), NONE, " Did you mean %s?" % near[0] if near else "")
        )
    path = pathlib.Path(name) if name.startswith("/") else FOLDER / (name + ".yml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProfileError("%s cannot be read: %s" % (path, " ".join(str(error).split()))) from None
    return _checked(path, content, options)


def _checked(path: pathlib.Path, content: object, options: dict) -> Profile:
    if not isinstance(content, dict) or not all(isinstance(content.get(key, {}), dict) for key in ("service", "model")):
        raise ProfileError("%s is no profile: it has no dictionaries service and model." % path)
    wrong = sorted(set(content) - set(Profile._fields) | {"name"} & set(content))
    if wrong:
        raise ProfileError("%s: %s is no part of a profile. It has gpus, gpu_memory_gib, service and model."
                           % (path, wrong[0]))  # fmt: skip
    profile = Profile(path.stem, content.get("gpus", 0), content.get("gpu_memory_gib", 0),
                      content.get("service") or {}, content.get("model") or {})  # fmt: skip
    for name in (*profile.service, *profile.model):
        if name not in options:
            near = difflib.get_close_matches(name, options, n=1)
            raise ProfileError("%s: there is no variable %s.%s"
                               % (path, name, " Did you mean %s?" % near[0] if near else ""))  # fmt: skip
        if options[name].get("default") not in (None, "", [], {}) or name in ("vllm_hf_token", "vllm_api_key"):
            raise ProfileError("%s: %s is nothing that a profile sets. Set it in the inventory." % (path, name))
    for section, name in (("service", "vllm_name"), ("model", "vllm_model")):
        if getattr(profile, section) and not is_said(getattr(profile, section).get(name)):
            raise ProfileError("%s: %s does not say %s, to which it belongs." % (path, section, name))
    return profile


def apply(values: dict, options: dict, problems: Problems) -> Applied:
    """Return the operator's values with those of the profile where the operator says nothing.

    Args:
        values: the templated value of every variable of the role ``vllm``, the documented default where nothing is set.
        options: the options of that role's argument_specs.
        problems: gets what is wrong with ``vllm_profile`` and ``vllm_unset``.
    """
    try:
        profile = load(str(values.get("vllm_profile") or options["vllm_profile"]["default"]), options)
    except ProfileError as error:
        problems.add("vllm_profile", str(error))
        profile = Profile()
    unset = _unset(values, options, profile, problems)
    same_model = _same(values, profile.model, "vllm_model")
    same_name = _same(values, profile.service, "vllm_name")
    offered = dict(profile.model if same_model else {})
    offered.update(profile.service if same_name else {})
    for name in _NAMES_BOTH:
        if not same_model:
            offered.pop(name, None)

    result, sources, emptied = dict(values), {}, []
    for name, option in options.items():
        said = is_said(values.get(name)) and values[name] != option.get("default")
        sources[name] = "operator" if said else "default" if is_said(option.get("default")) else "vLLM"
        if not said and name not in EMPTY_COUNTS:
            result[name] = option.get("default")
        if name not in offered or name in unset:
            continue
        if name in _MERGED and isinstance(values.get(name) or {}, dict):
            kept = {key: value for key, value in offered[name].items() if option_name(key) not in unset}
            result[name] = {**kept, **(values.get(name) or {})}
            sources[name] = "operator, profile %s" % profile.name if said else "profile %s" % profile.name
        elif not said:
            result[name] = offered[name]
            sources[name] = "profile %s" % profile.name
            if isinstance(values.get(name), (list, dict)) and option.get("default") is None:
                emptied.append(name)
    return Applied(result, sources, _notices(values, options, profile, unset, (same_model, same_name), emptied))


def _same(values: dict, section: dict, name: str) -> bool:
    """Tell whether the operator means what the section of a profile belongs to, by saying nothing or the same."""
    return not is_said(values.get(name)) or str(values[name]).strip() == section.get(name)


def _unset(values: dict, options: dict, profile: Profile, problems: Problems) -> set[str]:
    """Return what ``vllm_unset`` names: variables, and entries of a profile's options and environment."""
    given = values.get("vllm_unset")
    try:
        found = to_names(given)
    except ValueError:
        problems.add("vllm_unset", "%r is not a list of names of variables." % (given,))
        return set()
    can = [name for name, option in options.items() if not is_said(option.get("default")) and name not in _NEEDED]
    entries = {option_name(key) for name in _MERGED for key in {**profile.service, **profile.model}.get(name) or {}}
    for name in found:
        if name in can and is_said(values.get(name)):
            problems.add("vllm_unset", "%s is set, too. Take it out of one of the two." % name)
        elif name not in can and option_name(name) not in entries:
            near = difflib.get_close_matches(name, [*can, *entries], n=1)
            problems.add(
                "vllm_unset",
                "%s is nothing that can be left to vLLM.%s" % (name, " Did you mean %s?" % near[0] if near else ""),
            )
    return {name if name in can else option_name(name) for name in found}


def _notices(
    values: dict, options: dict, profile: Profile, unset: set[str], same: tuple[bool, bool], emptied: list[str]
) -> list[str]:
    """Say which of the profile's values are not taken, and which are although the operator wrote something empty."""
    notices = []
    pairs = (("vllm_model", profile.model, same[0]), ("vllm_name", profile.service, same[1]))
    for belongs_to, section, is_same in pairs:
        left = [
            name
            for name in section
            if name not in (belongs_to, *unset) and not is_said(values.get(name)) and name in options
        ]
        if not is_same and left:
            notices.append(
                "vllm_profile: %s is for %s %s, so %s %s gets none of its values. What you do not set stays vLLM's own "
                "default: %s. (vllm_profile: none says the same without this notice.)"
                % (profile.name, belongs_to, section[belongs_to], belongs_to, values[belongs_to], ", ".join(left))
            )
    notices += [
        "%s is empty, so the value of the profile %s is taken. List it in vllm_unset to leave it to vLLM."
        % (name, profile.name)
        for name in emptied
    ]
    return notices


def shown(name: str, value: object) -> str:
    """Return a value as it may be shown; of what may hold secrets the names only."""
    if not is_said(value):
        return ""
    if name in UNQUOTED:
        return ", ".join(sorted(map(str, value))) if isinstance(value, dict) else "(hidden)"
    return option_text(value)
