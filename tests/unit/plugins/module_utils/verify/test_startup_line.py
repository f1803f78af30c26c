# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service said at its start that it can do."""

from __future__ import annotations

import pytest

from ansible_collections.myia.vllm.plugins.module_utils.verify import startup_line

STAMP = b"2026-11-29T06:42:31.000000000Z "
LINE = STAMP + b"(APIServer pid=1) INFO 11-29 06:42:31 [entry.py:136] Supported tasks: ['embed', 'token_embed']\n"
#: Docker as it is asked, with the log of one start.
DOCKER = """case $1 in
    container) %s ;;
    logs) printf '%%s\\n' '2026-11-29T06:42:30.000000000Z one' "%s" ;;
esac"""


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (LINE, ["embed", "token_embed"]),
        (b"(APIServer pid=1) INFO 01-01 00:00:00 [api_server.py:1] Supported_tasks: ['generate']", ["generate"]),
        (b"Supported tasks: ('embed&token_classify',)", ["embed&token_classify"]),
        (b"Supported tasks: []", []),
        (b"supported_tasks=('classify', 'token_classify')", []),
        (b"", []),
    ],
)
def test_words(lines: bytes, words: list[str]) -> None:
    """In the words of vLLM 0.32.0 (seen) and 0.11.0."""
    assert startup_line.words(lines) == words


@pytest.mark.parametrize(
    ("inspect", "line", "found"),
    [
        ("echo 2026-11-29T06:42:00Z", "2026-11-29T06:42:31.000000000Z x Supported tasks: ['generate']", ["generate"]),
        ("echo 2026-11-29T06:42:00Z", "2026-11-29T06:42:31.000000000Z x rotated", []),
        ("exit 1", "2026-11-29T06:42:31.000000000Z x Supported tasks: ['generate']", []),
    ],
)
def test_log_of_a_container(tools, monkeypatch, inspect: str, line: str, found: list[str]) -> None:
    """Since its start; a log that does not hold it any more, and no container, tell nothing."""
    folder = tools("docker", DOCKER % (inspect, line))
    assert startup_line.supported_tasks(str(folder / "docker"), "vllm-medium") == found
