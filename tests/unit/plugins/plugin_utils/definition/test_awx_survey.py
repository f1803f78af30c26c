# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys ask what the roles document, with the same types, choices, limits and defaults."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import awx_survey, definition, role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS

OPTIONS = role_variables.all_options()

#: Limits of a text.
TEXT = {"min": 0, "max": 1024}


def asked(name: str, **values: object) -> dict:
    """The question about one variable."""
    return awx_survey.spec([{"variable": name, "question": "?"}], OPTIONS, values)["spec"][0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vllm_served_model_name", {"type": "text", "default": "Qwen2.5-32B-Instruct-AWQ", "required": False, **TEXT}),
        ("vllm_quantization", {"type": "text", "default": "", "required": False, **TEXT}),
        ("vllm_gpu_devices", {"type": "text", "default": "0,1", "required": False, **TEXT}),
        ("vllm_dir", {"type": "text", "default": "/opt/vllm", "required": False, **TEXT}),
        ("vllm_port", {"type": "integer", "default": 5002, "required": False, "min": 1, "max": 65535}),
        ("vllm_max_model_len", {"type": "integer", "default": 131072, "required": False, "min": 1}),
        ("vllm_max_num_batched_tokens", {"type": "integer", "default": "", "required": False, "min": 1}),
        ("vllm_gpu_memory_utilization", {"type": "float", "default": 0.9, "required": False, "min": 0, "max": 1}),
        ("vllm_health_poll_s", {"type": "float", "default": 2, "required": False}),
        (
            "vllm_enforce_eager",
            {"type": "multiplechoice", "default": "false", "required": False, "choices": ["true", "false"]},
        ),
        (
            "vllm_ipc",
            {"type": "multiplechoice", "default": "private", "required": False, "choices": ["private", "host"]},
        ),
        ("vllm_extra_options", {"type": "textarea", "default": "{}", "required": False, "min": 0, "max": 4096}),
        ("vllm_prefetch_models", {"type": "textarea", "default": "", "required": False, "min": 0, "max": 4096}),
    ],
)  # fmt: skip
def test_question(name, wanted) -> None:
    """Each type of variable has its type of question."""
    found = asked(name)
    assert found.pop("question_name") == "?"
    assert found.pop("variable") == name
    assert found.pop("question_description").endswith("(%s)" % name)
    assert found == wanted


def test_answers_that_are_the_defaults_change_nothing(values) -> None:
    """Every variable but secrets: the default of its question is read back as the default of its role."""
    options = role_variables.role_options("vllm")
    names = [name for name in options if name not in SECRETS]
    answers = {name: asked(name)["default"] for name in names}
    given = {name: answer for name, answer in answers.items() if answer != ""}
    assert len(given) > 30
    assert definition.define(values(**given), options) == definition.define(values(), options)


def test_what_the_inventory_sets_is_shown() -> None:
    """A form shows what a run without it would use."""
    assert asked("vllm_port", vllm_port=8000)["default"] == 8000
    assert asked("vllm_enforce_eager", vllm_enforce_eager=True)["default"] == "true"
    overrides = {"rope_parameters": {"factor": 2.0}}
    assert json.loads(asked("vllm_hf_overrides", vllm_hf_overrides=overrides)["default"]) == overrides
    image = asked("vllm_image", vllm_image="registry.example.org/vllm:1")
    assert (image["default"], image["required"]) == ("registry.example.org/vllm:1", False)


def test_text_has_no_markup() -> None:
    """Descriptions are written for ansible-doc; a form shows plain text."""
    for name in OPTIONS:
        if name not in SECRETS:
            text = asked(name)["question_description"]
            assert not any(mark in text for mark in ("V(", "O(", "C(", "P(", "M(")), text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vllm_api_key", "vllm_api_key is a secret: it belongs into a credential"),
        ("vllm_hf_token", "vllm_hf_token is a secret"),
        ("vllm_modle", "vllm_modle: no role of this collection has this variable"),
    ],
)
def test_refused(name, said) -> None:
    """Secrets, since AWX shows answers in clear, and misspelt names."""
    with pytest.raises(awx_survey.SurveyError, match=said):
        asked(name)


def test_question_without_a_text_is_called_by_its_variable() -> None:
    """And the survey has a name and a description, which AWX wants even when they are empty."""
    found = awx_survey.spec([{"variable": "vllm_port"}], OPTIONS, name="n", description="d")
    assert found["spec"][0]["question_name"] == "vllm_port"
    assert (found["name"], found["description"]) == ("n", "d")
    assert awx_survey.spec([], OPTIONS) == {"name": "", "description": "", "spec": []}
