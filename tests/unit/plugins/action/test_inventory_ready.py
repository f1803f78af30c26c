# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin inventory_ready: which hosts a pattern means, which files belong to them, which do not open."""

from __future__ import annotations

import pathlib

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.myia.vllm.plugins.action import inventory_ready

GROUPS = {"all": ["a", "b", "c"], "medium": ["a", "b"], "small": ["c"], "none": [], "ungrouped": []}


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        pytest.param("medium", ["a", "b"], id="group"),
        pytest.param("a", ["a"], id="host"),
        pytest.param("medium:small", ["a", "b", "c"], id="colon"),
        pytest.param("medium, c", ["a", "b", "c"], id="comma"),
        pytest.param("a,medium", ["a", "b"], id="no-doubles"),
        pytest.param("all", ["a", "b", "c"], id="all"),
        pytest.param("localhost", ["localhost"], id="implicit-localhost"),
        pytest.param("none", [], id="empty-group"),
        pytest.param("meduim", [], id="unknown"),
        pytest.param("x:y", [], id="two-unknown"),
        pytest.param("", [], id="nothing"),
        pytest.param("medium:&small", ["a", "b", "c"], id="operators-are-left-to-ansible"),
        pytest.param("med*", ["a", "b", "c"], id="wildcards-too"),
        pytest.param("medium[0]", ["a", "b", "c"], id="subscripts-too"),
    ],
)
def test_matching_hosts(pattern, hosts) -> None:
    """Names of groups and hosts are resolved; anything else counts as every host."""
    assert inventory_ready.matching_hosts(pattern, GROUPS) == hosts


def test_matching_without_inventory() -> None:
    """No groups, no hosts."""
    assert inventory_ready.matching_hosts("medium", {}) == []
    assert inventory_ready.matching_hosts("med*", {}) == []


def test_folders(tmp_path) -> None:
    """A file stands for its folder; each folder counts once; what is not given does not."""
    file = tmp_path / "hosts.yml"
    file.touch()
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    assert inventory_ready.folders([str(file), str(tmp_path)], str(playbooks)) == [tmp_path, playbooks]
    assert inventory_ready.folders([str(file)], None) == [tmp_path]
    assert inventory_ready.folders([], None) == []


def fill(place: pathlib.Path, *names: str) -> None:
    """Make files."""
    for name in names:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a: 1\n")


def test_variable_files(tmp_path) -> None:
    """Files and folders of the hosts, of their groups and of `all`; neither hidden files nor other groups'."""
    fill(
        tmp_path,
        "group_vars/all.yml",
        "group_vars/medium/main.yml",
        "group_vars/medium/deep/vault.yml",
        "group_vars/medium/.hidden.yml",
        "group_vars/small.yml",
        "group_vars/medium2.yml",
        "host_vars/a.yaml",
        "host_vars/b",
        "host_vars/c.yml",
    )
    found = inventory_ready.variable_files([tmp_path], ["a", "b"], GROUPS)
    assert sorted(str(path.relative_to(tmp_path)) for path in found) == [
        "group_vars/all.yml",
        "group_vars/medium/deep/vault.yml",
        "group_vars/medium/main.yml",
        "host_vars/a.yaml",
        "host_vars/b",
    ]


@pytest.fixture
def run(action, tmp_path, monkeypatch):
    """Run the plugin for an inventory in ``tmp_path``."""
    hosts = tmp_path / "hosts.yml"
    hosts.touch()

    def call(pattern: str = "medium") -> dict:
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(inventory=(str(hosts), "x,")))
        plugin = action("inventory_ready", args={"hosts": pattern})
        return plugin.run(task_vars={"groups": GROUPS, "playbook_dir": str(tmp_path / "playbooks")})

    return call


def encrypt(place: pathlib.Path, name: str, label: str = "", content: str = "vllm_api_key: PLANTED\n") -> pathlib.Path:
    """Put an encrypted file there."""
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    vault = VaultLib([(label or "default", VaultSecret(b"pw"))])
    path.write_bytes(vault.encrypt(content, vault_id=label or None))
    return path


def test_ready(run, tmp_path) -> None:
    """Hosts are there, and nothing is encrypted."""
    fill(tmp_path, "group_vars/medium/main.yml")
    result = run()
    assert (result.get("failed"), result["changed"]) == (None, False)


def test_no_host(run, tmp_path) -> None:
    """The pattern and the inventory are named, and what to do."""
    result = run("meduim")
    assert result["failed"] is True
    assert "'meduim'" in result["msg"]
    assert str(tmp_path / "hosts.yml") in result["msg"]
    assert "vllm_hosts" in result["msg"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param([], "no vault password was given", id="none-given"),
        pytest.param([("medium", VaultSecret(b"wrong"))], "no given vault password opens it", id="wrong-password"),
        pytest.param([("other", VaultSecret(b"wrong"))], "no given vault password opens it", id="other-label"),
        pytest.param([("medium", VaultSecret(b"pw"))], "", id="right-password"),
        pytest.param([("other", VaultSecret(b"pw"))], "", id="right-password-under-another-label"),
    ],
)
def test_vaulted_file(given, words, run, loader, tmp_path) -> None:
    """A file that does not open is named with its vault id and the options to pass."""
    path = encrypt(tmp_path, "group_vars/medium/vault.yml", "medium")
    loader.set_vault_secrets(given)
    result = run()
    assert bool(result.get("failed")) is bool(words)
    if words:
        assert str(path) in result["msg"]
        assert "vault id medium," in result["msg"]
        assert words in result["msg"]
        assert "--vault-id medium@prompt" in result["msg"]
    assert "PLANTED" not in str(result)


def test_every_closed_file_is_named(run, loader, tmp_path) -> None:
    """All of them in one message; a file without label has the label default; other groups' files do not matter."""
    first = encrypt(tmp_path, "group_vars/all.yml")
    second = encrypt(tmp_path, "playbooks/host_vars/a/vault.yml", "medium")
    encrypt(tmp_path, "group_vars/small.yml", "small")
    result = run()
    assert result["failed"] is True
    assert str(first) in result["msg"]
    assert "vault id default," in result["msg"]
    assert str(second) in result["msg"]
    assert "small" not in result["msg"]
