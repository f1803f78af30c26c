# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container may not do, where its image may come from, who may reach it, and its secrets as files."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import definition as definition_file
from ansible_collections.myia.vllm.plugins.plugin_utils.definition import hardening

KEY, TOKEN = "PLANTED-key-7c31e2", "hf_PlantedToken"
OPEN = {"vllm_publish_address": "0.0.0.0"}

BAD = [
    ({"vllm_cap_drop": ["all"]}, "vllm_cap_drop", "Use ALL"),
    ({"vllm_cap_drop": ["ALL"], "vllm_compose_override": {"cap_drop": ["ALL"]}}, "vllm_cap_drop", "one of the two"),
    ({"vllm_read_only": True, "vllm_compose_override": {"read_only": True}}, "vllm_read_only", "one of the two"),
    (
        {"vllm_no_new_privileges": True, "vllm_compose_override": {"security_opt": ["label=disable"]}},
        "vllm_no_new_privileges",
        "one of the two",
    ),
    ({"vllm_allowed_registries": ["Docker Hub"]}, "vllm_allowed_registries", "no registry"),
    ({"vllm_allowed_registries": ["registry.example.com"]}, "vllm_image", "comes from docker.io/vllm"),
    ({"vllm_allowed_registries": ["docker.io/vl"]}, "vllm_image", "docker.io/vl only"),
    ({"vllm_allowed_registries": ["docker.io"], "vllm_image": "docker.io.evil.com/vllm/x:1"}, "vllm_image", "evil"),
    ({**OPEN, "vllm_allowed_sources": ["10.1.2.3/16"]}, "vllm_allowed_sources", "last bits are zero"),
    ({**OPEN, "vllm_allowed_sources": ["office"]}, "vllm_allowed_sources", "10.1.0.0/16"),
    ({"vllm_allowed_sources": ["10.1.0.0/16"]}, "vllm_allowed_sources", "127.0.0.1 alone"),
    (
        {"vllm_publish": False, "vllm_allowed_sources": ["10.1.0.0/16"]},
        "vllm_allowed_sources",
        "no port is on the host",
    ),
]


@pytest.mark.parametrize(("changes", "variable", "text"), BAD)
def test_refused(define, changes, variable, text) -> None:
    _definition, problems, _warnings = define(**changes)
    assert [item["variable"] for item in problems] == [variable]
    assert text in problems[0]["message"]


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ("vllm/vllm-openai:v0.32.0", "docker.io/vllm"),
        ("ubuntu", "docker.io/library"),
        ("docker.io/vllm/x@sha256:00", "docker.io/vllm"),
        ("registry.example.com:5000/a/b/c:1", "registry.example.com:5000/a/b"),
        ("localhost/x:1", "localhost"),
        ("ghcr.io/x", "ghcr.io"),
    ],
)
def test_registry_of_an_image(image, source) -> None:
    assert hardening.registry(image) == source


@pytest.mark.parametrize("allowed", [["docker.io"], ["docker.io/vllm"], ["ghcr.io", "docker.io/vllm"]])
def test_allowed_registry(define, allowed) -> None:
    assert define(vllm_allowed_registries=allowed)[1] == []


def test_nothing_by_itself(define) -> None:
    """A container that is there is not made anew by a new release of the collection."""
    found, _problems, _warnings = define(vllm_api_key=KEY)
    assert not {"security_opt", "cap_drop", "read_only", "tmpfs", "secrets", "labels"} & set(
        found["compose"]["service"]
    )
    assert (found["entrypoint"], found["prefetch"]["entrypoint"]) == (["vllm", "serve"], ["python3"])
    assert (found["secret_files"], found["allowed_sources"]) == ({}, [])


def test_all_of_it(define) -> None:
    found, problems, _warnings = define(
        vllm_no_new_privileges=True,
        vllm_cap_drop=["ALL"],
        vllm_read_only=True,
        vllm_compose_override={"tmpfs": "/scratch"},
    )
    assert problems == []
    service = found["compose"]["service"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
    assert service["tmpfs"] == ["/tmp:exec,mode=1777", "/scratch"]
    # what libraries keep below /root goes where it is kept
    assert found["environment"]["TRITON_CACHE_DIR"] == "EXTRA_ENV_TRITON_CACHE_DIR"


def test_read_only_leaves_a_tmp_of_ones_own(define) -> None:
    found, _problems, _warnings = define(vllm_read_only=True, vllm_compose_override={"tmpfs": ["/tmp:size=1g"]})
    assert found["compose"]["service"]["tmpfs"] == ["/tmp:size=1g"]


@pytest.fixture
def entries(values, options):
    """The lines of .env for the defaults with changes."""
    return lambda **changes: dict(definition_file.env_entries(values(**changes), options))


def test_read_only_of_another_user(entries) -> None:
    """The caches are elsewhere then, and what the operator says wins."""
    said = entries(vllm_read_only=True, vllm_user="2000:2000", vllm_extra_env={"CUDA_CACHE_PATH": "/x"})
    assert said["EXTRA_ENV_TRITON_CACHE_DIR"] == "/var/cache/vllm/triton"
    assert said["EXTRA_ENV_CUDA_CACHE_PATH"] == "/x"


def test_secrets_as_files(define, entries) -> None:
    """They leave the environment, not .env, of which a release is made; what is no secret stays where it was."""
    changes = {
        "vllm_secrets_as_files": True,
        "vllm_api_key": KEY,
        "vllm_hf_token": TOKEN,
        "vllm_extra_env": {"MY_PASSWORD": "abc", "PLAIN": "x"},
    }
    found, problems, _warnings = define(**changes)
    assert problems == []
    assert "VLLM_API_KEY" not in found["environment"] and "MY_PASSWORD" not in found["environment"]
    assert found["environment"]["PLAIN"] == "EXTRA_ENV_PLAIN"
    assert found["secret_files"] == {
        "env_VLLM_API_KEY": "VLLM_API_KEY_MEDIUM",
        "env_MY_PASSWORD": "EXTRA_ENV_MY_PASSWORD",
        "env_HF_TOKEN": "HUGGING_FACE_HUB_TOKEN",
    }
    assert sorted(found["compose"]["service"]["secrets"]) == ["env_MY_PASSWORD", "env_VLLM_API_KEY"]
    assert found["compose"]["prefetch"]["secrets"] == ["env_HF_TOKEN"]
    assert found["compose"]["top"]["secrets"]["env_HF_TOKEN"] == {"file": "./secrets/env_HF_TOKEN"}
    assert found["compose"]["service"]["labels"] == {"myia.vllm.files": "${VLLM_FILES_MEDIUM}"}
    assert found["entrypoint"][:2] == ["/bin/sh", "-c"] and found["entrypoint"][-2:] == ["vllm", "serve"]
    assert found["prefetch"]["entrypoint"][-1] == "python3"
    assert KEY not in json.dumps(found) and TOKEN not in json.dumps(found)
    assert entries(**changes)["VLLM_API_KEY_MEDIUM"] == KEY


def test_secrets_as_files_without_any(define) -> None:
    """Nothing to hide: the entrypoint needs no shell."""
    assert define(vllm_secrets_as_files=True)[0]["entrypoint"] == ["vllm", "serve"]
