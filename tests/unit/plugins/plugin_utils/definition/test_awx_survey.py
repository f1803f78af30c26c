# SPDX-License-Identifier: GPL-3.0-or-later
"""Surveys ask what the roles document, with the same types, choices, limits and defaults."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.template import Templar

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import awx_survey, definition, role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import SECRETS

OPTIONS = role_variables.all_options()

#: The form of the job template that deploys.
FORM = awx_survey.spec(
    yaml.safe_load((pathlib.Path(__file__).resolve().parents[5] / "awx" / "surveys.yml").read_text(encoding="utf-8"))[
        "vllm_awx_service_questions"
    ],
    OPTIONS,
)["spec"]

#: Limits of a text.
TEXT = {"min": 1, "max": 1024}


def asked(name: str, **values: object) -> dict:
    """The question about one variable."""
    return awx_survey.spec([{"variable": name, "question": "?"}], OPTIONS, values)["spec"][0]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vllm_served_model_name", {"type": "text", "default": "", "required": False, **TEXT}),
        ("vllm_quantization", {"type": "text", "default": "", "required": False, **TEXT}),
        ("vllm_gpu_devices", {"type": "text", "default": "", "required": False, **TEXT}),
        ("vllm_dir", {"type": "text", "default": "", "required": False, **TEXT}),
        ("vllm_port", {"type": "integer", "default": "", "required": False, "min": 1, "max": 65535}),
        ("vllm_max_model_len", {"type": "text", "default": "", "required": False, **TEXT}),
        ("vllm_max_num_batched_tokens", {"type": "integer", "default": "", "required": False, "min": 1}),
        ("vllm_gpu_memory_utilization", {"type": "float", "default": "", "required": False, "min": 0, "max": 1}),
        ("vllm_health_poll_s", {"type": "float", "default": "", "required": False, "min": 0.1, "max": 600}),
        (
            "vllm_enforce_eager",
            {"type": "multiplechoice", "default": "", "required": False, "choices": ["true", "false"]},
        ),
        (
            "vllm_ipc",
            {"type": "multiplechoice", "default": "", "required": False, "choices": ["private", "host"]},
        ),
        ("vllm_extra_options", {"type": "textarea", "default": "", "required": False, "min": 1, "max": 4096}),
        # JSON in one line, which AWX encrypts: it may hold keys
        ("vllm_gateway_keys", {"type": "password", "default": "", "required": False, "min": 1, "max": 4096}),
        ("vllm_prefetch_models", {"type": "textarea", "default": "", "required": False, "min": 1, "max": 4096}),
    ],
)  # fmt: skip
def test_question(name, wanted) -> None:
    """Each type of variable has its type of question."""
    found = asked(name)
    assert found.pop("question_name") == "?"
    assert found.pop("variable") == name
    assert "(%s" % name in found.pop("question_description")
    assert found == wanted


def test_help_shows_no_key() -> None:
    """Neither a key nor its hash, whatever the inventory says."""
    keys = [{"name": "alice", "key": "PLANTED-alice"}, {"name": "bob", "sha256": "PLANTED" + "0" * 57}]
    text = asked("vllm_gateway_keys", vllm_gateway_keys=keys)["question_description"]
    assert text.endswith("(vllm_gateway_keys; unanswered: what the inventory says)")
    assert "PLANTED" not in text


def test_no_default_is_sent() -> None:
    """AWX sends the defaults of a form as answers, and what is answered counts as said by the operator."""
    assert {asked(name)["default"] for name in OPTIONS if name not in SECRETS} == {""}


def test_form_with_another_model(loader, values) -> None:
    """Where the model alone was changed, nothing of the profile's model is rendered."""
    options = role_variables.role_options("vllm")
    answers = {
        question["variable"]: question["default"] for question in FORM if question["type"] in ("text", "textarea")
    }
    assert len(answers) > 8
    answers["vllm_model"] = "org/Llama-3.1-8B-Instruct"
    read, unreadable = role_variables.read_values(options, answers, Templar(loader=loader, variables=answers))
    assert unreadable == {}
    found, problems, notices = definition.define(read, options)
    assert problems == []
    assert dict(definition.env_entries(read, options)) == {
        "CUDA_VISIBLE_DEVICES_MEDIUM": "0",
        "VLLM_MODEL_MEDIUM": "org/Llama-3.1-8B-Instruct",
        "VLLM_HOST_MEDIUM": "0.0.0.0",
        "VLLM_PORT_MEDIUM": "5002",
        "VLLM_SHUTDOWN_TIMEOUT_MEDIUM": "300",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    assert found["served_model_name"] == "org/Llama-3.1-8B-Instruct"
    assert found["container_name"] == "vllm-medium"
    assert "vllm_hf_overrides" in notices[0]


@pytest.mark.parametrize(
    ("name", "inventory", "told"),
    [
        ("vllm_max_model_len", {}, "unanswered: 131072 with the profile medium"),
        ("vllm_max_model_len", {"vllm_profile": "none"}, None),
        ("vllm_port", {"vllm_port": 8000}, "unanswered: the inventory's 8000"),
        ("vllm_enforce_eager", {"vllm_enforce_eager": True}, "unanswered: the inventory's true"),
        ("vllm_hf_overrides", {"vllm_hf_overrides": {"a": 1}}, """unanswered: the inventory's {"a": 1}"""),
        ("vllm_image", {}, None),
        ("vllm_ipc", {}, "unanswered: private"),
    ],
)
def test_help_tells_what_is_used(name, inventory, told) -> None:
    """Beside a field stands what a run takes when it is left empty."""
    text = asked(name, **inventory)["question_description"]
    assert text.endswith("(%s%s)" % (name, "; " + told if told else ""))


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
