# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup env_entries, by its full name in a template."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.template import Templar, trust_as_template


@pytest.fixture
def query(loader):
    """Ask the lookup for the lines of a host with variables."""
    text = trust_as_template("{{ query('myia.vllm.env_entries') }}")
    return lambda **variables: Templar(loader=loader, variables=variables).template(text)


def test_defaults(query) -> None:
    """A dictionary a line, all text."""
    entries = query()
    assert {"name": "VLLM_PORT_MEDIUM", "value": "5002"} in entries
    assert all(isinstance(entry["name"], str) and isinstance(entry["value"], str) for entry in entries)


def test_secrets_and_templates(query, planted) -> None:
    """Secrets are in it; templates are resolved; a secret that looks like one is not."""
    api_key = "{{7*7}}"
    entries = {
        entry["name"]: entry["value"]
        for entry in query(
            vllm_hf_token=planted["vllm_hf_token"], vllm_api_key=api_key, vllm_port=trust_as_template("{{ 5000 + 3 }}")
        )
    }
    assert entries["HUGGING_FACE_HUB_TOKEN"] == planted["vllm_hf_token"]
    assert entries["VLLM_API_KEY_MEDIUM"] == api_key
    assert entries["VLLM_PORT_MEDIUM"] == "5003"


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"vllm_port": "abc"}, id="bad"),
        pytest.param({"vllm_port": trust_as_template("{{ nowhere }}")}, id="undefined"),
        pytest.param({"vllm_api_key": trust_as_template("{{ nowhere }}")}, id="undefined-secret"),
    ],
)
def test_refuses_what_the_definition_refuses(variables, query, planted) -> None:
    """No half .env: the check must have passed."""
    with pytest.raises(AnsibleError, match="service_definition") as caught:
        query(**{**planted, **variables})
    assert "PLANTED" not in str(caught.value)
