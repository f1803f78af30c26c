# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about releases that are kept by hand, and whether they agree with what is derived."""

from __future__ import annotations

import re

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition import vllm_options, vllm_versions

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.11", (0, 11, 0)),
        ("0.32.1", (0, 32, 1)),
        ("v0.33.0", (0, 33, 0)),
        ("0.33.0rc1", (0, 33, 0)),
        ("0.12.0.post2", (0, 12, 0)),
        ("1.0.0+cpu", (1, 0, 0)),
    ],
)
def test_release(text, expected) -> None:
    """Suffixes do not count."""
    assert vllm_versions.release(text) == expected


def test_no_release() -> None:
    """A word is no version."""
    with pytest.raises(ValueError, match="'latest' is no version"):
        vllm_versions.release("latest")


@pytest.mark.parametrize(
    ("version", "utilization", "graphs"),
    [
        ("0.10.0", 0.90, False),
        ("0.11.0", 0.90, False),
        ("0.19.1", 0.90, False),
        ("0.20.0", 0.92, True),
        ("0.33.0", 0.92, True),
        ("1.2.0", 0.92, True),
    ],
)
def test_defaults(version, utilization, graphs) -> None:
    """Both moved with 0.20.0."""
    assert vllm_versions.defaults(version) == {
        "gpu_memory_utilization": utilization,
        "cuda_graphs_in_kv_budget": graphs,
    }


@pytest.mark.parametrize("version", vllm_options.versions())
def test_hand_kept_agrees_with_derived(version) -> None:
    """A release that moves the default utilization or the image's CUDA fails here until it is entered by hand."""
    derived = vllm_options.default(version, "gpu-memory-utilization")
    assert vllm_versions.defaults(version)["gpu_memory_utilization"] == derived
    cuda = vllm_options.data()["versions"][version]["cuda"]
    assert vllm_versions.minimum_driver(version)["cuda"] == cuda
    assert cuda in vllm_versions.DRIVER_BRANCH


def test_every_removed_option_has_a_replacement() -> None:
    """A new release that drops an option fails here until somebody says what to do instead."""
    gone = {name for name, history in vllm_options.data()["options"].items() if "until" in history[-1]}
    assert gone == set(vllm_versions.REPLACEMENTS)


def test_replacements_exist() -> None:
    """What a replacement tells to use is an option of the newest release."""
    newest = vllm_options.versions()[-1]
    for name, text in vllm_versions.REPLACEMENTS.items():
        found = re.search(r"\buse ([a-z0-9-]+(?:\.[a-z_]+)?)", text)
        if found and "below" not in text:
            option = found.group(1)
            assert option != name
            assert vllm_options.check_options(newest, {option + ("" if "." in option else ".x"): 1}) == [] or (
                vllm_options.check_options(newest, {option: True}) == []
            ), text


@pytest.mark.parametrize(
    ("version", "image", "cuda", "driver", "compatible", "older"),
    [
        ("0.11.0", "", "12.8", 570, False, ""),
        ("0.11.2", "", "12.8", 570, False, ""),
        ("0.12.0", "", "12.9", 575, False, ""),
        ("0.17.0", "", "12.9", 575, True, ""),
        ("0.20.0", "", "13.0", 580, True, "v0.20.0-cu129"),
        ("0.32.0", "vllm/vllm-openai:v0.32.0-cu129", "12.9", 575, True, ""),
        ("0.32.0", "vllm/vllm-openai:v0.32.0-cu129-ubuntu2404", "12.9", 575, True, ""),
        ("0.19.0", "vllm/vllm-openai:v0.19.0-cu130", "13.0", 580, True, ""),
        ("0.40.0", "", "13.0", 580, True, "v0.40.0-cu129"),
        ("0.40.0", "x/y:v0.40.0-cu140", "14.0", 580, True, ""),
    ],
)
def test_minimum_driver(version, image, cuda, driver, compatible, older) -> None:
    """By release, or by the CUDA in the tag; an unknown CUDA asks for at least the newest known branch."""
    assert vllm_versions.minimum_driver(version, image) == {
        "cuda": cuda,
        "driver": driver,
        "forward_compatible": compatible,
        "older_image": older,
    }


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.32.0", "0.32.0"),
        ("vllm/vllm-openai:v0.32.0-cu129", "0.32.0"),
        ("localhost:5000/team/vllm:0.11.2", "0.11.2"),
        ("vllm/vllm-openai:v0.32.0@sha256:" + "0" * 64, "0.32.0"),
        ("vllm/vllm-openai@sha256:" + "0" * 64, ""),
        ("vllm/vllm-openai:latest", ""),
        ("team/vllm:1.2.3", ""),
        ("team/vllm:0.1.2.3", ""),
        ("team/vllm", ""),
        ("registry:0.32.0/team", ""),
    ],
)
def test_image_version(image, version) -> None:
    """Only a tag that begins with a release of vLLM names one."""
    assert vllm_versions.image_version(image) == version


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        pytest.param("0.12.0", {"rope_parameters": YARN}, {"rope_parameters": YARN}, id="new-name"),
        pytest.param("0.11.2", {"rope_parameters": YARN, "a": 1}, {"rope_scaling": YARN, "a": 1}, id="old-name"),
        pytest.param(
            "0.11.0",
            {"rope_parameters": {**YARN, "rope_theta": 1e6}},
            {"rope_scaling": YARN, "rope_theta": 1e6},
            id="theta-moves-out",
        ),
        pytest.param("0.11.0", {"rope_scaling": YARN}, {"rope_scaling": YARN}, id="old-name-given"),
        pytest.param("0.11.0", {}, {}, id="none"),
        pytest.param("0.11.0", {"rope_parameters": "x"}, {"rope_parameters": "x"}, id="no-dictionary"),
    ],
)
def test_fitting_overrides(version, given, expected) -> None:
    """rope_parameters gets the name that the release reads; what was given stays as it is."""
    before = repr(given)
    assert vllm_versions.fitting_overrides(version, given) == expected
    assert repr(given) == before


@pytest.mark.parametrize(("version", "refused"), [("0.11.0", False), ("0.29.0", False), ("0.30.0", True)])
def test_old_name_in_new_release(version, refused) -> None:
    """rope_scaling is not read any more since 0.30.0."""
    assert bool(vllm_versions.overrides_problem(version, {"rope_scaling": YARN})) is refused
    assert vllm_versions.overrides_problem(version, {"rope_parameters": YARN}) == ""
