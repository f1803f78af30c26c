# SPDX-License-Identifier: GPL-3.0-or-later
"""What another release changes for one service, and how that is told."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.plugin_utils.definition.role_variables import role_options
from ansible_collections.myia.vllm.plugins.plugin_utils.preflight import checks as preflight_checks
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import change as updates_change
from ansible_collections.myia.vllm.plugins.plugin_utils.updates import history, words

OPTIONS = role_options("vllm")


@pytest.fixture(name="found")
def found_(host_with):
    """What a release changes for the medium service with changed variables, on its host with changes."""

    def make(version: str, host: dict | None = None, seen: bool = True, **changed: object) -> dict:
        values = {name: option.get("default") for name, option in OPTIONS.items()} | changed
        settings = preflight_checks.SETTINGS
        return updates_change.found(values, OPTIONS, host_with(host or {}) if seen else None, settings, version)

    return make


def test_an_option_that_is_gone(found) -> None:
    """It is refused, with its fix."""
    change = found("0.18.0", vllm_version="0.17.1", vllm_extra_options={"swap-space": 4})
    assert len(change["refused"]) == 1
    assert "swap-space is not taken by vLLM 0.18.0" in change["refused"][0]
    assert not updates_change.is_taken(change)
    text = "\n".join(words.lines("medium", "gpu01", "0.17.1", history.newer("0.17.1", []), change))
    assert "would be refused:\n" in text
    assert "swap-space is not taken" in text


def test_defaults_that_move(found) -> None:
    """Only of options that the service leaves to vLLM."""
    names = {item["option"] for item in found("0.20.0", vllm_version="0.19.1")["defaults"]}
    said = found("0.20.0", vllm_version="0.19.1", vllm_profile="none", vllm_model="a/b", vllm_name="b")["defaults"]
    assert "gpu-memory-utilization" not in names, "the profile says it"
    assert "gpu-memory-utilization" in {item["option"] for item in said}


@pytest.mark.parametrize(("driver", "sufficient"), [("580.95.05", True), ("570.10", False), ("", None)])
def test_driver(driver, sufficient, found) -> None:
    """Held against the host's; one that was not seen is not taken for good enough, nor for too old."""
    change = found("0.20.0", {"gpu.driver_version": driver}, vllm_version="0.19.1")
    assert (change["driver"]["driver"], change["driver"]["sufficient"]) == (580, sufficient)
    text = "\n".join(words.lines("medium", "gpu01", "0.19.1", [], change))
    assert {True: "the host has 580", False: "too old; v0.20.0-cu129 needs less", None: "was not seen"}[
        sufficient
    ] in text


def test_plan(found) -> None:
    """Before and after; without a host there is none."""
    change = found("0.33.0", vllm_version="0.19.1")
    assert change["capacity"]["before"]["fits"] == "yes"
    assert set(change["capacity"]) == {"before", "after"}
    bare = found("0.33.0", seen=False, vllm_version="0.19.1")
    assert (bare["capacity"], bare["driver"]["found"], bare["findings"]) == (None, "", [])


@pytest.mark.parametrize(
    ("image", "variables", "own"),
    [
        ("", {"vllm_version": "0.33.0"}, False),
        ("r.example.org/vllm:v0.32.0-cu129",
         {"vllm_version": "0.33.0", "vllm_image": "r.example.org/vllm:v0.33.0-cu129"}, False),
        ("vllm/vllm-openai:v0.32.0@sha256:" + "ab" * 32,
         {"vllm_version": "0.33.0", "vllm_image": "vllm/vllm-openai:v0.33.0"}, False),
        ("r.example.org/ours:latest", {"vllm_version": "0.33.0"}, True),
    ],
)  # fmt: skip
def test_variables(image, variables, own, found) -> None:
    """The image goes along where its tag names a release; a digest is of the old one."""
    change = found("0.33.0", vllm_version="0.32.0", vllm_image=image or None)
    assert (change["variables"], change["own_image"]) == (variables, own)


def test_closing(found) -> None:
    """In one sentence."""
    releases = history.newer("0.32.0", [])
    change = found("0.33.0", vllm_version="0.32.0")
    text = words.closing("medium", "0.32.0", releases, change, "by the table")
    assert text.startswith("medium: vLLM 0.32.0, 1 newer release (by the table). vLLM 0.33.0 would be taken; ")
    assert words.closing("medium", "0.33.0", [], None, "by x") == "medium: vLLM 0.33.0 is the newest release (by x)."
    bad = found("0.18.0", vllm_version="0.17.1", vllm_extra_options={"swap-space": 4})
    assert "would be refused (1 problem)" in words.closing("medium", "0.17.1", releases, bad, "x")
