# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging into daemon.json: what is kept, what is refused, what a running engine needs."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils import daemon_config

NVIDIA = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("\ufeff{}", "BOM", id="bom"),
        pytest.param("", "empty", id="empty"),
        pytest.param(" \n\t", "empty", id="white-space"),
        pytest.param('{\n  // why\n  "a": 1\n}', "line 2, column 3: .* \\(JSON knows no comments\\)", id="slashes"),
        pytest.param('{\n# why\n"a": 1}', "line 2, .*comments", id="hash"),
        pytest.param('{\n/* why */\n"a": 1}', "line 2, .*comments", id="stars"),
        pytest.param('{"a": 1,}', "line 1, column", id="trailing-comma"),
        pytest.param('{"a": 1}\ngarbage', "line 2, column 1: Extra data", id="trailing-garbage"),
        pytest.param('{"a": 1,\n', "line 2, column 1", id="cut-after-line-end"),
        pytest.param('{"a": 1', "line 1, column", id="cut"),
        pytest.param("null", "null where Docker expects an object", id="null"),
        pytest.param("[]", "\\[\\] where", id="list"),
        pytest.param('"x"', '"x" where', id="text"),
        pytest.param('{"runtimes": []}', "runtimes is no object", id="runtimes-list"),
        pytest.param('{"runtimes": null}', "runtimes is no object", id="runtimes-null"),
        pytest.param('{"a": 1, "a": 2}', "'a' stands there twice", id="twice"),
        pytest.param('{"runtimes": {"x": {}, "x": {}}}', "'x' stands there twice", id="twice-below"),
    ],
)
def test_parse_refuses(text, words) -> None:
    """Every fault is named with its place."""
    with pytest.raises(daemon_config.DaemonConfigError, match=words):
        daemon_config.parse(text)


def test_parse_accepts() -> None:
    """An object is taken as it is."""
    assert daemon_config.parse(' {"features": {"buildkit": true}} ') == {"features": {"buildkit": True}}


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        pytest.param({}, NVIDIA, NVIDIA, id="into-nothing"),
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="foreign-kept"),
        pytest.param(
            {"runtimes": {"kata": {"path": "k"}}, "features": {"buildkit": True}},
            {"runtimes": {"nvidia": {"path": "n"}}, "features": {"cdi": True}},
            {"runtimes": {"kata": {"path": "k"}, "nvidia": {"path": "n"}}, "features": {"buildkit": True, "cdi": True}},
            id="nested",
        ),
        pytest.param(
            {"runtimes": {"nvidia": {"path": "old", "x": 1}}},
            {"runtimes": {"nvidia": {"path": "new"}}},
            {"runtimes": {"nvidia": {"path": "new", "x": 1}}},
            id="deep",
        ),
        pytest.param({"a": [1]}, {"a": [2]}, {"a": [2]}, id="lists-replaced"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="scalar-to-object"),
        pytest.param({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="null-to-object"),
    ],
)
def test_merge(current, wanted, expected) -> None:
    """Objects key by key at every depth, anything else replaced; the inputs stay as they are."""
    before, before_wanted = json.dumps(current), json.dumps(wanted)
    result = daemon_config.merge(current, wanted)
    assert result == expected
    assert (json.dumps(current), json.dumps(wanted)) == (before, before_wanted)
    assert daemon_config.merge(result, wanted) == result
    assert list(result)[: len(current)] == list(current)


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        pytest.param(NVIDIA, NVIDIA, {}, id="all"),
        pytest.param(
            {"runtimes": {"nvidia": {"path": "n"}, "kata": {}}, "a": 1},
            {"runtimes": {"nvidia": {}}},
            {"runtimes": {"kata": {}}, "a": 1},
            id="one-runtime",
        ),
        pytest.param({"a": 1}, {"b": 1}, {"a": 1}, id="not-there"),
        pytest.param({"a": 1}, {"a": 2}, {}, id="value-does-not-matter"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {}, id="scalar-there"),
    ],
)
def test_remove(current, wanted, expected) -> None:
    """The named keys go, and objects left empty by that."""
    assert daemon_config.remove(current, wanted) == expected


@pytest.mark.parametrize(
    ("before", "after", "needed"),
    [
        pytest.param({"a": 1}, {"a": 1}, "none", id="same"),
        pytest.param({}, NVIDIA, "reload", id="runtime"),
        pytest.param(NVIDIA, {}, "reload", id="runtime-gone"),
        pytest.param({}, {"default-runtime": "nvidia"}, "reload", id="default-runtime"),
        pytest.param({}, {"exec-opts": ["native.cgroupdriver=systemd"]}, "restart", id="exec-opts"),
        pytest.param({}, {**NVIDIA, "bip": "10.0.0.1/24"}, "restart", id="one-of-two"),
        pytest.param({}, {"features": {"buildkit": True}}, "reload", id="features"),
        pytest.param({}, {"features": {"cdi": True}}, "restart", id="cdi"),
        pytest.param({"features": None}, {"features": {"cdi": True}}, "restart", id="cdi-after-null"),
    ],
)
def test_action_needed(before, after, needed) -> None:
    """A reload is enough where dockerd takes the key over while it runs."""
    assert daemon_config.action_needed(before, after) == needed


def test_changed_keys() -> None:
    """The keys that differ, sorted."""
    assert daemon_config.changed_keys({"b": 1, "a": 1, "c": 1}, {"c": 1, "a": 2, "d": 1}) == ["a", "b", "d"]


def test_render() -> None:
    """Readable, keys in the order they had, letters as they are."""
    assert daemon_config.render({"b": "ü", "a": []}) == '{\n    "b": "ü",\n    "a": []\n}\n'
