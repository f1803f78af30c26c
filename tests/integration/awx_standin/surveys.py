# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWX 24.6.1 checks of surveys, and of what a schedule or a workflow node answers at launch.

Pure functions for the STAND-IN. The messages are AWX's, as its users see them; each part says where from.
"""

from __future__ import annotations

from typing import Any

from awx_standin.refused import ENCRYPTED, Refused

# --- surveys: awx/api/views JobTemplateSurveySpec._validate_spec_data, awx/main/constants SURVEY_TYPE_MAPPING ---
SURVEY_TYPES: dict[str, Any] = {
    "text": str,
    "textarea": str,
    "password": str,
    "multiplechoice": str,
    "multiselect": str,
    "integer": int,
    "float": (float, int),
}
# What AWX reads of a question. It stores every other key as well, and makes nothing of it.
SURVEY_KEYS = {
    *("question_name", "question_description", "variable", "type", "required"),
    *("default", "choices", "min", "max", "new_question"),
}


def _lines(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip())


def _check_choices(index: int, question: dict[str, Any]) -> None:
    if "choices" not in question:
        raise Refused({"error": "Survey question %d of type %s must specify choices." % (index, question["type"])})
    if isinstance(question["choices"], str):
        question["choices"] = _lines(question["choices"])
    if "default" not in question:
        return
    chosen = question["default"]
    if isinstance(chosen, str):
        question["default"] = _lines(chosen)
        chosen = question["default"].splitlines()
    if question["type"] == "multiplechoice" and len(chosen) > 1:
        raise Refused({"error": "Multiple Choice (Single Select) can only have one default value."})
    # as AWX: with choices as one text this finds parts of a choice too; default_errors() finds those
    if any(item not in question["choices"] for item in chosen):
        raise Refused({"error": "Default choice must be answered from the choices listed."})


def _check_question(index: int, question: Any, seen: set[str], old: dict[str, Any]) -> None:
    if not isinstance(question, dict):
        raise Refused({"error": "Survey question %d is not a json object." % index})
    for key in ("type", "question_name", "variable", "required"):
        wanted, label = (bool, "boolean") if key == "required" else (str, "string")
        if key not in question:
            raise Refused({"error": "'%s' missing from survey question %d" % (key, index)})
        if not isinstance(question[key], wanted):
            raise Refused({"error": "'%s' in survey question %d expected to be %s." % (key, index, label)})
    name, kind = question["variable"], question["type"]
    if name in seen:
        raise Refused({"error": "'variable' '%s' duplicated in survey question %d." % (name, index)})
    seen.add(name)
    if kind not in SURVEY_TYPES:
        raise Refused(
            {
                "error": "'%s' in survey question %d is not one of '%s' allowed question types."
                % (kind, index, ", ".join(SURVEY_TYPES))
            }
        )
    default = question.get("default", "")
    if default != "" and not isinstance(default, SURVEY_TYPES[kind]):
        label = kind if kind in ("integer", "float") else "string"
        raise Refused({"error": "Default value %s in survey question %d expected to be %s." % (default, index, label)})
    for key in ("min", "max"):
        if question.get(key) is not None and not isinstance(question[key], int):
            raise Refused({"error": "The %s limit in survey question %d expected to be integer." % (key, index)})
    if kind in ("multiplechoice", "multiselect"):
        _check_choices(index, question)
    if isinstance(default, str) and default.startswith(ENCRYPTED):
        if kind != "password":
            raise Refused(
                {
                    "error": "$encrypted$ is a reserved keyword for password question defaults, "
                    "survey question %d is type %s." % (index, kind)
                }
            )
        if "default" not in old.get(name, {}):
            raise Refused(
                {"error": "$encrypted$ is a reserved keyword, may not be used for new default in position %d." % index}
            )
        question["default"] = old[name]["default"]


def check_survey(spec: Any, old: dict[str, Any]) -> None:
    """Check a survey as AWX does before it stores it; `spec` is changed as AWX changes it (empty lines of choices).

    Args:
        spec: The new {name, description, spec: [questions]}.
        old: The survey that is there, {} without one.

    Raises:
        Refused: With AWX's {"error": text}.
    """
    for key, wanted, label in (
        ("name", str, "string"),
        ("description", str, "string"),
        ("spec", list, "list of items"),
    ):
        if key not in spec:
            raise Refused({"error": "Field '%s' is missing from survey spec." % key})
        if not isinstance(spec[key], wanted):
            raise Refused(
                {"error": "Expected %s for field '%s', received %s type." % (label, key, type(spec[key]).__name__)}
            )
    if not spec["spec"]:
        raise Refused({"error": "'spec' doesn't contain any items."})
    seen: set[str] = set()
    before = {question["variable"]: question for question in old.get("spec", [])}
    for index, question in enumerate(spec["spec"]):
        _check_question(index, question, seen, before)


def answer_errors(question: dict[str, Any], answers: dict[str, Any]) -> list[str]:
    """What AWX says about one question's answer at launch: SurveyJobTemplateMixin._survey_element_validation.

    Args:
        question: One question of a survey.
        answers: Variable -> value; without the variable the question is unanswered.

    Returns:
        AWX's messages, [] for an answer it takes.
    """
    name, kind = question["variable"], question["type"]
    if name not in answers:
        return ["'%s' value missing" % name] if question["required"] else []
    value = answers[name]
    low, high = question.get("min"), question.get("max")
    if kind in ("multiplechoice", "multiselect"):
        choices = question["choices"]
        choices = choices.splitlines() if isinstance(choices, str) else choices
        if kind == "multiselect" and not isinstance(value, list):
            return ["'%s' value is expected to be a list." % name]
        given = value if kind == "multiselect" else [value]
        return ["Value %s for '%s' expected to be one of %s." % (v, name, choices) for v in given if v not in choices]
    if kind in ("integer", "float"):
        if type(value) not in ((int,) if kind == "integer" else (int, float)):
            label = "an integer" if kind == "integer" else "a numeric type"
            return ["Value %s for '%s' expected to be %s." % (value, name, label)]
        size = value
    else:
        if not isinstance(value, str):
            return ["Value %s for '%s' expected to be a string." % (value, name)]
        size = len(value)
    found = []
    if low not in ("", None) and size < low:
        length = "length is %d " % size if isinstance(value, str) else ""
        found.append("'%s' value %s is too small (%smust be at least %s)." % (name, value, length, low))
    if high not in ("", None) and size > high:
        found.append("'%s' value %s is too large (must be no more than %s)." % (name, value, high))
    return found


def lost_defaults(spec: dict[str, Any]) -> list[str]:
    """Variables whose default AWX stores and then leaves out at launch, since it is no valid answer.

    From SurveyJobTemplateMixin._update_unified_job_kwargs. An empty default is not in the list: it means none.
    """
    lost = []
    for question in spec.get("spec", []):
        default = question.get("default", "")
        if default == "":
            continue
        if question["type"] == "multiselect" and isinstance(default, str):
            default = default.splitlines()
        if answer_errors(question, {question["variable"]: default}):
            lost.append(question["variable"])
    return lost


# --- prompts of schedules and workflow nodes: LaunchConfigurationBaseSerializer, _accept_or_ignore_job_kwargs ---
# field of a launch configuration -> the template's field that allows it
PROMPTS = {
    "inventory": "ask_inventory_on_launch",
    "scm_branch": "ask_scm_branch_on_launch",
    "job_type": "ask_job_type_on_launch",
    "job_tags": "ask_tags_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "limit": "ask_limit_on_launch",
    "diff_mode": "ask_diff_mode_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "execution_environment": "ask_execution_environment_on_launch",
    "forks": "ask_forks_on_launch",
    "job_slice_count": "ask_job_slice_count_on_launch",
    "timeout": "ask_timeout_on_launch",
}
PROMPT_LISTS = {
    "credentials": "ask_credential_on_launch",
    "labels": "ask_labels_on_launch",
    "instance_groups": "ask_instance_groups_on_launch",
}


def check_prompts(config: dict[str, Any], template: dict[str, Any], label: str, required: bool) -> None:
    """Check what a schedule or a workflow node gives its template at launch.

    Args:
        config: The schedule or node as it would be stored.
        template: Its job template, workflow or project, with `survey_spec` where it has one.
        label: How AWX names the kind of template in its message, "Job Template".
        required: Whether required questions must be answered here (schedules), or elsewhere (nodes).

    Raises:
        Refused: With AWX's {field: [text]}.
    """
    errors: dict[str, Any] = {}
    for field, ask in PROMPTS.items():
        value = config.get(field)
        if value not in (None, "") and value != template.get(field) and not template.get(ask):
            errors[field] = ["Field is not configured to prompt on launch."]
    answers = dict(config.get("extra_data") or {})
    survey = template.get("survey_spec", {}) if template.get("survey_enabled") else {}
    wrong = []
    for question in survey.get("spec", []):
        name = question["variable"]
        if name in answers or required:
            wrong += answer_errors(question, answers)
        answers.pop(name, None)
    if wrong:
        errors["variables_needed_to_start"] = wrong
    if answers and not template.get("ask_variables_on_launch"):
        errors["extra_data"] = [
            "Variables %s are not allowed on launch. Check the Prompt on Launch setting on the %s to include "
            "Extra Variables." % (", ".join(answers), label)
        ]
    if errors:
        raise Refused(errors)
