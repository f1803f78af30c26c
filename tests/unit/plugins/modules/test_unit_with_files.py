# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done with a unit whose files may have changed."""

from __future__ import annotations

import json

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.monitoring import units

NOW = {"restart": "a", "reload": "b"}


@pytest.mark.parametrize(
    ("state", "before", "action"),
    [
        ("active", NOW, ""),
        ("inactive", NOW, "start"),
        ("failed", {}, "start"),
        ("active", {}, "restart"),
        ("active", {"restart": "x", "reload": "b"}, "restart"),
        ("active", {"restart": "a", "reload": "x"}, "reload"),
        ("active", {"restart": "x", "reload": "x"}, "restart"),
    ],
)
def test_action(state, before, action) -> None:
    """A run that died after it wrote a file is mended by the next."""
    assert units.action({"ActiveState": state}, NOW, before) == action


def test_digest(tmp_path) -> None:
    """Content, names and what is gone all count; the order of the paths does not."""
    (tmp_path / "a").write_text("1", encoding="utf-8")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "b").write_text("2", encoding="utf-8")
    paths = [str(tmp_path / "a"), str(tmp_path / "rules")]
    seen = {units.digest(paths)}
    assert units.digest(paths[::-1]) in seen
    (tmp_path / "rules" / "b").write_text("3", encoding="utf-8")
    seen.add(units.digest(paths))
    (tmp_path / "rules" / "b").rename(tmp_path / "rules" / "c")
    seen.add(units.digest(paths))
    (tmp_path / "a").unlink()
    seen.add(units.digest(paths))
    assert len(seen) == 4
    assert json.loads(units.remembered(NOW)) == NOW
