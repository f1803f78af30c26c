# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an AWX survey from what the roles document about their variables.

Private to this collection; may change at any time.
"""

from __future__ import annotations

import json
import re

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import serve_options
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.rules import INT_LIMITS

#: AWX's own limits of a text, in characters (its form for a new question).
_TEXT_LIMITS = (0, 1024)

#: The same for texts of several lines.
_TEXTAREA_LIMITS = (0, 4096)


class SurveyError(Exception):
    """A question that cannot be asked; the text says why."""


def spec(
    questions: list[dict], options: dict, values: dict | None = None, name: str = "", description: str = ""
) -> dict:
    """Return a survey as AWX keeps it, and as ``awx.awx.job_template`` takes it as ``survey_spec``.

    Args:
        questions: each with ``variable``, and ``question``, what the form says beside the field.
        options: the documented options of all roles, by variable name.
        values: what the inventory sets; it takes the place of the documented default, so that a form shows what a run
            without it would use.
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
    default = _shown(kind, values[name] if name in values else option.get("default"), option)
    return {
        "question_name": item.get("question") or name,
        "question_description": "%s (%s)" % (_plain(option["description"]), name),
        "variable": name,
        "type": kind,
        # AWX fills in the default of what is not answered, but schedules and launches by its API have to answer what
        # is required
        "required": False,
        "default": default,
        **shape,
    }


def _kind(name: str, option: dict) -> tuple[str, dict]:
    """Return AWX's type of question, and its choices or limits."""
    if option.get("choices"):
        return "multiplechoice", {"choices": [str(choice) for choice in option["choices"]]}
    kind = option.get("type", "str")
    if kind == "bool":
        return "multiplechoice", {"choices": ["true", "false"]}
    if kind == "int":
        low, high = INT_LIMITS.get(name, (None, None))
        return "integer", _limits(low, high)
    if kind == "float":
        return "float", _limits(*((0, 1) if name in serve_options.shares() else (None, None)))
    if kind in ("dict", "list"):
        return "textarea", _limits(*_TEXTAREA_LIMITS)
    return "text", _limits(*_TEXT_LIMITS)


def _limits(low: int | None, high: int | None) -> dict:
    return {key: value for key, value in (("min", low), ("max", high)) if value is not None}


def _shown(kind: str, default: object, option: dict) -> object:
    """Return the default as the form shows it; what has no text of its own is JSON, which the roles read."""
    if default is None:
        return ""
    if kind in ("integer", "float"):
        return default
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, (dict, list)):
        return json.dumps(default) if default or option.get("type") == "dict" else ""
    return str(default)


def _plain(description: str | list[str]) -> str:
    """Return the first paragraph of a description without Ansible's markup."""
    first = description if isinstance(description, str) else description[0]
    return re.sub(r"\b[VCOMP]\(([^()]*(?:\([^()]*\))?[^()]*)\)", r"\1", " ".join(first.split()))
