# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive: what is in it, who may read it, and that no secret is."""

from __future__ import annotations

import json
import tarfile

import pytest
import yaml

from ansible_collections.myia.vllm.plugins.plugin_utils.bundle import archive
from ansible_collections.myia.vllm.plugins.plugin_utils.common.anonymizer import Anonymizer

KEY = "PLANTED-key-7c31e2"
PARTS = {
    "service/inspect.json": json.dumps(
        [{"Config": {"Env": ["VLLM_API_KEY=" + KEY, "OTHER=free text", "CUDA_VERSION=12.8.1"]}}]
    ),
    "service/compose.yml": "services:\n  m:\n    environment:\n      DB: 'plain words'\n      K: '${K_M}'\n"
    "    command: [--api-key, inline-key-77]\n",
    "service/log.txt": "GET /v1?api_key=%s from 10.1.2.3\n" % KEY,
    "host/daemon.json": "{broken " + KEY,
}  # fmt: skip


def test_parts_are_read_by_their_structure() -> None:
    shown = archive.readable(PARTS, Anonymizer([KEY]))
    assert json.loads(shown["service/inspect.json"])[0]["Config"]["Env"] == [
        "VLLM_API_KEY=<secret-1>", "OTHER=<value-2>", "CUDA_VERSION=12.8.1"]  # fmt: skip
    service = yaml.safe_load(shown["service/compose.yml"])["services"]["m"]
    assert service["environment"] == {"DB": "<value-1>", "K": "${K_M}"}
    assert "inline-key-77" not in shown["service/compose.yml"]
    assert "10.1.2.3" not in shown["service/log.txt"]
    assert archive.leaking(shown, [KEY]) == []
    # what cannot be read as JSON is still a text
    assert shown["host/daemon.json"].startswith("{broken <secret-")


def test_a_leak_is_seen() -> None:
    """Whatever the replacing missed is looked for once more, in every form."""
    assert archive.leaking({"a": "x", "b": "y " + KEY.encode().hex()}, [KEY]) == ["b"]


@pytest.mark.parametrize(("keep", "left"), [(0, 3), (2, 2)])
def test_archives_are_kept_and_closed(tmp_path, keep, left) -> None:
    """Nobody but its owner opens one; of each service the newest stay."""
    folder = tmp_path / "reports" / "support"
    archive.write(folder, "other-medium-20260101T000000Z", {"a.txt": "x"}, 1.0, keep)
    for day in (1, 2, 3):
        path = archive.write(folder, "gpu-medium-2026010%dT000000Z" % day, {"a.txt": "x", "b/c.txt": "y"}, 1.0, keep)
    assert path.stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o077 == 0
    assert len(list(folder.glob("support-gpu-*"))) == left
    assert len(list(folder.glob("support-other-*"))) == 1
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["support-20260103T000000Z/a.txt", "support-20260103T000000Z/b/c.txt"]


def test_archives_of_a_service_with_a_longer_name_are_others(tmp_path) -> None:
    """They neither count nor go, and least of all goes the one that was just written."""
    for name in ("gpu-chat-long-20250101T000000Z", "gpu-chat-long-20250102T000000Z"):
        archive.write(tmp_path, name, {"a.txt": "x"}, 1.0, 2)
    path = archive.write(tmp_path, "gpu-chat-20260101T000000Z", {"a.txt": "x"}, 1.0, 1)
    assert path.exists()
    assert len(list(tmp_path.glob("support-gpu-chat-long-*"))) == 2


def test_contents_say_what_is_inside() -> None:
    page = archive.contents({"findings.md": "abc", "service/log.txt": "é"}, {"host": 2, "secret": 1}, ["x"])
    assert "| findings.md | 3 |" in page and "| service/log.txt | 2 |" in page
    assert "2 hosts, 1 secret" in page and "Left out, since a secret was still seen in it: x." in page


def test_findings_page_is_in_order() -> None:
    found = [
        {"id": "a", "severity": "error", "found": "bad", "fix": "mend", "where": "service/log.txt"},
        {"id": "b", "severity": "info", "found": "good", "fix": "", "where": ""},
    ]
    page = archive.findings_page(found, {"at": "now", "service": "medium"})
    assert page.index("**error** `a`: bad") < page.index("Fix: mend") < page.index("**info** `b`: good")
    assert "Nothing was found" in archive.findings_page([], {"at": "now", "service": "medium"})
