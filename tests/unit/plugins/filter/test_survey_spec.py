# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter survey_spec, by its full name in a template, as the data for AWX uses it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.template import Templar, trust_as_template


def rendered(loader, text: str, **variables: object) -> object:
    """The value of a template."""
    return Templar(loader=loader, variables=variables).template(trust_as_template(text))


def test_filter(loader) -> None:
    """The survey, with what the inventory sets."""
    text = "{{ [{'variable': 'vllm_port', 'question': 'Port'}] | myia.vllm.survey_spec(inventory, name='n') }}"
    found = rendered(loader, text, inventory={"vllm_port": 8000})
    assert found["name"] == "n"
    (question,) = found["spec"]
    assert (question["question_name"], question["default"]) == ("Port", "")
    assert "the inventory's 8000" in question["question_description"]


def test_secret(loader) -> None:
    """A secret in a form fails, with the reason."""
    with pytest.raises(AnsibleError, match="belongs into a credential"):
        rendered(loader, "{{ [{'variable': 'vllm_hf_token'}] | myia.vllm.survey_spec }}")
