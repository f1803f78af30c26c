# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight takes from the operator's variables."""

from __future__ import annotations

import pytest
from ansible.template import Templar, trust_as_template

from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import arguments as preflight_arguments
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks


@pytest.fixture
def read(loader):
    """Read the variables of a host."""

    def call(**task_vars) -> dict:
        return preflight_arguments.variables(task_vars, Templar(loader=loader, variables=task_vars))

    return call


def test_defaults(read) -> None:
    """They are the roles' own, and those that the checks assume."""
    assert preflight_arguments.settings(read()) == preflight_checks.SETTINGS


@pytest.mark.parametrize(
    ("env", "changes"),
    [
        pytest.param({"HF_HUB_OFFLINE": 1}, {"hub_skipped": "HF_HUB_OFFLINE"}, id="offline"),
        pytest.param('{"HF_HUB_OFFLINE": "TRUE"}', {"hub_skipped": "HF_HUB_OFFLINE"}, id="offline-json"),
        pytest.param({"HF_HUB_OFFLINE": 0}, {}, id="not-offline"),
        pytest.param({"VLLM_USE_MODELSCOPE": True}, {"hub_skipped": "VLLM_USE_MODELSCOPE"}, id="modelscope"),
        pytest.param(
            {"HF_ENDPOINT": "http://u:PLANTED@h"}, {"hub_skipped": "HF_ENDPOINT with a password"}, id="password"
        ),
        pytest.param({"https_proxy": "http://p"}, {"hub_proxied": True}, id="proxy"),
        pytest.param({"VLLM_ENABLE_CUDA_COMPATIBILITY": "1"}, {"cuda_compatibility": True}, id="cuda"),
        pytest.param({"VLLM_ALLOW_LONG_MAX_MODEL_LEN": 1}, {"longer_allowed": True}, id="length"),
    ],
)
def test_environment_of_the_container(env, changes, read) -> None:
    """Only whether something is set is taken over."""
    assert preflight_arguments.settings(read(vllm_extra_env=env)) == {**preflight_checks.SETTINGS, **changes}


def test_other_roles(read) -> None:
    """Their variables count, templated."""
    values = read(
        vllm_service_pull=trust_as_template("{{ 'nev' ~ 'er' }}"),
        docker_engine_install="false",
        docker_engine_min_version="25.0",
    )
    around = preflight_arguments.settings(values)
    assert (around["pull"], around["docker_install"], around["docker_min_version"]) == ("never", False, "25.0")


def test_local_model(read, medium) -> None:
    """No hub, and so no token either."""
    args = preflight_arguments.module_args(medium({"vllm_model": "/m"}), read(vllm_hf_token="hf_PLANTED"))
    assert (args["model_path"], args["model"], args["query_hub"], args["hf_token"]) == ("/m", "", False, "")


def test_mounts(read, medium) -> None:
    """What the operator mounts from the host, without caches and model."""
    changes = {
        "vllm_model": "/m", "vllm_hf_cache": "/cache/hf", "vllm_extra_volumes": ["/a.jinja:/t/a.jinja:ro", "named:/n"]
    }  # fmt: skip
    changes["vllm_secret_files"] = {"hf": "/srv/hf"}
    changes["vllm_networks"] = ["own", {"name": "ai", "external": True}]
    args = preflight_arguments.module_args(medium(changes), read())
    assert (args["mounts"], args["files"], args["networks"]) == (["/a.jinja"], ["/srv/hf"], ["own", "ai"])


def test_endpoint(read, medium) -> None:
    """The hub of the container is the one that is asked, unless it holds a password."""
    for endpoint, asked in (("http://mirror", ("http://mirror", True)), ("http://u:PLANTED@mirror", ("", False))):
        args = preflight_arguments.module_args(medium({}), read(vllm_extra_env={"HF_ENDPOINT": endpoint}))
        assert (args["hf_endpoint"], args["query_hub"]) == asked


def test_variables_that_move_memory(read) -> None:
    """Of the container's variables the plan sees those that it knows, and no other."""
    env = {"VLLM_USE_FLASHINFER_SAMPLER": 0, "SECRET": "PLANTED"}
    assert preflight_arguments.settings(read(vllm_extra_env=env))["environment"] == {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
