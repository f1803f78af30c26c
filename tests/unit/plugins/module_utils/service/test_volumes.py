# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker volumes of a service: who uses one, and one that several share."""

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


@pytest.mark.parametrize(
    ("project", "labels"),
    [
        ("vllm-medium", ["com.docker.compose.project=vllm-medium", "com.docker.compose.volume=cache"]),
        ("", []),
    ],
)
def test_create(project, labels) -> None:
    """A volume has the labels that Compose looks at, or none."""
    asked = []

    def run(argv):
        asked.append(argv)
        return 0, "cache", ""

    volumes.create(run, "cache", project)
    (argv,) = asked
    assert (argv[:3], argv[-1]) == (["docker", "volume", "create"], "cache")
    assert [word for word in argv[3:-1] if word != "--label"] == labels
    with pytest.raises(OSError, match="docker volume create cache failed: no engine"):
        volumes.create(lambda argv: (1, "", "no\nengine"), "cache", "")
