# SPDX-License-Identifier: GPL-3.0-or-later
"""Merging into daemon.json: what is kept, what is refused, what a running engine needs."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.docker import daemon_config

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
        pytest.param('{\n  "a": 1, "features": true}', "line 2, column 11: its key features", id="features-bool"),
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
        pytest.param(NVIDIA, {"runtimes": {"nvidia": {"path": "/opt/n"}}}, "reload", id="runtime-changed"),
        pytest.param(NVIDIA, {}, "restart", id="runtime-gone"),
        pytest.param({}, {"live-restore": True}, "reload", id="live-restore"),
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
    assert daemon_config.action_needed(daemon_config.action_for(before, after)) == needed


@pytest.mark.parametrize(
    ("original", "put", "expected"),
    [
        pytest.param({}, NVIDIA, {}, id="nothing-before"),
        pytest.param({"runtimes": {}}, NVIDIA, {"runtimes": {}}, id="empty-object-before"),
        pytest.param({"runtimes": {"kata": {}}}, NVIDIA, {"runtimes": {"kata": {}}}, id="other-runtime"),
        pytest.param({"runtimes": {"nvidia": {"path": "/opt/n"}}}, NVIDIA, None, id="own-path-before"),
        pytest.param({"features": None}, {"features": {"cdi": True}}, None, id="null-before"),
        pytest.param({"live-restore": False}, {"live-restore": True}, None, id="value-before"),
        pytest.param({"a": [1], "b": 2}, {"a": [2]}, None, id="list-before"),
    ],
)
def test_remove_gives_back_the_values_of_before(original, put, expected) -> None:
    """Merging and removing is no change at all, whatever stood there."""
    merged = daemon_config.merge(original, put)
    assert merged != original
    assert daemon_config.remove(merged, put, original) == (original if expected is None else expected)
    # a key that somebody else has added meanwhile stays
    assert daemon_config.remove({**merged, "new": 1}, put, original)["new"] == 1


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [
        pytest.param({"a": 1, "b": 1}, {"b": 2}, {"b": 1}, id="one"),
        pytest.param({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"y": 1}}, id="deep"),
        pytest.param({"a": {"x": 1}}, {"a": {"y": 2}}, {}, id="nothing"),
        pytest.param({"a": {}}, {"a": {"y": 2}}, {"a": {}}, id="whole-object"),
    ],
)
def test_common(wanted, there, expected) -> None:
    """Only keys that are there too."""
    assert daemon_config.common(wanted, there) == expected


def test_changed_keys() -> None:
    """The keys that differ, sorted."""
    assert daemon_config.changed_keys({"b": 1, "a": 1, "c": 1}, {"c": 1, "a": 2, "d": 1}) == ["a", "b", "d"]


def test_render() -> None:
    """Readable, keys in the order they had, letters as they are."""
    assert daemon_config.render({"b": "ü", "a": []}) == '{\n    "b": "ü",\n    "a": []\n}\n'


def test_engine_that_was_not_told(tmp_path) -> None:
    """What a running engine was not told stays due until it is told, or until another start of it."""
    path = tmp_path / "daemon.json"
    path.write_text("{}", encoding="utf-8")

    def opened() -> daemon_config.DaemonConfig:
        return daemon_config.DaemonConfig(str(path))

    config = {"exec-opts": ["x"]}
    file = opened()
    file.write(config, daemon_config.render(config), config, "present", {"exec-opts": "restart"}, "7:100", os.replace)
    assert opened().pending("7:100") == {"exec-opts": "restart"}
    assert opened().pending("7:200") == {}
    assert opened().pending("") == {}
    opened().applied()
    assert opened().pending("7:100") == {}
    assert opened().record["config"] == config


@pytest.mark.parametrize("before", ['{"a":1}', None], ids=["file", "no-file"])
def test_take_back(before, tmp_path) -> None:
    """All changes that the engine was not told go, to the byte; what it was told stays the state to go back to."""
    path = tmp_path / "daemon.json"
    if before is not None:
        path.write_text(before, encoding="utf-8")

    def put(config, keys) -> None:
        file = daemon_config.DaemonConfig(str(path))
        after = file.wanted(config, "present")
        file.write(after, file.text_for(after, config, "present"), config, "present", keys, "7:1", os.replace)

    assert daemon_config.DaemonConfig(str(path)).take_back(os.replace) is False
    put({"log-level": "warn"}, {"log-level": "restart"})
    put({"live-restore": True}, {"log-level": "restart", "live-restore": "reload"})
    assert daemon_config.DaemonConfig(str(path)).take_back(os.replace) is True
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == before
    assert not os.path.exists(str(path) + daemon_config.RECORD)
    put({"log-level": "warn"}, {"log-level": "restart"})
    daemon_config.DaemonConfig(str(path)).applied()
    told = path.read_text(encoding="utf-8")
    put({"ipv6": True}, {"ipv6": "restart"})
    assert daemon_config.DaemonConfig(str(path)).take_back(os.replace) is True
    assert path.read_text(encoding="utf-8") == told
    assert daemon_config.DaemonConfig(str(path)).record["config"] == {"log-level": "warn"}


def test_interrupted_before_the_file_is_written(tmp_path) -> None:
    """The record comes first: a run that dies then leaves what stood there before, and a note for the engine."""
    path = tmp_path / "daemon.json"
    path.write_text('{"a":1}', encoding="utf-8")

    def die(_temporary, _path) -> None:
        raise KeyboardInterrupt

    file = daemon_config.DaemonConfig(str(path))
    with pytest.raises(KeyboardInterrupt):
        file.write({"a": 1, "b": 2}, "{}", {"b": 2}, "present", {"b": "restart"}, "7:100", die)
    again = daemon_config.DaemonConfig(str(path))
    assert again.text == '{"a":1}'
    assert again.record["original"] == '{"a":1}'
    assert again.pending("7:100") == {"b": "restart"}
    again.write({"a": 1, "b": 2}, '{"a": 1, "b": 2}', {"b": 2}, "present", {}, "7:100", os.replace)
    last = daemon_config.DaemonConfig(str(path))
    assert last.text_for(last.wanted({"b": 2}, "absent"), {"b": 2}, "absent") == '{"a":1}'


def test_engine_identity(tmp_path) -> None:
    """A dockerd is told from one started later; the first one found counts."""
    program = tmp_path / "dockerd"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        found = daemon_config.engine_identity()
        process.kill()
    assert re.fullmatch(r"\d+:\d+", found)
