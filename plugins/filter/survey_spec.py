# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that makes an AWX survey from the documentation of the roles."""

from __future__ import annotations

DOCUMENTATION = r"""
name: survey_spec
short_description: Make an AWX survey about variables of this collection
version_added: 0.1.0
author: myia.vllm contributors (@myia)
description:
  - Returns the C(survey_spec) of a job template or workflow. Types, choices, limits and descriptions of the questions
    are those of the roles' argument_specs, so a form never asks for what a role would refuse.
  - Booleans are asked as V(true) or V(false), lists and dictionaries as JSON, as a password where they may hold keys.
    No question has to be answered, and none has a default, since AWX sends those as answers. The help texts tell what a
    run uses for what is not answered.
positional: values
options:
  _input:
    description: The questions, in the order of the form.
    type: list
    elements: dict
    required: true
    suboptions:
      variable:
        description: Name of the variable. A secret is refused, since AWX shows answers in clear.
        type: str
        required: true
      question:
        description: What the form says beside the field. Without it the name of the variable.
        type: str
  values:
    description: What the inventory sets, by variable. The help texts tell it.
    type: dict
    default: {}
  name:
    description: Name of the survey.
    type: str
    default: ""
  description:
    description: Description of the survey.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Ask for the model
  ansible.builtin.debug:
    msg: "{{ [{'variable': 'vllm_model', 'question': 'Model'}] | myia.vllm.survey_spec }}"
"""

RETURN = r"""
_value:
  description: The survey, with C(name), C(description) and C(spec).
  type: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import awx_survey, role_variables


def survey_spec(questions: list, values: dict | None = None, name: str = "", description: str = "") -> dict:
    """Return a survey; raises AnsibleFilterError for a question that cannot be asked."""
    try:
        return awx_survey.spec(questions, role_variables.all_options(), values, name, description)
    except awx_survey.SurveyError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict:
        """Return the filters of this file."""
        return {"survey_spec": survey_spec}
