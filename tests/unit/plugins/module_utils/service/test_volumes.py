# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses the Docker volumes of a service."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.service import volumes


def test_other_users(tmp_path) -> None:
    """Containers of other projects, running or not, and services that have no container just now."""
    for name, volume in (("chat", "cache"), ("embed", "cache"), ("rank", "cache-2")):
        (tmp_path / name / "current").mkdir(parents=True)
        (tmp_path / name / "current" / "compose.yml").write_text(
            'volumes:\n  "%s":\n    name: "%s"\n' % (volume, volume)
        )
    asked = []

    def run(argv):
        asked.extend(argv)
        return 0, "own\tvllm-chat\nmine\t\ntheirs\tvllm-x\n", ""

    found = volumes.other_users(run, tmp_path / "chat", "vllm-chat", "cache")
    assert found == ["container mine", "container theirs", "service embed"]
    assert {"--all", "volume=cache"} <= set(asked)
    with pytest.raises(OSError, match="docker ps failed: no engine"):
        volumes.other_users(lambda argv: (1, "", "no engine"), tmp_path / "chat", "vllm-chat", "cache")
