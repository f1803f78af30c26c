# SPDX-License-Identifier: GPL-3.0-or-later
"""A container's memory as the kernel's files tell it, in both versions of control groups."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.docker import container_memory

ID = "4f1d0c" * 10 + "abcd"

#: Where a container's process is, by version and driver of control groups.
V1 = "12:memory:/docker/%s\n4:cpu,cpuacct:/docker/%s\n1:name=systemd:/docker/%s\n0::/\n" % (ID, ID, ID)
V2 = "0::/system.slice/docker-%s.scope\n" % ID


def write(folder, usage: str, value: str, stat: str) -> None:
    """Write the files of a control group."""
    folder.mkdir(parents=True)
    (folder / usage).write_text(value, encoding="ascii")
    (folder / "memory.stat").write_text(stat, encoding="ascii")


def used(tmp_path, text: str) -> int | None:
    """Read what the process 77, whose control groups are ``text``, uses."""
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "cgroup").write_text(text, encoding="ascii")
    return container_memory.used_bytes(ID, 77, str(tmp_path), str(tmp_path / "groups"))


def test_version_1(tmp_path) -> None:
    """The controller has a tree of its own, and the cache of the groups below counts too."""
    write(
        tmp_path / "groups/memory/docker" / ID,
        "memory.usage_in_bytes",
        "5000\n",
        "inactive_file 7\ntotal_inactive_file 1000\n",
    )
    assert used(tmp_path, V1) == 4000


def test_version_2(tmp_path) -> None:
    """One tree for all."""
    write(
        tmp_path / "groups/system.slice" / ("docker-%s.scope" % ID), "memory.current", "5000\n", "inactive_file 2000\n"
    )
    assert used(tmp_path, V2) == 3000


@pytest.mark.parametrize(
    ("stat", "found"), [("inactive_file 6000\n", 5000), ("anon 1\n", 5000), ("what is this\n", None)]
)
def test_cache(tmp_path, stat, found) -> None:
    """More cache than there is memory is not believed."""
    write(tmp_path / "groups/system.slice" / ("docker-%s.scope" % ID), "memory.current", "5000\n", stat)
    assert used(tmp_path, V2) == found


@pytest.mark.parametrize("text", [V2.replace(ID, "0" * 64), "0::/\n", "", "no group\n"])
def test_somebody_elses_process(tmp_path, text) -> None:
    """An engine in a virtual machine has processes with the same numbers."""
    write(tmp_path / "groups/system.slice" / ("docker-%s.scope" % ID), "memory.current", "5000\n", "")
    assert used(tmp_path, text) is None


def test_no_process(tmp_path) -> None:
    """It ended in between."""
    assert container_memory.used_bytes(ID, 77, str(tmp_path), str(tmp_path)) is None
