# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables are written into a file of the inventory, and nothing that Ansible reads is hidden by it."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.updates import inventory_file


@pytest.fixture
def inventory(tmp_path):
    """An inventory with one file."""
    (tmp_path / "hosts.yml").write_text("x: {}\n", encoding="utf-8")
    return tmp_path


def test_beside_the_inventory(inventory) -> None:
    """In the host's folder, whether the file or the folder was given."""
    wanted = str(inventory / "host_vars" / "gpu01" / "vllm_versions.yml")
    for source in (inventory, inventory / "hosts.yml"):
        assert inventory_file.place("inventory", "gpu01", [str(source)], False, False) == (wanted, "")


@pytest.mark.parametrize(
    ("several", "job", "sources", "text"),
    [
        (True, False, True, "entry of vllm_services"),
        (False, True, True, "AWX keeps no file"),
        (False, False, False, "the inventory is no file"),
    ],
)
def test_no_place(several, job, sources, text, inventory) -> None:
    """Why is said."""
    found = inventory_file.place("inventory", "h", [str(inventory)] if sources else [], several, job)
    assert found[0] == ""
    assert text in found[1]


@pytest.mark.parametrize("suffix", ["", ".yml", ".yaml", ".json"])
def test_a_file_of_the_host_is_not_hidden(suffix, inventory) -> None:
    """Ansible would read the folder instead of it."""
    (inventory / "host_vars").mkdir()
    (inventory / "host_vars" / ("gpu01" + suffix)).write_text("vllm_port: 1\n", encoding="utf-8")
    path, reason = inventory_file.place("inventory", "gpu01", [str(inventory)], False, False)
    assert path == ""
    assert "would not read it any more" in reason


def test_what_else_stands_there_stays(tmp_path) -> None:
    """Comments and other variables too; a second time nothing changes."""
    path = tmp_path / "a" / "b.yml"
    before, after = inventory_file.changed(str(path), {"vllm_version": "0.33.0"}, "check_updates.yml")
    assert before == ""
    inventory_file.write(str(path), after)
    path.write_text(after + "# ours\nother: [1]\n", encoding="utf-8")
    variables = {"vllm_version": "0.34.0", "vllm_image": "a:1@sha256:2"}
    _before, after = inventory_file.changed(str(path), variables, "pin_medium.yml")
    assert yaml.safe_load(after) == {**variables, "other": [1]}
    assert "# ours\n" in after
    inventory_file.write(str(path), after)
    assert inventory_file.changed(str(path), variables, "x") == (after, after)


def test_texts_stay_texts(tmp_path) -> None:
    """A version that looks like a number is none."""
    _before, after = inventory_file.changed(str(tmp_path / "x.yml"), {"vllm_model_revision": "0123456"}, "x")
    assert yaml.safe_load(after) == {"vllm_model_revision": "0123456"}


@pytest.mark.parametrize(
    "text",
    [
        "- a\n",
        "a: [\n",
        "vllm_version: >-\n  0.32.0\n",
        "{a: 1}\n",
        "a: 1\n...\n",
        "vllm_version: 1\nvllm_version: 2\n",
    ],
)
def test_files_that_are_left_alone(text, tmp_path) -> None:
    """What is no plain mapping, a value over several lines, and where a line would not say what it shall."""
    path = tmp_path / "x.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.yml"):
        inventory_file.changed(str(path), {"vllm_version": "1"}, "x")


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_who_may_read_it_stays(mode, tmp_path) -> None:
    """What else stands there may be for its owner alone."""
    path = tmp_path / "x.yml"
    path.write_text("vllm_hf_token: planted\n", encoding="utf-8")
    path.chmod(mode)
    inventory_file.write(str(path), "vllm_hf_token: planted\nvllm_version: '1'\n")
    assert path.stat().st_mode & 0o777 == mode


def test_a_link_stays_one(tmp_path) -> None:
    """What it leads to gets the variables."""
    (tmp_path / "real.yml").write_text("a: 1\n", encoding="utf-8")
    (tmp_path / "x.yml").symlink_to("real.yml")
    inventory_file.write(str(tmp_path / "x.yml"), "a: 2\n")
    assert (tmp_path / "x.yml").is_symlink()
    assert (tmp_path / "real.yml").read_text(encoding="utf-8") == "a: 2\n"
