# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the roles' argument_specs and the variables they describe."""

from __future__ import annotations

import pytest
from ansible.template import Templar, trust_as_template

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import role_variables
from ansible_collections.myia.vllm.plugins.plugin_utils.definition.names import PLAYBOOK_VARIABLES


def test_role_options() -> None:
    """The options of a role by entry point; a role without any has none."""
    assert role_variables.role_options("vllm")["vllm_profile"]["default"] == "medium"
    assert role_variables.role_options("vllm_config") == {}
    assert role_variables.role_options("vllm_service", "remove") == role_variables.role_options("vllm_service")


def test_known_variables() -> None:
    """Every documented variable of every role, results, and what playbooks read; each with a known prefix."""
    known = role_variables.known_variables()
    assert {
        "vllm_port",
        "vllm_health_timeout_s",
        "docker_engine_install",
        "docker_engine_configure_keys",
        *role_variables.result_names(),
        *PLAYBOOK_VARIABLES,
    } <= known
    assert all(name.startswith(role_variables.PREFIXES) for name in known)


def test_result_names() -> None:
    """Each role that returns something declares it by its own name; vllm_awx knows no service and returns nothing."""
    roles = {path.name for path in role_variables.ROLES.iterdir()} - {"vllm", "vllm_awx"}
    assert set(role_variables.result_names()) == {"vllm_definition", *(role + "_result" for role in roles)}


def test_read_values(loader) -> None:
    """Templated where given, the default elsewhere, and a reason where there is no value."""
    options = {"a": {"default": 1}, "b": {"default": 2}, "c": {}, "d": {"default": 4}}
    variables = {"b": trust_as_template("{{ x }}"), "d": trust_as_template("{{ nowhere }}"), "x": 7}
    values, unreadable = role_variables.read_values(options, variables, Templar(loader=loader, variables=variables))
    assert (values["a"], values["b"], values["c"]) == (1, 7, None)
    assert list(unreadable) == ["d"]
    assert "nowhere" in unreadable["d"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("vllm_model", None),
        ("vllm_dir", "/opt/vllm"),
        ("vllm_gpu_devices", None),
        ("vllm_extra_options", None),
        ("vllm_port", None),
        ("vllm_enforce_eager", None),
        ("vllm_ipc", "private"),
        # an empty text has a meaning
        ("vllm_shm_size", ""),
    ],
)
def test_unanswered_question(name, read, loader) -> None:
    """A question of an AWX form that nobody answered arrives as an empty text."""
    options = {name: role_variables.role_options("vllm")[name]}
    templar = Templar(loader=loader, variables={})
    assert role_variables.read_values(options, {name: ""}, templar) == ({name: read}, {})
    # some versions of AWX send null instead
    assert role_variables.read_values(options, {name: None}, templar) == ({name: options[name].get("default")}, {})
