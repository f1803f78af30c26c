# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an AWX survey from what the roles document about their variables.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import (
    knob_limits,
    profiles,
    role_variables,
    serve_options,
)
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS, TYPED_HIDDEN
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.rules import INT_LIMITS
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.said import is_said

#: Limits of a text in characters: at most AWX's own (its form for a new question). At least 1, so that AWX sends
#: nothing for what is not answered; with 0 it sends an empty text, which would hide what the inventory says.
_TEXT_LIMITS = (1, 1024)

#: The same for texts of several lines.
_TEXTAREA_LIMITS = (1, 4096)


class SurveyError(Exception):
    """A question that cannot be asked; the text says why."""


def spec(
    questions: list[dict], options: dict, values: dict | None = None, name: str = "", description: str = ""
) -> dict:
    """Return a survey as AWX keeps it, and as ``awx.awx.job_template`` takes it as ``survey_spec``.

    Args:
        questions: each with ``variable``, and ``question``, what the form says beside the field.
        options: the documented options of all roles, by variable name.
        values: what the inventory sets. The help texts tell it, or else what a profile or a role would use.
        name: name of the survey.
        description: its description.

    Raises:
        SurveyError: a question is about a variable that nobody documents, or about a secret.
    """
    values = values or {}
    return {
        "name": name,
        "description": description,
        "spec": [question(item, options, values) for item in questions],
    }


def question(item: dict, options: dict, values: dict) -> dict:
    """Return one question of a survey; see ``spec``."""
    name = item["variable"]
    if name not in options:
        raise SurveyError("%s: no role of this collection has this variable." % name)
    if name in SECRETS:
        raise SurveyError("%s is a secret: it belongs into a credential, since answers are kept in clear." % name)
    option = options[name]
    kind, shape = _kind(name, option)
    return {
        "question_name": item.get("question") or name,
        "question_description": "%s (%s%s)" % (_plain(option["description"]), name, _unanswered(name, option, values)),
        "variable": name,
        "type": kind,
        # schedules and launches by AWX's API have to answer what is required
        "required": False,
        # AWX sends a form's defaults as answers, and what is answered counts as said
        "default": "",
        **shape,
    }


def _unanswered(name: str, option: dict, values: dict) -> str:
    """Return what a run uses for a question that nobody answers, for its help text."""
    own = role_variables.role_options("vllm")
    profile = profiles.load(str(values.get("vllm_profile") or own["vllm_profile"]["default"]), own)
    section = {**profile.service, **profile.model}
    if name in TYPED_HIDDEN:
        # a vaulted file may say it, too, which nobody sees here
        text = "what the inventory says"
    elif is_said(values.get(name)):
        text = "the inventory's %s" % _shown(values[name])
    elif name in section:
        text = "%s with the profile %s" % (_shown(section[name]), profile.name)
    elif is_said(option.get("default")):
        text = _shown(option["default"])
    else:
        return ""
    return "; unanswered: %s" % text


def _kind(name: str, option: dict) -> tuple[str, dict]:
    """Return AWX's type of question, and its choices or limits."""
    if option.get("choices"):
        return "multiplechoice", {"choices": [str(choice) for choice in option["choices"]]}
    kind = option.get("type", "str")
    if kind == "bool":
        return "multiplechoice", {"choices": ["true", "false"]}
    if kind == "int":
        return "integer", _limits(*INT_LIMITS.get(name, knob_limits.LIMITS.get(name, (None, None))))
    if kind == "float":
        limits = (0, 1) if name in serve_options.shares() else knob_limits.LIMITS.get(name, (None, None))
        return "float", _limits(*limits)
    if kind in ("dict", "list"):
        # what may hold keys is JSON in one line
        return "password" if name in TYPED_HIDDEN else "textarea", _limits(*_TEXTAREA_LIMITS)
    return "text", _limits(*_TEXT_LIMITS)


def _limits(low: int | None, high: int | None) -> dict:
    return {key: value for key, value in (("min", low), ("max", high)) if value is not None}


def _shown(value: object) -> str:
    """Return a value as somebody would write it into the form; what has no text of its own is JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _plain(description: str | list[str]) -> str:
    """Return the first paragraph of a description without Ansible's markup."""
    first = description if isinstance(description, str) else description[0]
    return re.sub(r"\b[VCOMP]\(([^()]*(?:\([^()]*\))?[^()]*)\)", r"\1", " ".join(first.split()))
